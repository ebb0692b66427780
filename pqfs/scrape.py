"""Answers a scraper: the text of all figures.

Each answer opens the spool anew, read-only: it is cheap, and an index that was made again is seen.
"""

from __future__ import annotations

from pqfs import metrics
from pqfs.clock import SystemClock
from pqfs.errors import Corrupt, IndexGone, PqfsError, Unavailable
from pqfs.exposition import OPENMETRICS, PROMETHEUS, written
from pqfs.report import Source
from pqfs.settings import Loaded
from pqfs.stack.supervisor import programs
from pqfs.vitals import look_without_index
from pqfs.wiring import open_app


def text(loaded: Loaded, openmetrics: bool = False) -> str:
    """All figures of a spool, as far as it can be read.

    Raises:
        Misconfigured: there is no spool.
        SchemaTooNew: its index is a newer pqfs's.
    """
    try:
        app = open_app(loaded, read_only=True)
    except (Corrupt, IndexGone, Unavailable) as error:
        return _without_index(loaded, error, openmetrics)
    try:
        return of(app, openmetrics)
    finally:
        app.close()


def of(source: Source, openmetrics: bool = False) -> str:
    """All figures of an opened spool: for who has one open."""
    return written(metrics.gather(source, programs(source.spool.path("run"))), openmetrics)


def _without_index(loaded: Loaded, error: PqfsError, openmetrics: bool) -> str:
    settings = loaded.settings
    vitals = look_without_index(settings, SystemClock(), error, programs(settings.spool / "run"))
    return written(metrics.of_vitals(vitals), openmetrics)


def wants_openmetrics(accept: str | None) -> bool:
    """Whether a client's `Accept` names OpenMetrics."""
    return "application/openmetrics-text" in (accept or "")


def content_type(openmetrics: bool) -> str:
    """What the text is, for the answer's head."""
    return OPENMETRICS if openmetrics else PROMETHEUS
