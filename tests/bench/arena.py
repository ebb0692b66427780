"""Where contenders meet: fresh ground for each, the files that they get, and the processes that they are.

ext4 looks through recently deleted inodes whenever it makes a file, so that what one contender deleted slows the next
one down for minutes. Root therefore gets each of them a new ext4 image; anybody else a plain directory, and is told.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from pqfs import kernel
from tests.bench.usage import Birth, births

_ROOT = Path(__file__).parents[2]
_LEAST = 3 * 2**30  # bytes of an image; it is sparse, and a smaller one would have a smaller journal
_PATIENCE = 60.0  # seconds for a contender to end after it was asked to
_NEEDED = ("mkfs.ext4", "mount", "umount")


@dataclass(frozen=True, slots=True)
class Room:
    """What will lie on a ground at most: files and their bytes, inputs and outputs."""

    files: int
    bytes: int

    @property
    def needed(self) -> int:
        """Bytes of a disk that hold it, with what the contenders write beside it."""
        return int(self.bytes * 1.2) + self.files * 8192

    @property
    def size(self) -> int:
        """Bytes of an image that holds it."""
        return max(_LEAST, self.needed + 2**30)

    @property
    def inodes(self) -> int:
        """Inodes of an image that holds it."""
        return self.files * 3 // 2 + 50_000


@contextmanager
def ground(parent: Path | None, room: Room) -> Iterator[Path]:
    """An empty directory on a file system of its own (root), below `parent`; all of it is gone afterwards.

    Raises:
        SystemExit: the disk has not as much room.
    """
    scratch = Path(tempfile.mkdtemp(prefix="pqfs-bench-", dir=parent)).absolute()
    try:
        _refuse_to_fill(scratch, room)
        with _image(scratch, room) as top:
            base = top / "base"
            base.mkdir()
            yield base
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _refuse_to_fill(scratch: Path, room: Room) -> None:
    free = shutil.disk_usage(scratch).free
    if free < room.needed:
        raise SystemExit(
            f"{scratch.parent} has {free >> 20} MiB free, {room.needed >> 20} are needed: use --at, or less."
        )


@contextmanager
def _image(scratch: Path, room: Room) -> Iterator[Path]:
    """The top of a new ext4, unmounted at the end; the scratch directory itself where none is to be had."""
    top, image = scratch / "top", scratch / "image"
    top.mkdir()
    if not _is_mounted(top, image, room):
        yield top
        return
    try:
        yield top
    finally:
        _unmount(top)
        image.unlink()


def _is_mounted(top: Path, image: Path, room: Room) -> bool:
    if os.geteuid() != 0 or not all(map(shutil.which, _NEEDED)):
        return False
    with image.open("wb") as file:
        file.truncate(room.size)
    prompt = "lazy_itable_init=0,lazy_journal_init=0"  # or the kernel would write them while we measure
    make = ["mkfs.ext4", "-q", "-F", "-N", str(room.inodes), "-E", prompt, str(image)]
    for command in (make, ["mount", "-o", "loop", str(image), str(top)]):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            print(f"A plain directory instead of an image: {done.stderr.strip()}", file=sys.stderr)
            image.unlink()
            return False
    return True


def _unmount(top: Path) -> None:
    """Unmount, also what somebody is still looking at: then it goes when he does."""
    for options in ([], [], [], ["-l"]):
        if subprocess.run(["umount", *options, str(top)], capture_output=True).returncode == 0:
            return
        time.sleep(0.5)


def kind_of(base: Path) -> str:
    """The file system of a ground, and whether it has it for itself."""
    own = ", a fresh image for each" if base.parent.is_mount() else ", a plain directory"
    return kernel.file_system(bytes(base)) + own


def settle(base: Path) -> None:
    """Write out all that is dirty on a ground, so that nobody pays for what was prepared."""
    descriptor = os.open(base, os.O_RDONLY | os.O_DIRECTORY)
    try:
        kernel.syncfs(descriptor)
    finally:
        os.close(descriptor)


# -------------------------------------------------------------------- processes


@contextmanager
def running(command: Sequence[str], base: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours with all that it starts; at the end it is asked to stop, and what it left behind is ended.

    It finds the ground in BENCH_BASE, no settings of the caller's, and works in the directory above the ground,
    where its talk goes to `log`.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PQFS_")}
    environment |= {"BENCH_BASE": str(base), "PYTHONPATH": str(_ROOT), **variables}
    with log_of(base).open("ab") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, cwd=base.parent, start_new_session=True
        )
    try:
        yield process
    finally:
        _end(process)


def log_of(base: Path) -> Path:
    """Where what runs on a ground writes its talk."""
    return base.parent / "log"


class Stuck(Exception):
    """A contender did not get as far as it should have; with the end of what it said."""

    def __init__(self, what: str, base: Path) -> None:
        super().__init__(f"{what}\n{log_of(base).read_text(errors='replace')[-2000:]}".strip())


def _end(process: subprocess.Popen[bytes]) -> None:
    left = births(process.pid)
    process.terminate()
    process.send_signal(signal.SIGCONT)  # it may have been stopped; send_signal leaves alone who was waited for
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        left |= births(process.pid)
        process.kill()
        process.wait()
    for birth in left:
        _kill(birth)


def _kill(birth: Birth) -> None:
    """End a process that outlived its parent, unless its number is another's by now; wait until it has gone."""
    with suppress(ProcessLookupError):
        if birth.still_lives():
            os.kill(birth.pid, signal.SIGKILL)
    while birth.still_lives():
        time.sleep(0.01)


# -------------------------------------------------------------------- programs


def arguments(description: str | None) -> argparse.ArgumentParser:
    """A parser with what every program here takes."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--at", type=Path, metavar="DIRECTORY", help="where the grounds are made [temporary files]")
    return parser


def command_line() -> str:
    """How this run was asked for."""
    name = Path(sys.argv[0]).stem
    return " ".join(["python -m", f"tests.bench.{name}", *sys.argv[1:]])


def interruptible() -> None:
    """Make TERM and INT end a program like an error does: grounds and processes are cleaned up on the way out."""

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        signal.signal(number, signal.SIG_IGN)  # once: a second one must not stop the cleaning
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
