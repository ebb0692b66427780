"""Reads the catalogue of named SQL and fills in what differs between engines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

COLUMNS = (
    "id", "queue", "name", "arriver", "state", "place", "confirmed", "priority", "attempt", "failures",
    "crashes", "losses", "owner", "size", "created_at", "ready_at", "updated_at", "output", "output_size",
    "output_sha256", "error", "options", "cancel_by", "assigned_to", "fingerprint", "origin",
)  # fmt: skip
OUTLINE = ("id", "queue", "name", "arriver", "state", "place", "confirmed", "attempt", "size", "updated_at")
_HERE = Path(__file__).parent
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_MIGRATION = re.compile(r"(\d{4})_\w+\.sql")


def statements(tokens: Mapping[str, str], file: str = "statements.sql") -> dict[str, str]:
    """Every statement by its name, with the engine's tokens filled in."""
    text = (_HERE / file).read_text("utf-8")
    parts = _NAME.split(text)[1:]
    filled = {"columns": ", ".join(COLUMNS), "outline": ", ".join(OUTLINE), **tokens}
    return {name: fill(sql, filled) for name, sql in zip(parts[::2], parts[1::2], strict=True)}


def migrations(engine: str, tokens: Mapping[str, str]) -> list[tuple[int, str]]:
    """Number and text of each migration in order; `NNNN_name.<engine>.sql` follows its common part."""
    folder = _HERE / "migrations"
    found = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if match := _MIGRATION.fullmatch(entry.name):
            own = folder / entry.name.replace(".sql", f".{engine}.sql")
            text = entry.read_text("utf-8") + (own.read_text("utf-8") if own.is_file() else "")
            found.append((int(match[1]), fill(text, tokens)))
    return found


def fill(sql: str, tokens: Mapping[str, str]) -> str:
    """Replace `{token}`; an unknown token is a KeyError, never silent. Comments are dropped."""
    bare = re.sub(r"--[^\n]*", "", sql)
    return re.sub(r"\{(\w+)\}", lambda match: tokens[match[1]], bare).strip()
