"""How a hook hears of something: a program gets it on its standard input, a webhook is posted it, signed.

What comes of a try is a sentence, or nothing when it was heard. Nothing here is believed to end by itself: a program
and an answer have `timeout` seconds, then they are ended. No redirect is followed, no proxy asked.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pqfs.handlers.command import LAUNCH, locate
from pqfs.hooksettings import HookSettings

_KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "HOME")  # of our environment; all else is ours alone


@dataclass(frozen=True, slots=True)
class Letter:
    """What is to be told, as its receiver gets it. The `id` is the same at each try: by it repetitions are known."""

    id: str
    event: str
    body: bytes


def deliver(hook: HookSettings, letter: Letter, folder: Path, now: float) -> str | None:
    """Try once; None when it was heard, else why not. `folder` is that of pqfs.toml, `now` is what is signed with."""
    return _post(hook, letter, folder, now) if hook.url else _run(hook, letter, folder)


# -------------------------------------------------------------------- a program


def _run(hook: HookSettings, letter: Letter, folder: Path) -> str | None:
    program, *arguments = hook.command
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environment |= {"PQFS_NOTICE": letter.id, "PQFS_EVENT": letter.event}
    found = shutil.which(locate(program, str(folder)), path=environment.get("PATH"))
    if found is None:
        return f"the command {program!r} was not found"
    launcher = [sys.executable, "-I", "-S", LAUNCH, str(os.getpid()), "--", os.path.abspath(found), *arguments]
    process = subprocess.Popen(
        launcher, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=folder, env=environment,
        start_new_session=True,
    )  # fmt: skip
    try:
        process.communicate(letter.body, hook.timeout)
    except subprocess.TimeoutExpired:
        return f"{program} had not ended after {hook.timeout:g} seconds"
    finally:
        _end(process)
    return None if process.returncode == 0 else f"{program} ended with {_told(process.returncode)}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and all of its group, which it may have left running."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # nobody is left
    process.wait()


def _told(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


# -------------------------------------------------------------------- a webhook


def _post(hook: HookSettings, letter: Letter, folder: Path, now: float) -> str | None:
    parts = urlsplit(str(hook.url))
    try:
        headers = _headers(letter) | _signature(hook, letter, folder, now)
    except (OSError, ValueError) as error:
        return f"its secret can not be read: {error}"
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(str(parts.hostname), parts.port, timeout=hook.timeout)
    # `timeout` holds for each read of the socket; one that answers byte by byte would never meet it.
    watch = threading.Timer(hook.timeout, _cut, (connection,))
    watch.daemon = True
    watch.start()
    try:
        connection.request(
            "POST", f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}", letter.body, headers
        )
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"no answer: {str(error) or type(error).__name__}"
    finally:
        watch.cancel()
        connection.close()
    return None if 200 <= status < 300 else f"it answered {status}"


def _cut(connection: http.client.HTTPConnection) -> None:
    try:
        if connection.sock is not None:
            connection.sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it has just ended


def _headers(letter: Letter) -> dict[str, str]:
    return {
        "Content-Type": "application/json", "User-Agent": "pqfs", "Pqfs-Notice": letter.id,
        "Pqfs-Event": letter.event, "Connection": "close",
    }  # fmt: skip


def _signature(hook: HookSettings, letter: Letter, folder: Path, now: float) -> dict[str, str]:
    """HMAC-SHA256 over the time, a dot and the body, so that an old letter can not be sent once more as a new one."""
    if hook.secret_file:
        secret = (folder / Path(hook.secret_file).expanduser()).read_bytes().strip()
    elif hook.secret_env:
        secret = os.environb.get(os.fsencode(hook.secret_env), b"").strip()
    else:
        return {}
    if not secret:
        raise ValueError("it is empty")
    return {"Pqfs-Signature": sign(secret, int(now), letter.body)}


def sign(secret: bytes, at: int, body: bytes) -> str:
    """The signature of a letter: `t=<Unix seconds>,v1=<HMAC in hex>`."""
    return f"t={at},v1={hmac.new(secret, b'%d.' % at + body, hashlib.sha256).hexdigest()}"
