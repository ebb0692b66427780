"""One kind of object in one window: the honest file is swapped for it right there, and what becomes of both is told.

The windows are the points of `Ground`: nothing is timed. Each race is `race(kind, window, root)` and answers with
sentences, none when all is well.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.hostile.ground import WAIT_LIMIT, Ground, Hung
from tests.hostile.kinds import FOLDERS, KINDS, SIDECARS, Fate, Kind

HONEST = b"honest"
NAME = b"x"


@dataclass(frozen=True)
class Window:
    """When the swap happens: right at a point, None for *it lies there from the start*."""

    what: str
    point: str | None
    moved: bool = False  # the honest file has left the inbox by then


PAYLOAD_WINDOWS = (
    Window("it lies there from the start", None),
    Window("between the listing and the judgement", "judge x"),
    Window("between the judgement and the rename", "rename x"),
    Window("between the rename and the second look", "renamed x", moved=True),
    Window("between the second look and the sync", "sync", moved=True),
    Window("between the sync and the commit", "commit", moved=True),
    Window("after the commit", "committed", moved=True),
)
SIDECAR_WINDOWS = (
    Window("it lies there from the start", None),
    Window("between the listing and its judgement", "judge x.job.json"),
    Window("between its judgement and its reading", "judged x.job.json"),
    Window("between its reading and the payload's rename", "rename x"),
    Window("between the sync and the commit", "commit"),
    Window("between the commit and its removal", "rename x.job.json"),
)
FOLDER_WINDOWS = PAYLOAD_WINDOWS[1:]
Race = tuple[str, Kind, Window]


def races() -> list[Race]:
    """Every kind in every window that this user can make."""
    found: list[Race] = []
    for family, kinds, windows in (
        ("payload", KINDS, PAYLOAD_WINDOWS),
        ("sidecar", SIDECARS, SIDECAR_WINDOWS),
        ("folder", FOLDERS, FOLDER_WINDOWS),
    ):
        for kind in kinds:
            fits = windows if kind.name == "x" else windows[:1]  # a name can not be swapped
            found += [(family, kind, window) for window in fits if kind.is_possible]
    return found


def name_of(race: Race) -> str:
    """The race in words."""
    family, kind, window = race
    return f"{family}: {kind.what}, {window.what}"


def run(race: Race, root: Path) -> list[str]:
    """Run one race on a ground of its own; everything that was wrong."""
    family, kind, window = race
    ground = Ground(root)
    try:
        judge = {"payload": _payload, "sidecar": _sidecar, "folder": _folder}[family]
        return [f"{name_of(race)}: {said}" for said in judge(ground, kind, window)]
    except Hung as error:
        return [f"{name_of(race)}: it hangs: {error}"]
    except Exception as error:  # noqa: BLE001 -- a race that raises is a finding like any other
        return [f"{name_of(race)}: {type(error).__name__}: {error}"]
    finally:
        ground.close()
        subprocess.run(["rm", "-rf", "--", str(root)], check=True)  # deeper than Python can recurse


def _swap(ground: Ground, kind: Kind, path: Path) -> Callable[[], None]:
    def act() -> None:
        if kind not in FOLDERS and os.path.lexists(path):
            path.rename(path.with_name(f".{path.name} put aside"))
        kind.make(ground, path)
        ground.remember_outside()

    return act


# -------------------------------------------------------------------- a payload's name


def _payload(ground: Ground, kind: Kind, window: Window) -> Iterator[str]:
    path = ground.inbox / kind.name
    ground.remember_outside()
    if window.point is None:
        kind.make(ground, path)
        ground.remember_outside()
    else:
        path.write_bytes(HONEST)
        os.utime(path, (2.0, 2.0))
        ground.points.at(window.point, _swap(ground, kind, path))
    ground.welcome_bystanders()
    ground.sweep()
    if window.point is not None and window.point not in ground.points.reached:
        yield "the window was never reached"
    yield from ground.wrong(at_rest=False)
    yield from _follow(ground, kind, window)
    yield from ground.wrong(at_rest=True)


def _follow(ground: Ground, kind: Kind, window: Window) -> Iterator[str]:
    """Let the wait be over, let strangers let go, and hold what became of it against what was promised."""
    name = os.fsencode(kind.name)
    honest = int(window.moved)  # the honest file had been moved: it is a job whatever comes after it
    if honest and HONEST not in ground.content(name):
        yield "the honest file was in, and is no job"
    jobs, refused = ground.jobs().count(name) - honest, ground.refused().get(name)
    fate = _fate_of(kind, window)
    early = {Fate.JOB: (1, False), Fate.REJECTED: (0, True)}.get(fate, (0, False))
    if fate is not Fate.PARTS and (jobs, refused is not None) != early:
        yield f"{fate.value}; at first there were {jobs} jobs and the refusal {refused}"
    ground.pass_by(WAIT_LIMIT + 1)
    ground.sweep()
    if fate is Fate.GIVEN_UP:
        refused = ground.refused().get(name)
        if refused is None:
            yield "it waits for ever"
    ground.release()
    ground.sweep()
    after = ground.jobs().count(name) - honest
    if fate is Fate.WAITS and after != 1:
        yield f"it was let go and became {after} jobs"
    if fate is Fate.PARTS:
        yield from _parts(ground, kind)
    if fate is Fate.GHOST and (after or refused or name in ground.left()):
        yield "a ghost was not removed"
    if refused is not None and kind.reason not in refused.reason and window.point != "rename x":
        yield f"the reason is {refused.reason!r}"


def _fate_of(kind: Kind, window: Window) -> Fate:
    """The same as ever, but for what was moved in the place of the honest file: a folder is no file, then."""
    if window.point != "rename x":
        return kind.fate
    if "folder" in kind.what and kind.fate in (Fate.PARTS, Fate.IGNORED, Fate.STAYS):
        return Fate.REJECTED
    if kind.what.startswith(("a hard link to a payload",)):
        return Fate.GIVEN_UP
    return kind.fate


def _parts(ground: Ground, kind: Kind) -> Iterator[str]:
    below = os.fsencode(f"{kind.name}/")
    jobs = [name for name in ground.jobs() if name.startswith(below)]
    refused = [said.reason for name, said in ground.refused().items() if name.startswith(below)]
    if not jobs + refused:
        yield f"nothing became of what is in it: {ground.jobs()} {list(ground.refused())}"
    if kind.reason and not any(kind.reason in reason for reason in refused):
        yield f"what is in it was refused because {refused}"


# -------------------------------------------------------------------- a sidecar's name


def _sidecar(ground: Ground, kind: Kind, window: Window) -> Iterator[str]:
    payload, path = ground.inbox / "x", ground.inbox / "x.job.json"
    payload.write_bytes(HONEST)
    os.utime(payload, (2.0, 2.0))
    ground.remember_outside()
    if window.point is None:
        kind.make(ground, path)
        ground.remember_outside()
    else:
        path.write_bytes(b'{"priority": 3}')
        ground.points.at(window.point, _swap(ground, kind, path))
    ground.welcome_bystanders()
    ground.sweep()
    if window.point is not None and window.point not in ground.points.reached:
        yield "the window was never reached"
    yield from ground.wrong(at_rest=False)
    counted = window in SIDECAR_WINDOWS[2:]  # the honest one was read: it is part of the job
    yield from _counted(ground) if counted else _judged(ground, kind)
    ground.release()
    ground.sweep()
    yield from ground.wrong(at_rest=True)


def _counted(ground: Ground) -> Iterator[str]:
    """The job is the honest one, with the honest sidecar; what came in its place is the next file's, and not lost."""
    if ground.jobs().count(NAME) != 1 or ground.content(NAME) != [HONEST]:
        yield f"the payload became {ground.jobs()}"
    elif (job := ground.index.job_by_name("default", NAME, 0.0)) and job.priority != 3:
        yield f"its sidecar counted for nothing: priority {job.priority}"
    swapped = b"x.job.json"
    is_there = swapped in ground.left() or swapped in ground.refused()
    parts = any(name.startswith(b"x.job.json/") for name in ground.jobs())
    if not is_there and not parts:
        yield "what came in the place of the sidecar was removed without a word"


