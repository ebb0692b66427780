"""Figures for whoever scrapes: well-formed, true, never shrinking, there without an index too."""

from __future__ import annotations

import json
import re
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict
from http.client import HTTPConnection
from pathlib import Path

import pytest

from pqfs import cli, scrape
from pqfs.clock import boot_id
from pqfs.errors import Misconfigured, Unavailable
from pqfs.exposition import Family, Kind, Sample, written
from pqfs.health import RULES
from pqfs.index.tallies import Tallies
from pqfs.jobqueue import JobQueue
from pqfs.metrics import gather
from pqfs.model import Kind as Ending
from pqfs.model import Outcome, State
from pqfs.pulse import Pulse
from pqfs.recovery import Repairs
from pqfs.schedules import Plan, Schedules
from pqfs.scrapeserver import ScrapeServer, address
from pqfs.settings import Loaded, load
from pqfs.wiring import App
from tests import exposition
from tests.exposition import Scraped, read
from tests.opened import app_of, consumer, live, run
from tests.shell import Shell
from tests.world import EPOCH, SettableClock, invariants, submitted, write_output

DASHBOARDS = Path(scrape.__file__).parent / "dashboards"


@pytest.fixture
def app(jobqueue: JobQueue, clock: SettableClock) -> App:
    return app_of(jobqueue, clock)


def scraped(app: App) -> dict[str, Scraped]:
    return read(written(gather(app)))


def value(found: dict[str, Scraped], name: str, **labels: str) -> float:
    (number,) = [
        number
        for family in found.values()
        for (each, its), number in family.samples.items()
        if each == name and dict(its) == labels
    ]
    return number


def end(app: App, kind: Ending, run_seconds: float = 0.0) -> None:
    """One attempt of the next job ends so."""
    (job,) = app.jobqueue.claim("consumer.1.0123abcd", None, 1, app.clock.now())
    app.spool.start(job)
    if kind is Ending.DONE:
        size, digest = write_output(app.spool, job)
        outcome = Outcome(kind, started_at=1.0, output_size=size, output_sha256=digest, run_seconds=run_seconds)
    else:
        outcome = Outcome(kind, "because", started_at=1.0)
    app.jobqueue.end(job, outcome, app.clock.now())


# -------------------------------------------------------------------- the text


HOSTILE = ['a"b', "a\\b", "a\nb", 'b="', "a}b{", "ü\u202e", "\udcff", "a,b", ""]


@pytest.mark.parametrize("openmetrics", [False, True])
@pytest.mark.parametrize("label", HOSTILE)
def test_no_label_breaks_the_text(label: str, openmetrics: bool) -> None:
    family = Family("pqfs_jobs", Kind.COUNTER, "Jobs\nof \\ many.", (Sample(1, {"queue": label, "state": "x"}),))

    found = read(written([family], openmetrics), openmetrics)

    ((name, labels),) = found["pqfs_jobs" if openmetrics else "pqfs_jobs_total"].samples
    assert name == "pqfs_jobs_total"
    assert dict(labels)["queue"] == (
        label if label.isprintable() or label == "a\nb" or "\u202e" in label else "\\udcff"
    )


def test_numbers_are_written_as_scrapers_read_them() -> None:
    values = [3.0, 0.1, 1e22, float("inf"), float("-inf"), -2, True]
    text = written([Family("x", Kind.GAUGE, "X.", tuple(Sample(v, {"n": str(n)}) for n, v in enumerate(values)))])

    assert [line.split()[-1] for line in text.splitlines()[2:]] == [
        "3", "0.1", "10000000000000000000000", "+Inf", "-Inf", "-2", "1",
    ]  # fmt: skip
    assert "NaN" in written([Family("x", Kind.GAUGE, "X.", (Sample(float("nan")),))])
    assert written([Family("x", Kind.GAUGE, "X.", ())]) == ""


@pytest.mark.parametrize(
    "wrong",
    [
        "a 1\n", "# HELP a A.\na 1\n", "# HELP a A.\n# TYPE a gauge\na 1", "# HELP a A.\n# TYPE a gauge\na 1\na 2\n",
        "# HELP a A.\n# TYPE a counter\na 1\n", "# HELP a_ms A.\n# TYPE a_ms gauge\na_ms 1\n",
        '# HELP a A.\n# TYPE a gauge\na{b="c} 1\n', '# HELP a A.\n# TYPE a gauge\na{b="1",b="2"} 1\n',
        '# HELP a A.\n# TYPE a gauge\na{b="1"} 1\na{c="1"} 1\n', "# HELP a A.\n# TYPE a gauge\nb 1\n",
        "# HELP a A.\n# TYPE a gauge\n", "# HELP a_bytes_x A.\n# TYPE a_bytes_x gauge\na_bytes_x 1\n",
    ],
)  # fmt: skip
def test_the_reader_of_these_tests_is_strict(wrong: str) -> None:
    with pytest.raises((AssertionError, StopIteration)):
        read(wrong)


# -------------------------------------------------------------------- what it says


