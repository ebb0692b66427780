"""The console as a process: which Streamlit is run, how, and where it may listen.

It listens on this host unless the setting `ui_address` says otherwise; then somebody must be able to sign in first,
and nobody sees anything before he has done so. The same where people come by another name, through a proxy on this
host. The console asks all that once more (`ui/`), however it was started.
"""

from __future__ import annotations

import ipaddress
import sys

from pqfs.errors import Misconfigured, Refused
from pqfs.settings import Loaded, Settings
from pqfs.stack.identity import FILE, identity
from pqfs.stack.shipped import shipped

_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


def is_loopback(address: str | None) -> bool:
    """Whether only this host can reach it. No address means all of them."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return False


def command(settings: Settings) -> list[str]:
    """The command line that runs it.

    Raises:
        Refused: it would listen to other hosts, and nobody can sign in.
    """
    is_local, host = is_loopback(settings.ui_address), _known_as(settings)
    if not is_local and not (settings.spool / "users.json").exists() and host is None:
        raise Refused(
            f"The console listens at {settings.ui_address}, where other hosts reach it, only if there is a password.",
            "Set one: pqfs auth set-password",
        )
    options = {
        "server.headless": "true", "server.address": settings.ui_address, "server.port": settings.ui_port,
        "server.enableXsrfProtection": "true", "server.enableCORS": "true",
        "browser.gatherUsageStats": "false", "server.fileWatcherType": "none",
        "client.toolbarMode": "minimal", "client.showErrorDetails": "none", "secrets.files": settings.spool / FILE,
    }  # fmt: skip
    flags = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    # A page of another site, whose name was made to mean this host, is none of these and gets no answer.
    names = dict.fromkeys((*_LOCAL_NAMES, settings.ui_address, *([host] if host else []))) if is_local else {}
    flags += [word for name in names for word in ("--server.allowedHosts", name)]
    return [sys.executable, str(shipped("ui") / "serve.py"), "run", str(shipped("ui") / "asgi.py"), *flags]


def _known_as(settings: Settings) -> str | None:
    """By which name people reach it who sign in by a provider; None where they can not: the page tells why."""
    try:
        return identity(settings.spool).host if settings.ui_oidc else None
    except Misconfigured:
        return None


def variables(loaded: Loaded) -> dict[str, str]:
    """What the console must find in its environment: the settings as this command has them."""
    settings = loaded.settings
    found = {
        "PQFS_SPOOL": str(settings.spool), "PQFS_LOGS": str(settings.logs), "PQFS_UI_ADDRESS": settings.ui_address,
    }  # fmt: skip
    found |= {"PQFS_UI_ONLY": settings.ui_only} if settings.ui_only else {}
    return found | ({"PQFS_CONFIG": str(loaded.config)} if loaded.config else {})
