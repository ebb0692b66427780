"""Mounts a directory as a share: `Share(program, server, mountpoint)`; what it denies is set while it runs."""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess
import time
from pathlib import Path

from tests.fuse import compiled, has_headers
from tests.power.mounts import unmount_anyhow

_SOURCE = Path(__file__).with_name("share.c")
_LIES = struct.Struct("=iii")
_PATIENCE = 10.0


def missing() -> str | None:
    """Why no share can be made here; None when one can."""
    if os.geteuid() != 0:
        return "a share is mounted by root"
    if not Path("/dev/fuse").exists() or shutil.which("gcc") is None or shutil.which("pkg-config") is None:
        return "a share needs /dev/fuse, gcc and pkg-config"
    if not has_headers():
        return "a share needs the headers of libfuse 3"
    return None


def compile_share(folder: Path) -> Path:
    """The program, made in a folder of the caller's."""
    return compiled(_SOURCE, folder)


class Share:
    """A directory of a server's, mounted on this host. Whoever works in `server` itself is another host."""

    def __init__(self, program: Path, server: Path, mountpoint: Path) -> None:
        self.server, self._mountpoint = server, mountpoint
        shared = server.with_name(f"{server.name}.lies")
        shared.write_bytes(bytes(_LIES.size))
        with shared.open("r+b") as file:
            self._lies = mmap.mmap(file.fileno(), _LIES.size)
        words: list[str | Path] = [program, server, shared, mountpoint]
        self._process = subprocess.Popen(words, start_new_session=True)
        deadline = time.monotonic() + _PATIENCE
        while not os.path.ismount(mountpoint):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise OSError(f"the share's process did not start (exit code {self._process.poll()})")
            time.sleep(0.005)

    def deny(self, every: int) -> None:
        """Of so many calls that change names, do one (by chance) and say that it was not done; 0: none."""
        _LIES.pack_into(self._lies, 0, every, self.denied, 0)

    @property
    def denied(self) -> int:
        """How many calls were done and denied."""
        return int(_LIES.unpack_from(self._lies)[1])

    def go_stale(self, stale: bool = True) -> None:
        """Answer every call that its handle is of a directory that is no more, as a server set up anew does."""
        _LIES.pack_into(self._lies, 0, 0, self.denied, int(stale))

    def close(self) -> None:
        """Take the share away."""
        unmount_anyhow(self._mountpoint)
        self._process.kill()
        self._process.wait()
