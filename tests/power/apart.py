"""Runs something in a forked child: whatever it holds open, maps or breaks goes with it, as in a loss of power."""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import traceback
from collections.abc import Callable
from typing import NoReturn, TypeVar

from pqfs.kernel import die_with_parent

_Answer = TypeVar("_Answer")


class ChildFailed(Exception):
    """What stopped the child, in words."""


def apart(act: Callable[[], _Answer], within: int = 600) -> _Answer:
    """The answer of a function that a child runs; it is pickled.

    Raises:
        ChildFailed: it raised, died, or took longer than so many seconds.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        _run(act, write, within)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if not said:
        raise ChildFailed(f"it ended with status {os.waitstatus_to_exitcode(status)} and said nothing")
    answer, trouble = pickle.loads(said)
    if trouble is not None:
        raise ChildFailed(trouble)
    found: _Answer = answer
    return found


def _run(act: Callable[[], object], write: int, within: int) -> NoReturn:
    """In the child: nothing of the parent is closed, flushed or told."""
    die_with_parent(signal.SIGKILL)
    faulthandler.disable()  # a child may be killed by its disk; its parent tells of that
    signal.alarm(within)
    answer: object = None
    trouble = None
    try:
        answer = act()
    except BaseException as error:  # noqa: BLE001 -- the child tells its parent whatever stopped it
        frames = traceback.extract_tb(error.__traceback__)[-4:]
        way = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames))
        trouble = f"{type(error).__name__}: {error} ({way})"
    with os.fdopen(write, "wb") as pipe:
        pickle.dump((answer, trouble), pipe)
    os._exit(0)
