"""Every table of the index, column by column, in an order in which rows can be written.

Not `counts`, which triggers keep. A test holds this against the schema.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Table:
    """A table: the columns of its primary key, and all columns with the types that PostgreSQL gives their arrays."""

    name: str
    keys: tuple[str, ...]
    columns: Mapping[str, str]

    def key(self, row: tuple[object, ...]) -> tuple[object, ...]:
        """The primary key of a row."""
        return row[: len(self.keys)]

    def named(self, row: tuple[object, ...]) -> dict[str, object]:
        """A row, or the beginning of one, as the parameters of a statement."""
        return dict(zip(self.columns, row, strict=False))

    @property
    def tokens(self) -> dict[str, str]:
        """How the statements of tables.sql speak of it."""
        others = [column for column in self.columns if column not in self.keys]
        return {
            "table": self.name, "columns": ", ".join(self.columns), "keys": ", ".join(self.keys),
            "given": ", ".join(f":{column}" for column in self.columns),
            "given_keys": ", ".join(f":{key}" for key in self.keys),
            "cast_keys": ", ".join(f"CAST(:{key} AS {_KIND[self.columns[key]]})" for key in self.keys),
            "old_keys": ", ".join(f"old.{key}" for key in self.keys),
            "new_keys": ", ".join(f"new.{key}" for key in self.keys),
            "given_arrays": self._arrays(self.columns), "given_key_arrays": self._arrays(self.keys),
            "replaced": ", ".join(f"{column} = excluded.{column}" for column in others),
        }  # fmt: skip

    def _arrays(self, names: Iterable[str]) -> str:
        return ", ".join(f"CAST(:{name} AS {_KIND[self.columns[name]]}[])" for name in names)


def _table(name: str, keys: str, *columns: str) -> Table:
    """`columns`: a type, a colon, and the columns of that type; those of the key come first."""
    found = {
        column: kind for kind, _, names in (each.partition(": ") for each in columns) for column in names.split()
    }
    wanted = tuple(keys.split())
    return Table(
        name, wanted, {column: found[column] for column in (*wanted, *(each for each in found if each not in wanted))}
    )


_KIND = {"text": "text", "whole": "bigint", "real": "double precision", "bytes": "bytea"}
TABLES = (
    _table(
        "queues", "name", "text: name paused_by paused_reason settings", "real: created_at paused_at paused_until",
    ),
    _table(
        "jobs", "id",
        "text: id queue arriver state place owner output output_sha256 error options cancel_by assigned_to",
        "text: fingerprint origin",
        "whole: confirmed due priority attempt failures crashes losses size output_size",
        "real: created_at ready_at updated_at", "bytes: name",
    ),
    _table(
        "attempts", "job attempt", "text: job owner outcome error log", "whole: attempt exit_code handler peak_bytes",
        "real: started_at ended_at run_seconds user_seconds system_seconds",
    ),
    _table("handlers", "id", "whole: id", "text: text"),
    _table("keys", "queue kind digest", "text: queue kind digest job"),
    _table(
        "consumers", "owner", "text: owner program host boot_id queues", "whole: pid completed",
        "real: started_at beat_at beat_boottime lease",
    ),
    _table("roster", "only_one", "whole: only_one", "text: slots"),
    _table(
        "stats", "minute queue", "text: queue", "whole: minute ingested completed failed bytes claimed",
        "real: run_seconds",
    ),
    _table("totals", "queue", "text: queue", "whole: ingested completed failed bytes", "real: run_seconds"),
    _table("outcomes", "queue outcome", "text: queue outcome", "whole: attempts"),
    _table("events", "id", "whole: id", "real: at", "text: actor verb job queue reason before after hash"),
    _table("chain", "only_one", "whole: only_one anchor head", "real: anchor_at", "text: anchor_hash head_hash"),
    _table(
        "notices", "number", "whole: number tries", "text: id sink subject queue job kind body error",
        "real: at due_at put_aside_at",
    ),
    _table(
        "schedules", "name", "text: name wish job trouble", "real: created_at paused_at done_at next_at ran_at",
    ),
    _table("hosts", "name", "text: name boot_id", "real: beat_at lease"),
    _table("identity", "only_one", "whole: only_one era", "text: spool"),
)  # fmt: skip
JOBS = next(each for each in TABLES if each.name == "jobs")
ROWS = TABLES[:-1]  # all but the mark that tells whose index it is: who has that is taken for the whole