def test_every_figure_is_told_once_and_well_formed(app: App) -> None:
    with app.index.transaction():
        app.index.create_queue("mail", EPOCH)
    submitted(app.jobqueue, EPOCH, b'\xff\n".txt', queue="mail")

    found = scraped(app)
    assert read(written(gather(app), openmetrics=True), openmetrics=True).keys() == {
        name.removesuffix("_total") for name in found
    }
    assert all(name.startswith("pqfs_") for name in found)
    assert value(found, "pqfs_jobs_completed_total", queue="default") == 0
    assert value(found, "pqfs_failed_attempts_total", queue="mail", outcome="crashed") == 0
    assert [value(found, "pqfs_jobs", queue="mail", state=state) for state in State] == [1, 0, 0, 0, 0, 0, 0]
    rules = {labels[0][1] for name in ("pqfs_alarms", "pqfs_notices") for _, labels in found[name].samples}
    assert rules == {rule.name for rule in RULES}


def test_it_tells_what_came_and_went_and_how_attempts_ended(app: App, clock: SettableClock) -> None:
    for number in range(4):
        submitted(app.jobqueue, EPOCH, b"%d.txt" % number, b"12345")
    end(app, Ending.DONE, run_seconds=2.5)
    end(app, Ending.PERMANENT)
    end(app, Ending.CRASHED)
    clock.pass_by(3)
    end(app, Ending.TIMEOUT)
    clock.pass_by(100)

    found = scraped(app)
    assert value(found, "pqfs_jobs_ingested_total", queue="default") == 4
    assert value(found, "pqfs_ingested_bytes_total", queue="default") == 20
    assert value(found, "pqfs_jobs_completed_total", queue="default") == 1
    assert value(found, "pqfs_jobs_failed_total", queue="default") == 1
    assert value(found, "pqfs_run_seconds_sum", queue="default") == 2.5
    assert value(found, "pqfs_run_seconds_count", queue="default") == 1
    for outcome in ("permanent", "crashed", "timeout"):
        assert value(found, "pqfs_failed_attempts_total", queue="default", outcome=outcome) == 1
    assert value(found, "pqfs_oldest_wait_seconds", queue="default") > 50
    invariants(app.spool, app.index)


def test_counters_do_not_shrink_when_minutes_and_rows_are_forgotten(app: App, clock: SettableClock) -> None:
    for number in range(3):
        submitted(app.jobqueue, clock.now(), b"%d.txt" % number)
        clock.pass_by(3600)
    before = Tallies(app.index.engine).totals()

    for _ in range(4):
        with app.index.transaction():
            app.index.forget_stats(clock.now() - 5000)
        assert Tallies(app.index.engine).totals() == before
        clock.pass_by(3600)

    assert not app.index.stats(0)
    submitted(app.jobqueue, clock.now(), b"more.txt")
    assert value(scraped(app), "pqfs_jobs_ingested_total", queue="default") == 4


def test_it_tells_of_processes_consumers_and_what_recovery_did(app: App, clock: SettableClock) -> None:
    janitor, working = live(app, "janitor"), live(app, "consumer-00")
    consumer(app, working.name)
    job = submitted(app.jobqueue, EPOCH)
    app.jobqueue.claim(working.name, None, 1, EPOCH)
    run(app, working.name, job.id, 1)
    pulse = Pulse(app.spool.path("run"), "janitor", janitor.name, boot_id(), clock)
    pulse.note(done={**asdict(Repairs(released=2)), "reaped": 1, "upkeep": 5, "purged": 7})
    pulse.beat()
    clock.pass_by(4)

    found = scraped(app)
    assert value(found, "pqfs_processes", kind="consumer") == 1
    assert value(found, "pqfs_processes", kind="courier") == value(found, "pqfs_notices_put_aside") == 0
    assert value(found, "pqfs_pulse_age_seconds", program="janitor") == 4
    assert value(found, "pqfs_consumer_busy", consumer="consumer-00") == 1
    assert value(found, "pqfs_consumer_job_seconds", consumer="consumer-00") == 4
    assert value(found, "pqfs_recoveries_total", program="janitor", what="released") == 2
    assert value(found, "pqfs_recoveries_total", program="janitor", what="reaped") == 1
    assert value(found, "pqfs_upkeep_rounds_total", program="janitor") == 5
    assert value(found, "pqfs_purged_total", program="janitor") == 7
    assert value(found, "pqfs_alarms", rule="ingester-missing") == 0
    pulse.close()
    janitor.release()
    working.release()


# -------------------------------------------------------------------- to whoever asks


@pytest.fixture
def answering(shell: Shell) -> Iterator[ScrapeServer]:
    with ScrapeServer(load({"spool": str(shell.spool)}), "127.0.0.1", 0) as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def test_a_scraper_gets_the_format_that_it_asks_for_and_nothing_else(answering: ScrapeServer) -> None:
    where = f"http://127.0.0.1:{answering.server_address[1]}/metrics"
    plain = urllib.request.urlopen(where, timeout=20)
    accepts = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}
    other = urllib.request.urlopen(urllib.request.Request(where, headers=accepts), timeout=20)

    with plain, other:
        assert plain.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert value(read(plain.read().decode()), "pqfs_index_readable") == 1
        assert other.headers["Content-Type"].startswith("application/openmetrics-text")
        assert read(other.read().decode(), openmetrics=True)
    for method, path, status in (("GET", "/", 404), ("POST", "/metrics", 501), ("HEAD", "/metrics?x=1", 200)):
        connection = HTTPConnection("127.0.0.1", answering.server_address[1], timeout=20)
        connection.request(method, path)
        answer = connection.getresponse()
        assert answer.status == status
        assert method != "HEAD" or answer.read() == b""
        connection.close()
    with pytest.raises(Unavailable, match="can listen on"):
        ScrapeServer(Loaded(answering.loaded.settings, {}, None), "127.0.0.1", answering.server_address[1])


