"""Where the files lie that travel with pqfs but are no Python: supervisord.conf and the console.

In a checkout they stand at the top level, where people look for them; a wheel carries them in pqfs/bundled.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from pqfs.errors import Misconfigured

_PACKAGE = Path(__file__).resolve().parent.parent
_CHECKOUT = _PACKAGE.parent
_BUNDLED = _PACKAGE / "bundled"


def shipped(name: str) -> Path:
    """The file or directory of this name (`supervisord.conf`, `ui`).

    Raises:
        Misconfigured: it is missing, so this installation is incomplete.
    """
    home = _CHECKOUT if (_CHECKOUT / "pyproject.toml").is_file() else _BUNDLED
    if not (home / name).exists():
        raise Misconfigured(
            f"{home / name} is missing: this installation of pqfs is incomplete.", "Install it again."
        )
    return home / name


def lay_contract(spool: Path) -> None:
    """Put the on-disk contract beside what it describes, unless there is one."""
    if not (spool / "README.md").exists():
        shutil.copyfile(shipped("spool/README.md"), spool / "README.md")
