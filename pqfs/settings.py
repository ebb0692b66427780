"""Every setting, its default and where its value came from.

Defaults < pqfs.toml < environment (`PQFS_SPOOL`, `PQFS_CONSUME__LEASE` …) < flags. Unknown keys are errors,
and timers that contradict each other are refused before anything starts. Durations are written `90s`, `5m`,
`2h`, `7d` (a bare number is seconds), sizes `64MiB`.

Which handler runs for which queue stands in pqfs.toml only: no command, no screen and no API changes it.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from pqfs import plain
from pqfs.admission import Addresses
from pqfs.durations import Bytes, Duration, Size, parse_duration, parse_rate
from pqfs.edition import Edition, mark_of
from pqfs.errors import Misconfigured
from pqfs.handlersettings import HandlerSpec, LimitSettings
from pqfs.hooksettings import HookSettings
from pqfs.model import DEFAULT_QUEUE, PRIORITY_LIMIT
from pqfs.naming import check_queue
from pqfs.retry import RetryPolicy
from pqfs.values import Section, above, at_least, at_most

_USUAL = Path("pqfs.toml")
BESIDE, _FILE = "sqlite", "sqlite:///"  # an index beside the tree, or in a file of its own
_SERVER = ("postgresql://", "postgres://")
LOG_KEPT = 64 * 2**20  # bytes to which the index's log is cut back once it has been moved into the database

# Set by pqfs itself for its children, or read before there are settings.
_NOT_SETTINGS = frozenset(
    f"PQFS_{name}" for name in ("CONFIG", "PROGRAM", "BROWSER", "OWNER", "JOB", "ATTEMPT", "QUEUE", "NAME", "SET")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings(Section):
    """How one queue's jobs are taken in, run, retried and kept."""

    handler: HandlerSpec = "timestamp"
    limits: LimitSettings = LimitSettings()
    timeout: Annotated[Duration, above(0)] = 3600.0
    priority: Annotated[int, at_least(-PRIORITY_LIMIT), at_most(PRIORITY_LIMIT)] = 0
    max_failures: Annotated[int, at_least(1)] = 3
    max_crashes: Annotated[int, at_least(1)] = 3
    max_losses: Annotated[int, at_least(1)] = 20
    backoff: Duration = 5.0
    backoff_cap: Duration = 600.0
    settle: Duration | None = None
    sidecar: str = "none"
    sidecar_queue: bool = False
    sets: Literal["none", "manifest", "done"] = "none"
    set_wait: Duration = 600.0
    set_policy: Literal["reject", "wait"] = "reject"
    max_size: Bytes | None = None
    max_files: Annotated[int, at_least(1)] | None = None
    max_bytes: Annotated[Bytes, at_least(1)] | None = None
    rate: str | None = None
    accepts: bool = True
    concurrency: Annotated[int, at_least(1)] | None = None
    claim_rate: str | None = None
    aging: Annotated[Duration, above(0)] = 600.0
    duplicates: Literal["off", "warn", "link", "reject"] = "off"
    receipts: bool = False
    hooks: tuple[HookSettings, ...] = ()
    keep_done: Duration | Literal["forever"] | None = None
    keep_dead: Duration | Literal["forever"] | None = None
    keep_cancelled: Duration | Literal["forever"] | None = None
    keep_rows: Duration | Literal["forever"] | None = None

    @property
    def largest(self) -> int | None:
        """Bytes that a file of this queue may have; None for any number."""
        return min((int(limit) for limit in (self.max_size, self.max_bytes) if limit is not None), default=None)

    def __post_init__(self) -> None:
        """Refuse words that mean nothing."""
        if self.sidecar_wait() and self.sets != "none":
            raise ValueError("a queue that takes sets has no sidecars: what is asked stands in the manifest")
        self.pace()
        self.claim_pace()

    def pace(self) -> tuple[int, float] | None:
        """How many files may be taken in how many seconds; None for any number."""
        return None if self.rate is None else parse_rate(self.rate)

    def claim_pace(self) -> tuple[int, float] | None:
        """How many jobs may start in how many seconds; None for any number."""
        return None if self.claim_rate is None else parse_rate(self.claim_rate)

    def sidecar_wait(self) -> float:
        """Seconds that a payload waits for its sidecar: 0 for none, infinity where one is required."""
        if self.sidecar == "none":
            return 0.0
        if self.sidecar == "required":
            return float("inf")
        kind, _, wait = self.sidecar.partition(":")
        if kind != "wait":
            raise ValueError(f"sidecar = {self.sidecar!r} is not one of none, wait:<time>, required")
        return parse_duration(wait)

    def retry_policy(self, overrides: Mapping[str, Any] | None = None) -> RetryPolicy:
        """The queue's limits, with what a sidecar asked for on top."""
        asked = (overrides or {}).get("max_failures")
        return RetryPolicy(
            asked or self.max_failures, self.max_crashes, self.max_losses, self.backoff, self.backoff_cap
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestSettings(Section):
    """How files are noticed and when they count as complete."""

    watch: Literal["auto", "inotify", "polling"] = "auto"
    complete: Literal["auto", "lease", "both", "settle"] = "auto"
    sweep_every: Duration = 5.0
    poll_every: Annotated[Duration, above(0)] = 1.0
    settle: Duration = 2.0
    wait_limit: Duration = 600.0
    ignore: tuple[str, ...] = ()
    create_queues_by_mkdir: bool = False
    unknown_directory: Literal["flatten", "reject"] = "flatten"
    empty_directory_after: Duration = 60.0
    batch: Annotated[int, at_least(1), at_most(1000)] = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumeSettings(Section):
    """The rhythm of consumers."""

    lease: Duration = 30.0
    poll_every: Duration = 2.0
    prefetch: Duration = 1.0
    batch: Annotated[int, at_least(1), at_most(1000)] = 512
    drain: Duration = 20.0
    kill_after: Duration = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepSettings(Section):
    """How long things stay: `0` removes at once, `forever` never."""

    done: Duration | Literal["forever"] = 7 * 86400.0
    dead: Duration | Literal["forever"] = "forever"
    cancelled: Duration | Literal["forever"] = 7 * 86400.0
    rejected: Duration | Literal["forever"] = "forever"
    receipts: Duration | Literal["forever"] = 7 * 86400.0
    rows: Duration | Literal["forever"] = 90 * 86400.0

    def seconds(self, what: str) -> float:
        """The period for done, dead, cancelled, rejected, receipts or rows; infinity for `forever`."""
        return _seconds(getattr(self, what))

    def of(self, queue: QueueSettings, what: str) -> float:
        """The same for one queue, which may have periods of its own. Rows stay as long as inputs that need them."""
        own: float | str | None = getattr(queue, f"keep_{what}")
        period = self.seconds(what) if own is None else _seconds(own)
        return max(period, self.of(queue, "done")) if what == "rows" else period


def _seconds(period: float | str) -> float:
    return float("inf") if isinstance(period, str) else period


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSettings(Section):
    """From when on something is an alarm. `patience` comes on top of a process's own rhythm."""

    patience: Annotated[Duration, above(0)] = 20.0
    backlog: Annotated[Duration, above(0)] = 120.0
    inbox: Annotated[Duration, above(0)] = 900.0
    unconfirmed: Annotated[Duration, above(0)] = 60.0
    finish: Annotated[Duration, above(0)] = 600.0
    log: Annotated[Bytes, above(LOG_KEPT)] = Size(256 * 2**20)
    inodes: Annotated[int, at_least(0)] = 1000
    clock_step: Annotated[Duration, above(0)] = 10.0
    remember: Duration = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings(Section):
    """Where the REST API listens, and what bodies it takes: so many bytes, and `patience` for them to arrive."""

    host: str = "127.0.0.1"
    port: Annotated[int, at_least(1), at_most(65535)] = 8470
    max_body: Annotated[Bytes, above(0)] = Size(2**30)
    patience: Annotated[Duration, above(0)] = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Section):
    """All settings of one spool. Paths are absolute."""

    spool: Path = Path("spool")
    logs: Path = Path("logs")
    index: str = BESIDE
    durability: Literal["strict", "relaxed"] = "strict"
    consumers: Annotated[int, at_least(0), at_most(64)] = 2
    log_format: Literal["text", "json"] = "text"
    ui_port: Annotated[int, at_least(1), at_most(65535)] = 8501
    ui_address: str = "127.0.0.1"
    ui_only: Literal["ops"] | None = None
    ui_idle: Annotated[Duration, above(0)] = 1800.0
    ui_oidc: Addresses = ()
    producers: str | None = None
    readers: str | None = None
    low_water: Bytes = Size(64 * 2**20)
    ingest: IngestSettings = IngestSettings()
    consume: ConsumeSettings = ConsumeSettings()
    keep: KeepSettings = KeepSettings()
    health: HealthSettings = HealthSettings()
    api: ApiSettings = ApiSettings()
    defaults: QueueSettings = QueueSettings()
    queues: dict[str, QueueSettings] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse timers that contradict each other, and queues that can not be."""
        consume = self.consume
        if consume.lease < 3 * consume.poll_every:
            raise ValueError("consume.lease must be at least three times consume.poll_every")
        if consume.lease < 2 * consume.kill_after:
            raise ValueError("consume.lease must be at least twice consume.kill_after")
        if consume.drain > 50:
            raise ValueError("consume.drain must stay below the 60s that supervisord.conf waits for a stop")
        if self.keep.seconds("rows") < self.keep.seconds("done"):
            raise ValueError("keep.rows must not be shorter than keep.done: a kept input needs its row")
        for name in self.queues:
            check_queue(name)
        _index_at(self.index)

    @property
    def index_server(self) -> str | None:
        """The address of an index on PostgreSQL; None where it is on SQLite. It may hold a password."""
        return self.index if self.index.startswith(_SERVER) else None

    @property
    def host(self) -> str | None:
        """This host's name, as it stands in the names of its owners; None where the index serves one host only."""
        name = os.uname().nodename.lower()
        told = re.sub(r"[^a-z0-9]+", "-", name).strip("-")[:40]
        told = f"host-{told}".strip("-") if not told or told.isdigit() else told  # digits alone would be a size
        return told if self.index_server else None

    @property
    def index_file(self) -> Path:
        """Where the index on SQLite lies: in the spool, or where the setting says. A server's is no file."""
        return _index_at(self.index) or self.spool / "index.db"

    @property
    def index_place(self) -> str:
        """Where the index is, as it may be shown."""
        return without_secret(self.index) if self.index_server else str(self.index_file)

    def has_index(self) -> bool:
        """Whether there is one to open; of a server's only who asks the server knows."""
        return self.index_server is not None or self.index_file.exists()

    @property
    def index_log(self) -> Path:
        """The log of the index on SQLite (WAL), which is there while somebody has it open."""
        return self.index_file.with_name(f"{self.index_file.name}-wal")

    def queue(self, name: str) -> QueueSettings:
        """The settings of a queue: its own section, else [defaults]."""
        return self.queues.get(name, self.defaults)

    def queue_names(self) -> list[str]:
        """The queues that have a section, and the default one."""
        return sorted({DEFAULT_QUEUE, *self.queues})


