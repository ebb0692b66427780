"""Where the index is, as pqfs.toml says it: the one line that a command changes of a file that people write."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pqfs.settings import without_secret

if TYPE_CHECKING:
    from pqfs.settings import Loaded, Settings

_LINE = re.compile(r"^index[ \t]*=.*$", re.MULTILINE)
_SECTION = re.compile(r"^[ \t]*\[", re.MULTILINE)


def readdress(loaded: Loaded, here: Settings, there: Settings) -> bool:
    """Let pqfs.toml name the new place of its index; whether it does now.

    It does not where the address comes from elsewhere (the environment, a flag), or holds a password. Where there is
    no such file yet, it is made, if it would be the one beside the spool.
    """
    config, origin = told_in(loaded), loaded.origins.get("index")
    if config is None or origin not in (None, str(config)) or here.index_place != loaded.settings.index_place:
        return False
    if without_secret(there.index) != there.index:
        return False
    path = config.resolve()
    text = path.read_text("utf-8") if path.exists() else ""
    changed = _with_index(text, there.index)
    if not _says(changed, tomllib.loads(text) | {"index": there.index}):
        return False  # it tells the address in another way, or has a line that looks like one and is none
    _exchange(path, changed)
    return True


def told_in(loaded: Loaded) -> Path | None:
    """The pqfs.toml of these settings: the one that was read, or the one that would be, beside the spool."""
    if loaded.config or loaded.edition is None:
        return loaded.config
    usual = Path(loaded.edition.path)
    return usual if usual.parent == loaded.settings.spool.parent else None


def _says(text: str, wanted: Mapping[str, Any]) -> bool:
    try:
        return tomllib.loads(text) == wanted
    except tomllib.TOMLDecodeError:
        return False


def _with_index(text: str, address: str) -> str:
    """The text with its line `index = …` exchanged, or one more before the first section."""
    line = f"index = {json.dumps(address)}"
    section = _SECTION.search(text)
    head, rest = (text[: section.start()], text[section.start() :]) if section else (text, "")
    if _LINE.search(head):
        return _LINE.sub(lambda _: line, head, count=1) + rest
    head = head if not head or head.endswith("\n") else f"{head}\n"
    return f"{head}{line}\n\n{rest}" if rest else f"{head}{line}\n"


def _exchange(path: Path, text: str) -> None:
    """Write the file anew, whole or not at all; its mode and owner as they were, or those of its folder's owner."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with fresh.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            like = path.stat() if path.exists() else path.parent.stat()
            os.fchmod(file.fileno(), like.st_mode & 0o666)
            os.fchown(file.fileno(), like.st_uid, like.st_gid)
            os.fsync(file.fileno())
        fresh.rename(path)
    finally:
        fresh.unlink(missing_ok=True)