def _judged(ground: Ground, kind: Kind) -> Iterator[str]:
    jobs, refused = ground.jobs().count(NAME), ground.refused().get(NAME)
    expected = {Fate.JOB: (1, False), Fate.REJECTED: (0, True)}.get(kind.fate, (0, False))
    if (jobs, refused is not None) != expected:
        yield f"its payload: {kind.fate.value}; at first there were {jobs} jobs and the refusal {refused}"
    ground.pass_by(WAIT_LIMIT + 1)
    ground.sweep()
    if kind.fate is Fate.GIVEN_UP and not (refused := ground.refused().get(NAME)):
        yield "its payload waits for ever"
    ground.release()
    ground.sweep()
    if kind.fate is Fate.WAITS and not ground.jobs().count(NAME) and not ground.refused().get(NAME):
        yield "its payload waits although the sidecar was let go"
    if refused is not None and kind.reason not in refused.reason:
        yield f"the reason is {refused.reason!r}"


# -------------------------------------------------------------------- the folder around it


def _folder(ground: Ground, kind: Kind, window: Window) -> Iterator[str]:
    folder = ground.inbox / "d"
    folder.mkdir()
    (folder / "x").write_bytes(HONEST)
    os.utime(folder / "x", (2.0, 2.0))
    ground.remember_outside()
    ground.points.at(str(window.point), _swap(ground, kind, folder))
    ground.welcome_bystanders()
    ground.sweep()
    yield from ground.wrong(at_rest=False)
    ground.pass_by(WAIT_LIMIT + 1)
    ground.sweep()
    ground.pass_by(WAIT_LIMIT + 1)
    ground.sweep()
    ground.release()
    yield from _honest_is_somewhere(ground, kind)
    yield from ground.wrong(at_rest=True)


def _honest_is_somewhere(ground: Ground, kind: Kind) -> Iterator[str]:
    """A job, or where the stranger has put it: removing one's own folder removes what is in it."""
    names = sorted({name for name in ground.jobs() if HONEST in ground.content(name)})
    aside = ground.inbox / ".put aside" / "x"
    if len(names) + int(aside.exists()) != 1 and kind.make is not FOLDERS[0].make:
        yield f"the honest file is in {names} and {'' if aside.exists() else 'not '}put aside"