def _index_at(address: str) -> Path | None:
    """The file that an address names; None for the one beside the tree, and for a server's."""
    if address == BESIDE or address.startswith(_SERVER):
        return None
    path = Path(address.removeprefix(_FILE))
    if not address.startswith(_FILE) or not path.is_absolute():
        raise ValueError(
            f"index = {without_secret(address)!r} is none of sqlite, the address of a file "
            "(sqlite:////var/lib/pqfs/index.db) and that of a database (postgresql://user@host/database)"
        )
    return path


def without_secret(address: str) -> str:
    """The address of an index as it may be shown, logged and told."""
    hidden = re.sub(r"(://[^:/@]*:)[^@]*@", r"\1***@", address)
    return re.sub(r"(password=)[^&\s]*", r"\1***", hidden)


class PerQueue(Protocol):
    """Whoever tells the settings of a queue: `Settings` as they stand in the file, `Terms` as they are now."""

    def queue(self, name: str) -> QueueSettings:
        """The settings of a queue."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, with the origin of each value that is not a default: dotted key -> `pqfs.toml`, `PQFS_…`, flag.

    `edition`: which pqfs.toml that was, or the place where one was looked for.
    """

    settings: Settings
    origins: dict[str, str]
    config: Path | None
    edition: Edition | None = None


