"""What real processes touch while strangers own the inbox: seen by strace, nothing beyond the spool is changed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.ground import LARGEST, Ground
from tests.hostile.kinds import KINDS, SIDECARS, Kind

_CHANGES = (
    "creat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,rmdir,mkdir,mkdirat,mknod,mknodat,"
    "chmod,fchmod,fchmodat,chown,fchown,lchown,fchownat,truncate,ftruncate,utimensat,setxattr,fsetxattr,removexattr"
)
_OPENS = "open,openat,openat2"
_CALL = re.compile(r"^\d+ +(\w+)\((.*)\) = (\S+)(.*)$")
_FILE = re.compile(r'(?:(?:AT_FDCWD|\d+)<((?:[^>\\]|\\.)*)>(?:, )?)?(?:"((?:[^"\\]|\\.)*)")?')
_COMMANDS = (("ingest", "--drain", "--patience", "0s"), ("consume", "--drain"), ("janitor", "--once"))
_BOUNDED = f"[defaults]\nmax_size = {LARGEST}\n[queues.mail]\nmax_size = {LARGEST}\n"
_EVERYBODYS = ("/dev/null", "/dev/tty", "/proc/self/")

pytestmark = pytest.mark.slow


def _make_all(ground: Ground) -> None:
    """Every kind of object that this user can make, under a name of its own."""
    for number, kind in enumerate(KINDS):
        if "3,000 deep" in kind.what:
            continue  # what is left of it is too deep for whoever clears up after a test
        _make(ground, kind, kind.name if kind.name != "x" else f"object-{number:03}")
    for number, kind in enumerate(SIDECARS):
        (ground.inbox / f"beside-{number:03}").write_bytes(b"payload")
        _make(ground, kind, f"beside-{number:03}.job.json")


def _make(ground: Ground, kind: Kind, name: str) -> None:
    if kind.is_possible and not os.path.lexists(ground.inbox / name):
        kind.make(ground, ground.inbox / name)


def _traced(root: Path, *command: str) -> list[str]:
    """The lines that strace has written about one command of pqfs and all that it started."""
    told = root / f"{command[0]}.trace"
    traced = f"trace={_OPENS},{_CHANGES}"
    flags = ["-f", "-qq", "-y", "-s", "9000", "-o", str(told), "-e", traced, "-e", "signal=none"]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    with (root / f"{command[0]}.log").open("wb") as log:
        run = subprocess.run(
            ["strace", *flags, sys.executable, "-m", "pqfs", *command],
            cwd=root, env=environment, stdout=log, stderr=log, timeout=120, check=False,
        )  # fmt: skip
    assert run.returncode == 0, (root / f"{command[0]}.log").read_text()
    return told.read_text(errors="replace").splitlines()


def _changed(lines: list[str]) -> Iterator[str]:
    """The paths that were opened for writing, or that a call names which changes something, successful or not."""
    for line in lines:
        if not (found := _CALL.match(line)):
            continue
        call, arguments, _, result = found.groups()
        if call not in _OPENS.split(","):
            yield from _named(arguments)
        elif re.search(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC", arguments):
            yield result[1:-1] if result.startswith("<") else next(_named(arguments))


def _named(arguments: str) -> Iterator[str]:
    for directory, name in _FILE.findall(arguments):
        if directory or name:
            yield os.path.normpath(os.path.join(directory, name))


def _opened(lines: list[str]) -> Iterator[str]:
    """The paths, after all links, of everything that was opened."""
    for line in lines:
        found = _CALL.match(line)
        if found and found[1] in _OPENS.split(",") and found[4].startswith("<"):
            yield found[4][1:-1]


def _is_ours(path: str, ground: Ground) -> bool:
    beside = (str(ground.settings.logs), *_EVERYBODYS)
    return path == str(ground.root) or path.startswith((f"{ground.root}/", *beside))


def test_nothing_outside_the_spool_is_changed_and_nothing_outside_is_read_for_a_stranger(tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not here")
    ground = Ground(tmp_path)
    (tmp_path / "pqfs.toml").write_text('spool = "spool"\nlogs = "logs"\nlow_water = 0\n' + _BOUNDED)
    try:
        _make_all(ground)
        ground.welcome_bystanders()
        ground.remember_outside()

        lines = [line for command in _COMMANDS for line in _traced(tmp_path, *command)]

        changed = set(_changed(lines))
        assert any(path.startswith(f"{ground.root}/outbox/") for path in changed), "the trace shows nothing"
        assert sorted(path for path in changed if not _is_ours(path, ground)) == []
        assert [path for path in _opened(lines) if path.startswith(f"{ground.outside}/")] == []
        assert list(ground.wrong(at_rest=False)) == []
    finally:
        ground.close()