def test_an_index_that_goes_and_comes_back_is_seen(answering: ScrapeServer, shell: Shell) -> None:
    where = f"http://127.0.0.1:{answering.server_address[1]}/metrics"
    shell.submit()
    for path in shell.spool.glob("index.db*"):
        path.unlink()

    with urllib.request.urlopen(where, timeout=20) as answer:
        found = read(answer.read().decode())
    assert value(found, "pqfs_index_readable") == 0
    assert value(found, "pqfs_alarms", rule="index-missing") == 1
    assert "pqfs_jobs" not in found
    assert shell("index", "rebuild") == 0
    assert shell("metrics") == 0
    assert value(read(shell.out), "pqfs_jobs", queue="default", state="pending") == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("9477", ("127.0.0.1", 9477)),
        (":80", ("127.0.0.1", 80)),
        ("0.0.0.0:1", ("0.0.0.0", 1)),
        ("[::1]:9", ("::1", 9)),
    ],
)
def test_it_listens_on_loopback_unless_it_is_told_otherwise(text: str, found: tuple[str, int]) -> None:
    assert address(text) == found


@pytest.mark.parametrize("text", ["", "localhost", "1:x", "1:70000", "::1:"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(Misconfigured):
        address(text)


# -------------------------------------------------------------------- what is shipped with it


NAMED = re.compile(r"\b(pqfs_\w+)(?:\{([^}]*)\})?")
FROM_PROMETHEUS = {"instance", "job"}


def _expressions() -> list[str]:
    dashboard = json.loads((DASHBOARDS / "grafana.json").read_text())
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    rules = (DASHBOARDS / "alerts.yml").read_text()
    alerts = re.findall(r"^        expr: (?:>-\n)?(.*?)\n        (?=\w)", rules, re.MULTILINE | re.DOTALL)
    assert len(alerts) == rules.count("- alert:")
    return [*shown, *alerts, *(each["query"] for each in dashboard["templating"]["list"])]


@pytest.fixture
def known(app: App, clock: SettableClock) -> dict[str, set[str]]:
    """Every figure by the name under which it is scraped, and its labels, of a spool in which all of them are."""
    test_it_tells_what_came_and_went_and_how_attempts_ended(app, clock)
    found = dict[str, set[str]]()
    Schedules(app.jobqueue).add("tick", Plan("@daily", text="now"), "ann", None, clock.now())
    working = live(app, "consumer-00")
    consumer(app, working.name)
    run(app, working.name, "x", 1)
    for program, done in (("ingester", {}), ("janitor", {"upkeep": 1, "reaped": 1})):
        lock = live(app, program)
        pulse = Pulse(app.spool.path("run"), program, lock.name, boot_id(), clock)
        pulse.note(done=done)
        pulse.beat()
    for family in scraped(app).values():
        for name, labels in family.samples:
            found[name] = {label for label, _ in labels}
    return found


def test_the_dashboard_and_the_alerts_name_only_what_is_told(known: dict[str, set[str]]) -> None:
    named = [(name, labels or "") for text in _expressions() for name, labels in NAMED.findall(text)]

    assert len(named) > 30
    for name, labels in named:
        assert name in known, name
        asked = {match[0] for match in re.findall(r"(\w+)(=~|!=|!~|=)\"", labels)}
        assert asked <= known[name] | FROM_PROMETHEUS, (name, labels)
    for text in _expressions():
        for group, name in re.findall(r"by \(([\w, ]+)\) \((?:\w+\()?(pqfs_\w+)", text):
            assert set(group.split(", ")) <= known[name] | FROM_PROMETHEUS, text


def test_the_values_that_they_ask_for_exist() -> None:
    asked = {value for text in _expressions() for value in re.findall(r'(?:state|outcome|kind)[=!~]+"([^"]+)"', text)}

    assert {each for value in asked for each in value.split("|")} <= {*State, *Ending, "consumer"}


def test_they_are_printed_as_they_are_shipped(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["metrics", "--dashboard"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "pqfs"
    assert cli.run(["metrics", "--alerts"]) == 0
    assert capsys.readouterr().out == (DASHBOARDS / "alerts.yml").read_text()


def test_every_panel_has_its_place() -> None:
    panels = json.loads((DASHBOARDS / "grafana.json").read_text())["panels"]

    taken = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) < 24
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_the_labels_are_read_as_they_were_written() -> None:
    assert exposition.labels(r'a="\"\\\n",b=""') == (("a", '"\\\n'), ("b", ""))