def load(flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None) -> Loaded:
    """Read the settings.

    Args:
        flags: dotted keys that were given on the command line (`config`, `spool`, `consume.lease` …); None
            values count as not given.
        environ: the environment; os.environ by default.

    Raises:
        Misconfigured: a file that is not there or not TOML, an unknown key, a bad value, a contradiction.
    """
    environ = os.environ if environ is None else environ
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    config = _config_path(given.pop("config", None), environ)
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    table = _read_file(config) if config else {}
    edition = Edition(str(config or _USUAL.absolute()), mark_of(table))
    _merge(values, origins, table, str(config))
    for key, (value, name) in _from_environment(environ).items():
        _put(values, origins, key, value, name)
    for key, value in given.items():
        _put(values, origins, key, value, "flag")
    return Loaded(_absolute(_validate(values, origins), origins, config), origins, config, edition)


def _config_path(flag: Any, environ: Mapping[str, str]) -> Path | None:
    named = flag or environ.get("PQFS_CONFIG")
    if named:
        if not Path(named).is_file():
            raise Misconfigured(f"The configuration {named} is not there.", "Check --config and PQFS_CONFIG.")
        return Path(named).absolute()
    return _USUAL.absolute() if os.path.lexists(_USUAL) else None  # a link that leads nowhere is no lack of a file


