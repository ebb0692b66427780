"""The systemd unit that runs `pqfs up` at boot. systemd starts supervisord; supervisord starts the rest."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pqfs import kernel
from pqfs.footing import is_shared
from pqfs.stack.configuration import Instance

_UNIT = """\
# Install: pqfs systemd | sudo tee /etc/systemd/system/pqfs.service && sudo systemctl enable --now pqfs
[Unit]
Description=pqfs: the job queue in {spool}
{after}
RequiresMountsFor={mounts}

[Service]
Type=exec
User={user}
WorkingDirectory={directory}
ExecStart={command}
# TERM goes to pqfs alone, which lets the rest drain; what is left after the wait is killed.
KillMode=mixed
TimeoutStopSec=90
Restart=always
RestartSec=2

[Install]
WantedBy=multi-user.target
"""
_WITH_NETWORK = "Wants=network-online.target\nAfter=network-online.target remote-fs.target"


def unit(instance: Instance, flags: Sequence[str]) -> str:
    """The text of the unit file; `flags` are handed to `pqfs up`."""
    settings = instance.settings
    command = [sys.executable, "-P", "-m", "pqfs", "--spool", str(settings.spool), "--logs", str(settings.logs)]
    if instance.loaded.config:
        command += ["--config", str(instance.loaded.config)]
    needs_network = settings.index.startswith("postgres") or is_shared(
        kernel.file_system(os.fsencode(settings.spool))
    )
    return _UNIT.format(
        after=_WITH_NETWORK if needs_network else "After=network.target",
        spool=_escaped(settings.spool),
        mounts=f"{_quoted(settings.spool)} {_quoted(settings.logs)}",
        user=getpass.getuser(),
        directory=_escaped(instance.directory),
        command=" ".join(_quoted(word).replace("$", "$$") for word in [*command, "up", *flags]),
    )


def _escaped(word: str | Path) -> str:
    """A word in which `%` stands for itself: a unit file expands it."""
    return str(word).replace("%", "%%")


def _quoted(word: str | Path) -> str:
    r"""One word of a command line: blanks split outside quotes, and `\` escapes."""
    text = _escaped(word).replace("\\", "\\\\")
    return f'"{text}"' if any(mark.isspace() for mark in text) else text
