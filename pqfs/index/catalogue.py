"""Reads the catalogue of named SQL and fills in what differs between engines."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from pathlib import Path

from pqfs.index.tables import ROWS, TABLES

COLUMNS = (
    "id", "queue", "name", "arriver", "state", "place", "confirmed", "priority", "attempt", "failures",
    "crashes", "losses", "owner", "size", "created_at", "ready_at", "updated_at", "output", "output_size",
    "output_sha256", "error", "options", "cancel_by", "assigned_to", "fingerprint", "origin",
)  # fmt: skip
OUTLINE = ("id", "queue", "name", "arriver", "state", "place", "confirmed", "attempt", "size", "updated_at")
_HERE = Path(__file__).parent
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_MIGRATION = re.compile(r"(\d{4})_\w+\.sql")


def statements(tokens: Mapping[str, str]) -> dict[str, str]:
    """Every statement by its name, with the engine's tokens filled in."""
    tables = _of_tables({"count", "first", "next", "get", "put", "drop"})
    return _filled("statements.sql", tokens) | tables | _of_changes(tokens["engine"])


def batches(tokens: Mapping[str, str]) -> dict[str, str]:
    """Statements of the same names for many sets of parameters, which come as one array each. Only PostgreSQL."""
    return _filled("batches.sql", tokens) | _of_tables({"get_many", "put_many"})


def _of_tables(verbs: Container[str]) -> dict[str, str]:
    """What is asked of whole tables: `put_many` has the name of what it does more quickly, `put_<table>`."""
    bare = [(verb.partition("_")[0], _bare(sql)) for verb, sql in _named("tables.sql") if verb in verbs]
    told = [(each.name, each.tokens) for each in TABLES]
    return {f"{verb}_{name}": sql.format_map(tokens) for name, tokens in told for verb, sql in bare}


def _of_changes(engine: str) -> dict[str, str]:
    """How an engine records which rows change, and ends that: what is done to each table, as one statement."""
    bare = {name: _bare(sql) for name, sql in _named(f"changes.{engine}.sql")}
    told = [table.tokens for table in ROWS]
    each = {name: [sql.format_map(tokens) for tokens in told] for name, sql in bare.items() if "_of" in name}
    return {
        name: "\n".join([*each.get(f"{name}_of", []), sql]) for name, sql in bare.items() if "_of" not in name
    } | {f"changed_{table.name}": sql for table, sql in zip(ROWS, each["changed_of"], strict=True)}


def _filled(file: str, tokens: Mapping[str, str]) -> dict[str, str]:
    lists = {"columns": ", ".join(COLUMNS), "outline": ", ".join(OUTLINE)}
    return {name: fill(sql, lists | dict(tokens)) for name, sql in _named(file)}


def _named(file: str) -> Iterator[tuple[str, str]]:
    parts = _NAME.split((_HERE / file).read_text("utf-8"))[1:]
    return zip(parts[::2], parts[1::2], strict=True)


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
    return re.sub(r"\{(\w+)\}", lambda match: tokens[match[1]], _bare(sql))


def _bare(sql: str) -> str:
    return re.sub(r"--[^\n]*", "", sql).strip()