def _read_file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{path} is not TOML: {error}.") from error
    except OSError as error:
        leads = f" (it is a link to {os.readlink(path)})" if path.is_symlink() else ""
        raise Misconfigured(f"{path} can not be read: {error.strerror}{leads}.") from error


def _from_environment(environ: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    found = {}
    for name in sorted(environ):
        if name.startswith("PQFS_") and name not in _NOT_SETTINGS and not name.startswith("PQFS_TEST_"):
            found[name.removeprefix("PQFS_").lower().replace("__", ".")] = (environ[name], name)
    return found


def _put(values: dict[str, Any], origins: dict[str, str], key: str, value: Any, origin: str) -> None:
    *sections, last = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise Misconfigured(f"{origin}: {section!r} is a value, not a section.")
    values[last] = value
    origins[key] = origin


def _merge(values: dict[str, Any], origins: dict[str, str], more: dict[str, Any], origin: str, at: str = "") -> None:
    for key, value in more.items():
        dotted = f"{at}{key}"
        if isinstance(value, dict) and not dotted.endswith(".handler"):
            _merge(values.setdefault(key, {}), origins, value, origin, f"{dotted}.")
        else:
            values[key] = value
            origins[dotted] = origin


def _validate(values: dict[str, Any], origins: dict[str, str]) -> Settings:
    """The settings: without pydantic where nothing is in doubt, else with all that it knows to say."""
    values = _tidied(values, origins)
    try:
        return plain.read(Settings, values)
    except plain.Doubt:
        from pqfs.validation import validated  # it takes 0.1 s, more than most questions

        return validated(Settings, values, origins)


def _tidied(values: dict[str, Any], origins: Mapping[str, str]) -> dict[str, Any]:
    """Each queue's section with what it inherits, and every limit under its present name."""
    defaults, queues = values.get("defaults", {}), values.get("queues", {})
    if not isinstance(defaults, dict) or not isinstance(queues, dict):
        return values
    tidied = dict(values)
    if defaults:
        tidied["defaults"] = _renamed(defaults, "defaults", origins)
    if queues:
        tidied["queues"] = {
            name: _renamed(_inherit(defaults, own), f"queues.{name}", origins) if isinstance(own, dict) else own
            for name, own in queues.items()
        }
    return tidied


def _renamed(section: dict[str, Any], key: str, origins: Mapping[str, str]) -> dict[str, Any]:
    if "max_attempts" not in section:
        return section
    if "max_failures" in section:
        origin = origins[f"{key}.max_attempts"]
        raise Misconfigured(
            f"Setting {key!r} (from {origin}): max_attempts is the older name of max_failures: give one of the two.",
            "See every setting with: pqfs config show",
        )
    return {"max_failures" if name == "max_attempts" else name: value for name, value in section.items()}


def _inherit(defaults: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """A queue's section over the defaults, `limits` one by one; a limit given by its older name replaces both."""
    limit = {"max_failures", "max_attempts"}
    inherited = {key: value for key, value in defaults.items() if key not in limit or not limit & own.keys()}
    if isinstance(usual := defaults.get("limits"), dict) and isinstance(of_its_own := own.get("limits"), dict):
        own = {**own, "limits": {**usual, **of_its_own}}
    return {**inherited, **own}


def _absolute(settings: Settings, origins: dict[str, str], config: Path | None) -> Settings:
    """Paths from a file are relative to that file, all others to the current directory."""
    update = {}
    for key in ("spool", "logs"):
        from_file = config is not None and origins.get(key) == str(config)
        base = config.parent if from_file and config else Path.cwd()
        update[key] = (base / getattr(settings, key).expanduser()).absolute()
    return replace(settings, **update)
