"""The exec helper: prepares a child process for a command, then becomes it.

Run as a script (`python -I -S launch.py <parent pid> <program> <arguments…>`), so that no code runs between
fork and exec in the runner: a process group of its own, death with the runner, no new privileges, no input.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38


def main() -> None:
    """Prepare and exec; an exec that fails is told on stderr, exit 127 or 126 as a shell would."""
    parent, program = int(sys.argv[1]), sys.argv[2]
    os.setpgid(0, 0)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)  # the runner died before it could take us along
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvp(program, sys.argv[2:])
    except OSError as error:
        print(f"{program} can not be run: {error.strerror}", file=sys.stderr)  # noqa: T201 -- stderr is the attempt's log
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


if __name__ == "__main__":
    main()
