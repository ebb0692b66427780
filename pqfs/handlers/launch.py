"""The exec helper: prepares a child process for a command, then becomes it.

    python -I -S launch.py <parent pid> [<name>=<value> …] -- <path of the program> <arguments…>

Run as a script of its own, so that no code of ours runs between fork and exec in the runner, and with nothing of
pqfs to import. What it prepares: death with the runner, no new privileges, no core files, umask 027, first in line
when memory runs out, and what the words ask for:

    memory cpu file_size open_files processes    limits, bytes, seconds and numbers (setrlimit(2))
    nice                                         lower priority
    read write hide network                      Landlock: writes only below `write`, reads below `read` but not
                                                 below `hide`; no TCP unless network=yes
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import stat
import struct
import sys
from collections.abc import Iterator

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
RESOURCES = {
    "memory": resource.RLIMIT_AS,
    "cpu": resource.RLIMIT_CPU,
    "file_size": resource.RLIMIT_FSIZE,
    "open_files": resource.RLIMIT_NOFILE,
    "processes": resource.RLIMIT_NPROC,
}
_GRACE = 5  # seconds of CPU between SIGXCPU, which may be caught, and SIGKILL


def main() -> None:
    """Prepare and exec; what fails is told on stderr, exit 127 or 126 as a shell would."""
    split = sys.argv.index("--")
    parent, words, command = int(sys.argv[1]), sys.argv[2:split], sys.argv[split + 1 :]
    asked: dict[str, list[str]] = {}
    for word in words:
        name, _, value = word.partition("=")
        asked.setdefault(name, []).append(value)
    try:
        _prepare(parent, asked)
        os.execv(command[0], command)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        print(f"{command[0]} can not be run: {error.strerror}{where}", file=sys.stderr)  # noqa: T201 -- the attempt's log
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def _prepare(parent: int, asked: dict[str, list[str]]) -> None:
    os.umask(0o027)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores the last two
        signal.signal(number, signal.SIG_DFL)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        _go_first_when_memory_runs_out()
    if os.getppid() != parent:
        os._exit(1)  # the runner died before it could take us along
    os.nice(int(asked.get("nice", ["0"])[0]))
    if "write" in asked:
        _confine(asked)
    _limit(asked)  # last: a limit may be too tight for this program


def _go_first_when_memory_runs_out() -> None:
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("500")
    except OSError:
        pass  # no /proc here: the kernel chooses by size alone


def _limit(asked: dict[str, list[str]]) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name, number in RESOURCES.items():
        if name in asked:
            _, hard = resource.getrlimit(number)
            wanted = int(asked[name][0])
            last = wanted + _GRACE if name == "cpu" else wanted
            highest = last if hard == resource.RLIM_INFINITY else min(hard, last)
            resource.setrlimit(number, (min(wanted, highest), highest))


# -------------------------------------------------------------------- Landlock
# Source: Linux, Documentation/userspace-api/landlock.rst; the numbers are the same on every architecture.

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1
_PATH_BENEATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = (1 << bit for bit in range(4))
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_OF_A_FILE = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_BITS = {1: 13, 2: 14, 3: 15, 4: 15}  # how many rights a version knows; from the fifth on 16
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


def landlock_version() -> int:
    """The version of Landlock that this kernel offers; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    return max(0, int(ctypes.CDLL(None).syscall(_CREATE_RULESET, None, 0, _VERSION)))


def _confine(asked: dict[str, list[str]]) -> None:
    """From here on, and for every descendant: only what was asked for."""
    version = landlock_version()
    if not version:
        raise OSError(95, "this kernel has no Landlock")
    rights = (1 << _BITS.get(version, 16)) - 1
    no_network = 0b11 if version >= 4 and asked.get("network") != ["yes"] else 0
    scoped = 0b11 if version >= 6 else 0  # no signals to, and no abstract sockets of, processes outside
    attributes = struct.pack("QQQ", rights, no_network, scoped)[: 8 if version < 4 else 16 if version < 6 else 24]
    ruleset = _call(_CREATE_RULESET, attributes, len(attributes), 0)
    hidden = asked["hide"][0] if "hide" in asked else None
    for path in asked.get("read", ()):
        for shown in _around(path, hidden):
            _allow(ruleset, shown, rights & _READ)
    for path in (*asked["write"], *_DEVICES):
        _allow(ruleset, path, rights)
    _call(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _around(path: str, hidden: str | None) -> Iterator[str]:
    """A path, or what it contains but for the folder that is to stay hidden."""
    if hidden is None or not f"{hidden}/".startswith(f"{path.rstrip('/')}/"):
        yield path
    elif path != hidden:
        for entry in _entries(path):
            yield from _around(entry, hidden)


def _entries(path: str) -> list[str]:
    """What a folder contains, links left out: they may lead to what is hidden, and lend no rights themselves."""
    try:
        return [entry.path for entry in os.scandir(path) if not entry.is_symlink()]
    except PermissionError:
        return []


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # what is not there can be neither read nor written
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _OF_A_FILE
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, descriptor), 0)
    finally:
        os.close(descriptor)


def _call(number: int, *arguments: int | bytes) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result = int(libc.syscall(number, *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock: {os.strerror(code)}")
    return result


if __name__ == "__main__":
    main()
