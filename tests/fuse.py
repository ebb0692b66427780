"""Small file systems of our own, made of FUSE: compiled where they are needed, from one file of C each."""

from __future__ import annotations

import subprocess
from pathlib import Path


def has_headers() -> bool:
    """Whether libfuse 3 can be compiled against here."""
    return subprocess.run(["pkg-config", "--exists", "fuse3"]).returncode == 0


def compiled(source: Path, folder: Path) -> Path:
    """The program, made from its source in a folder of the caller's."""
    program = folder / source.stem
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "fuse3"], capture_output=True, text=True, check=True)
    subprocess.run(["gcc", "-O2", source, "-o", program, *flags.stdout.split()], check=True)
    return program
