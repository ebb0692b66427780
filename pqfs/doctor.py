"""Examines the machine, the settings and the spool: will pqfs work here, and if not, what is in the way?

Each check is a function that returns one `Check` (or several); none changes anything but temp files of its own.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pqfs import mounts
from pqfs.checks import Check, Grade
from pqfs.clock import SystemClock
from pqfs.errors import Misconfigured, PqfsError
from pqfs.footing import footing
from pqfs.handlers import resolve
from pqfs.handlers.command import locate, unfit
from pqfs.handlers.confinement import trouble
from pqfs.handlers.launch import landlock_version
from pqfs.handlersettings import CommandHandler, HandlerSpec, PythonHandler
from pqfs.hosts import leader
from pqfs.modes import differences
from pqfs.mounting import judge
from pqfs.passwords import Users
from pqfs.places import DIRECTORIES
from pqfs.pulse import read_beats
from pqfs.reach import out_of_reach, owner
from pqfs.settings import Loaded, Settings
from pqfs.spool import Spool
from pqfs.stack.identity import identity

_SOCKET_PATH = 108  # bytes of sun_path in unix(7)
_NAMED = 5  # of what is out of reach
_SANE_SINCE = 1_767_225_600.0  # 2026-01-01: a clock before this was never set


def examine(loaded: Loaded) -> Iterator[Check]:
    """Every check, one after the other; a check that itself fails is bad and says why."""
    checks: list[Callable[[Settings], Iterator[Check]]] = [
        _sqlite, _tree, _file_system, _permissions, _reach, _disk, _index, _socket, _clock, _barriers, _supervisor,
        _containment, _sign_in, _health,
    ]  # fmt: skip
    for check in checks:
        yield from _run(check, loaded.settings)
    yield from _handlers(loaded)


def _run(check: Callable[[Settings], Iterator[Check]], settings: Settings) -> Iterator[Check]:
    name = check.__name__.strip("_").replace("_", " ")
    try:
        yield from check(settings)
    except PqfsError as error:
        yield Check(name, Grade.BAD, f"{error.message} {error.hint}".strip())
    except OSError as error:
        yield Check(name, Grade.BAD, f"It could not be looked at: {error}.")


def _sqlite(settings: Settings) -> Iterator[Check]:
    from pqfs.index.sqlite import is_affected, library_version

    version = ".".join(map(str, library_version()))
    if is_affected(library_version()):
        yield Check("sqlite", Grade.BAD, f"SQLite {version} can corrupt an index: install apsw 3.51.3 or later.")
    else:
        yield Check("sqlite", Grade.OK, f"SQLite {version}, without the bug that corrupts databases of many writers.")


def _tree(settings: Settings) -> Iterator[Check]:
    spool = Spool(settings.spool)
    try:
        spool.check_one_file_system()
    finally:
        spool.close()
    yield Check("tree", Grade.OK, f"{settings.spool} is complete and on one file system.")


def _file_system(settings: Settings) -> Iterator[Check]:
    """What the spool's mount can do, tried in a scratch directory of the spool."""
    yield from of_mount(settings.spool, settings)


def of_mount(directory: Path, settings: Settings) -> Iterator[Check]:
    """What is mounted at a directory, and how pqfs would stand on it with these settings.

    Raises:
        OSError: nothing can be tried there.
    """
    traits = mounts.examine(directory, SystemClock())
    yield from judge(traits, footing(directory, settings.ingest), settings.ingest)


def _permissions(settings: Settings) -> Iterator[Check]:
    closed = [name for name in DIRECTORIES if not os.access(settings.spool / name, os.R_OK | os.W_OK | os.X_OK)]
    if closed:
        yield Check("permissions", Grade.BAD, f"This user may not write {', '.join(closed)}.")
    for each in differences(settings):
        said = f"{each.path} is {each.found:04o}: {each.rule.why}. Run: {each.command}"
        yield Check("permissions", Grade.WARN, said)
    if not closed:
        yield Check("permissions", Grade.OK, "This user may read and write the whole spool.")


def _reach(settings: Settings) -> Iterator[Check]:
    """What root has left in the spool of another user, who can then neither run nor move it."""
    user = owner(settings)
    if found := out_of_reach(settings, user):
        named = " ".join(shlex.quote(str(path)) for path in found[:_NAMED])
        more = f", and so for {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        said = f"{user.name}, whose spool this is, can not work with {len(found)} of its files and folders."
        yield Check("reach", Grade.BAD, f"{said} Run: chown -h {user.name}: {named}{more}")
    else:
        yield Check("reach", Grade.OK, f"Nothing in the spool is out of reach of {user.name}, whose it is.")


def _disk(settings: Settings) -> Iterator[Check]:
    spool = Spool(settings.spool)
    try:
        free, low = spool.free_bytes(), spool.is_below(int(settings.low_water))
    finally:
        spool.close()
    more = ": below low water, work pauses." if low else "."
    yield Check("disk", Grade.BAD if low else Grade.OK, f"{free:,} bytes are free{more}")


def _index(settings: Settings) -> Iterator[Check]:
    from pqfs.wiring import open_index

    if not settings.has_index():
        yield Check(
            "index", Grade.WARN, "There is none yet; it is made at the first start, or by: pqfs index rebuild"
        )
        return
    index = open_index(settings, read_only=True)
    try:
        problems = index.engine.integrity()
        version = index.engine.schema_version()
        remarks = index.engine.remarks()
        leads = leader(settings, index)
    finally:
        index.close()
    said = f"Damaged: {problems[0]}" if problems else f"Sound, schema {version}, at {settings.index_place}."
    yield Check("index", Grade.BAD if problems else Grade.OK, said)
    yield from (Check("index", Grade.WARN, remark) for remark in remarks)
    if leads is not None:
        yield Check("hosts", Grade.OK, f"The janitor of {leads} leads.")


