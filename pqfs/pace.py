"""Which barrier is quicker: an fsync for each file and directory, or one syncfs for all that the file system holds.

An fsync waits for its own data only and costs about one commit of the journal each; a syncfs costs one commit in all
and waits for whatever others are writing there. Which is quicker depends on the disk, on the number of files and on
the neighbours (measured: 6,000 files a second with syncfs alone on the disk, 570 beside an installation; 1,300 to
1,600 with an fsync each). So both are measured, and the one that is not in use is tried again now and then.
"""

from __future__ import annotations

from collections import Counter

_FEW = 2  # up to this many files an fsync each is the first guess
_TRY_EVERY = 32  # barriers; so many times more as the other way is slower, so that trials cost about 3 %
_SMOOTHING = 0.2


class Pace:
    """The first guess, and nothing more: a few files one by one, more of them at once."""

    def prefers_fsync(self, files: int, directories: int) -> bool:
        """Whether so many files and directories are to be made durable one by one."""
        return files <= _FEW

    def note_fsync(self, calls: int, seconds: float) -> None:
        """So many calls of fsync have taken so long."""

    def note_syncfs(self, files: int, seconds: float) -> None:
        """One syncfs after so many files has taken so long."""

    def told(self) -> dict[str, float]:
        """Milliseconds that each way costs by now, for people: `fsync`, and `syncfs of <n>` for up to n files."""
        return {}


class MeasuredPace(Pace):
    """What both ways have cost this process lately. Not for tests that play the same history twice."""

    def __init__(self) -> None:
        self._fsync: float | None = None  # seconds for one file or directory
        self._syncfs: dict[int, float] = {}  # seconds, by the magnitude of the batch
        self._untried: Counter[int] = Counter()  # barriers of a magnitude since the other way was tried

    def prefers_fsync(self, files: int, directories: int) -> bool:
        """What was quicker lately, or now and then the other way."""
        magnitude = _magnitude(files)
        fsync, syncfs = self._expected(files + directories, magnitude)
        is_quicker = super().prefers_fsync(files, directories) if fsync is None or syncfs is None else fsync < syncfs
        ratio = 1.0 if fsync is None or syncfs is None else max(fsync / syncfs, syncfs / fsync)
        self._untried[magnitude] += 1
        if self._untried[magnitude] <= _TRY_EVERY * ratio:
            return is_quicker
        self._untried[magnitude] = 0
        return not is_quicker

    def _expected(self, calls: int, magnitude: int) -> tuple[float | None, float | None]:
        return None if self._fsync is None else calls * self._fsync, self._syncfs.get(magnitude)

    def note_fsync(self, calls: int, seconds: float) -> None:
        """Learn from it."""
        self._fsync = _smooth(self._fsync, max(seconds / calls, 1e-6))

    def note_syncfs(self, files: int, seconds: float) -> None:
        """Learn from it."""
        magnitude = _magnitude(files)
        self._syncfs[magnitude] = _smooth(self._syncfs.get(magnitude), max(seconds, 1e-6))

    def told(self) -> dict[str, float]:
        """What was learnt."""
        syncfs = {f"syncfs of {4 ** (size + 1) - 1}": seconds * 1e3 for size, seconds in sorted(self._syncfs.items())}
        return syncfs if self._fsync is None else {"fsync": self._fsync * 1e3, **syncfs}


def _magnitude(files: int) -> int:
    """0 for 1 to 3 files, 1 for 4 to 15, 2 for 16 to 63, and so on."""
    return (files.bit_length() - 1) // 2


def _smooth(last: float | None, seconds: float) -> float:
    return seconds if last is None else last + _SMOOTHING * (seconds - last)
