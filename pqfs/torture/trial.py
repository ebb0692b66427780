"""The handlers under torture. `pqfs torture` copies this file beside the scratch pqfs.toml.

    handle(context)                       the Python handler
    trial.py INPUT OUTPUT                 the command: starts a grandchild that keeps the output open
    trial.py grandchild OUTPUT            which scribbles on it, if anybody lets it live that long

What is to happen to a payload stands in its first line. Whoever is about to fail or to crash says so first, in
books/notes.jsonl, so that what is charged can be held against it. Imports nothing of pqfs but verdicts: the
command runs without site-packages.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from typing import Any

_NOTES = Path(__file__).parent / "books" / "notes.jsonl"
_SCRIBBLE_AFTER = 30.0
_LATER, _PERMANENT = 75, 65


def handle(context: Any) -> bytes | None:
    """The Python handler: does what the payload says, and returns or writes the output."""
    from pqfs.errors import Permanent, RetryLater

    data: bytes = context.input.read_bytes()
    wanted = _wanted(data)
    marks = context.environment
    match _misbehaviour(wanted, context.attempt):
        case "later":
            raise RetryLater("the torture asked for it", delay=0.3)
        case "permanent":
            _note(marks, "permanent")
            raise Permanent("the torture asked for it")
        case "fail":
            _note(marks, "fail")
            raise ValueError("the torture asked for it")
        case "crash":
            _crash(marks)
    head, end = _head(marks, context.name, context.metadata), _end(data)
    if wanted == "directory":
        _write_parts(context.output_dir, head, data, end)
        return None
    if wanted == "parts":
        _write_slowly(context.output, head + data + end, context.progress)
        return None
    if wanted == "slow":
        _dawdle(data, context.progress)
    if wanted == "chatty":
        sys.stdout.write("nothing worth reading\n" * 5000)
    return head + data + end


def _wanted(data: bytes) -> str:
    return str(json.loads(data.partition(b"\n")[0])["behave"]) if data else "plain"


def _misbehaviour(wanted: str, attempt: int) -> str | None:
    """How this attempt is to go wrong; most go wrong once only."""
    if wanted.startswith("always "):
        return wanted.removeprefix("always ")
    if wanted == "permanent":
        return wanted
    return wanted.removesuffix(" once") if wanted.endswith(" once") and attempt == 1 else None


def _note(marks: Mapping[str, str], will: str) -> None:
    job, attempt, owner = (marks[f"PQFS_{name}"] for name in ("JOB", "ATTEMPT", "OWNER"))
    line = {"job": job, "attempt": int(attempt), "owner": owner, "will": will}
    with _NOTES.open("ab", buffering=0) as notes:
        notes.write(json.dumps(line).encode() + b"\n")


def _crash(marks: Mapping[str, str]) -> None:
    _note(marks, "crash")
    os.kill(os.getpid(), signal.SIGKILL)


def _head(marks: Mapping[str, str], name: str, metadata: Mapping[str, Any]) -> bytes:
    told = {
        "job": marks["PQFS_JOB"], "attempt": int(marks["PQFS_ATTEMPT"]), "name": name,
        "metadata": metadata.get("number"),
    }  # fmt: skip
    return json.dumps(told).encode() + b"\n"


def _end(data: bytes) -> bytes:
    return f"\nEND {hashlib.sha256(data).hexdigest()}\n".encode()


def _write_parts(folder: Path, head: bytes, data: bytes, end: bytes) -> None:
    for name, part in (("1-head", head), ("2-body", data), ("3-end", end)):
        (folder / name).write_bytes(part)
        time.sleep(0.02)


def _write_slowly(path: Path, data: bytes, progress: Any) -> None:
    step = len(data) // 8 + 1
    with path.open("wb", buffering=0) as file:
        for first in range(0, len(data), step):
            _write(file, data[first : first + step])
            progress(first / len(data))
            time.sleep(0.02)


def _write(file: FileIO, data: bytes) -> None:
    """All of it: on a disk that is nearly full a single write may take a part and report no error."""
    while data:
        data = data[file.write(data) :]


def _dawdle(data: bytes, progress: Any) -> None:
    """Between a fifth of a second and one and a half, as the payload's bytes have it."""
    steps = 4 + data[-1] % 26
    for step in range(steps):
        progress(step / steps)
        time.sleep(0.05)


# -------------------------------------------------------------------- the command


def command(source: Path, target: Path) -> int:
    """The command handler: its grandchild leaves the session and keeps the output open for writing."""
    data = source.read_bytes()
    wanted, attempt = _wanted(data), int(os.environ["PQFS_ATTEMPT"])
    match _misbehaviour(wanted, attempt):
        case "later":
            return _LATER
        case "permanent":
            _note(os.environ, "permanent")
            return _PERMANENT
        case "fail" | "crash":
            _note(os.environ, "fail")  # the death of a command is a failure: it takes no runner down
            os.kill(os.getpid(), signal.SIGKILL)
    name = source.name.split(".", 3)[3]  # <job>.<attempt>.<queue>.<name>
    with target.open("wb", buffering=0) as file:
        _write(file, _head(os.environ, name, {}))
        if wanted == "grandchild":
            _beget(target)
        _write(file, data[: len(data) // 2])
        time.sleep(0.05)
        _write(file, data[len(data) // 2 :] + _end(data))
    return 0


def _beget(target: Path) -> None:
    subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, "grandchild", str(target)],
        start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    time.sleep(0.03)


def grandchild(target: Path) -> None:
    """Keep the output open, whoever publishes it, and spoil it much later."""
    with target.open("ab", buffering=0) as file:
        time.sleep(_SCRIBBLE_AFTER)
        file.write(b"scribbled by a grandchild that nobody ended\n")


if __name__ == "__main__":
    if sys.argv[1] == "grandchild":
        grandchild(Path(sys.argv[2]))
    else:
        sys.exit(command(Path(sys.argv[1]), Path(sys.argv[2])))