def _socket(settings: Settings) -> Iterator[Check]:
    length = len(os.fsencode(settings.spool / "run" / "supervisor.sock")) + 1
    if length > _SOCKET_PATH:
        said = (
            f"The path of supervisor's socket has {length} bytes, {_SOCKET_PATH} are possible: use a shorter spool."
        )
        yield Check("socket", Grade.BAD, said)
    else:
        yield Check("socket", Grade.OK, f"The path of supervisor's socket has {length} of {_SOCKET_PATH} bytes.")


def _clock(settings: Settings) -> Iterator[Check]:
    if SystemClock().now() < _SANE_SINCE:
        yield Check("clock", Grade.BAD, "The clock was never set: outputs would carry wrong times.")
    else:
        yield Check("clock", Grade.OK, "The clock is set.")


def _barriers(settings: Settings) -> Iterator[Check]:
    """What each process has measured: it takes the quicker way of making a batch durable."""
    if settings.durability != "strict":
        yield Check("barriers", Grade.WARN, "durability is relaxed: a loss of power may lose jobs and publish twice.")
        return
    measured = {beat.program: beat.said.get("barriers") for beat in read_beats(settings.spool / "run")}
    told = [f"{program}: {_costs(costs)}" for program, costs in sorted(measured.items()) if costs]
    yield Check("barriers", Grade.OK, "; ".join(told) or "Not measured yet: nothing has been made durable.")


def _costs(costs: Mapping[str, float]) -> str:
    return ", ".join(f"{way} {milliseconds:.2g} ms" for way, milliseconds in costs.items())


def _supervisor(settings: Settings) -> Iterator[Check]:
    if importlib.util.find_spec("supervisor") is None:
        yield Check("supervisor", Grade.BAD, "It is not installed in this environment: pip install supervisor")
    else:
        yield Check("supervisor", Grade.OK, "supervisor is installed.")


def _health(settings: Settings) -> Iterator[Check]:
    """The rules of health, of a spool that pqfs runs on."""
    from pqfs.health import NOT_RUNNING, Severity, examine
    from pqfs.stack.supervisor import programs
    from pqfs.vitals import look
    from pqfs.wiring import open_app

    if not settings.has_index():
        return  # said already
    app = open_app(Loaded(settings, {}, None), read_only=True)
    try:
        findings = examine(look(app, programs(settings.spool / "run")))
    finally:
        app.close()
    if all(each.name != NOT_RUNNING for each in findings):
        yield Check("running", Grade.OK, "pqfs runs on this spool.")
    for each in findings:
        grade = Grade.BAD if each.severity is Severity.ALARM else Grade.WARN
        if each.name == NOT_RUNNING:
            yield Check("running", Grade.OK, f"{each.sentence} {each.hint}")
        else:
            yield Check(each.name, grade, f"{each.sentence} {each.hint}")


def _containment(settings: Settings) -> Iterator[Check]:
    """What programs can be confined with, should a queue ask for it."""
    missing = [said for how in ("landlock", "bubblewrap") if (said := trouble(how))]
    if len(missing) == 2:
        yield Check(
            "containment", Grade.WARN, "Neither Landlock nor bubblewrap is here: programs can not be confined."
        )
    else:
        said = " ".join(missing) or "programs can be confined by either."
        yield Check("containment", Grade.OK, f"Landlock {landlock_version() or '-'}, bubblewrap: {said}")


def _sign_in(settings: Settings) -> Iterator[Check]:
    """Whether people can sign in to the console in the ways that somebody has prepared; nothing where nobody has."""
    ways = []
    if users := Users(settings.spool).all(SystemClock().now()):
        ways.append(f"by a password ({len(users)})")
    if settings.ui_oidc:
        ways.append(f"by {', '.join(identity(settings.spool).providers)} (OpenID Connect)")
    if ways:
        yield Check("sign in", Grade.OK, f"People sign in to the console {' and '.join(ways)}.")


def _handlers(loaded: Loaded) -> Iterator[Check]:
    settings = loaded.settings
    for name in settings.queue_names():
        yield _handler(name, settings.queue(name).handler, loaded.config)


def _handler(queue: str, specification: HandlerSpec, config: Path | None) -> Check:
    check = f"handler of {queue}"
    match specification:
        case CommandHandler():
            return Check(check, *_program(specification, str((config or Path.cwd() / "x").parent)))
        case PythonHandler():
            return _python_handler(check, specification.python, config)
        case _:
            return Check(check, Grade.OK, f"The built-in {specification}.")


def _program(handler: CommandHandler, folder: str) -> tuple[Grade, str]:
    if why := unfit(handler.command[0], folder):
        return Grade.BAD, why
    found = shutil.which(locate(handler.command[0], folder))
    if missing := trouble(handler.confine):
        return Grade.BAD, missing
    if gone := [str(path) for path in (*handler.read, *handler.write) if not path.exists()]:
        return Grade.WARN, f"Runs {found}; {gone[0]}, which it may use, is not there."
    walls = "" if handler.confine == "none" else f", confined by {handler.confine}"
    return Grade.OK, f"Runs {found}{walls}."


def _python_handler(check: str, target: str, config: Path | None) -> Check:
    import sys

    folder = str((config or Path.cwd() / "x").parent)
    sys.path.insert(0, folder)
    try:
        resolve({"kind": "python", "python": target})
    except Misconfigured as error:
        return Check(check, Grade.BAD, error.message)
    finally:
        sys.path.remove(folder)
    return Check(check, Grade.OK, f"Calls {target}.")
