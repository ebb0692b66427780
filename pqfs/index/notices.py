"""The rows of what is still to be told, and to whom. Written in the transaction of the act that they tell of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pqfs.index import Engine, Row

RECEIPT = "receipt"  # the sink of a queue's receipts; all others are the marks of hooks


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that one receiver is to be told. Instants are Unix seconds."""

    number: int
    id: str
    sink: str
    subject: str
    queue: str
    job: str | None
    kind: str
    body: Mapping[str, Any]
    at: float
    due_at: float
    tries: int = 0
    error: str | None = None
    put_aside_at: float | None = None


class Notices:
    """The notices of one index. Verbs that write must run inside a transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, sinks: Iterable[str], subject: str, kind: str, body: Mapping[str, Any], at: float) -> None:
        """Note what each of these sinks is to be told."""
        row = {"id": body["id"], "subject": subject, "queue": body["queue"], "job": body["job"], "kind": kind}
        text = json.dumps(body, ensure_ascii=False)
        self._engine.run_many("add_notice", [{**row, "sink": sink, "body": text, "at": at} for sink in sinks])

    def due(self, sink: str, now: float, limit: int) -> list[Notice]:
        """What a sink is to be told now, in the order in which it happened."""
        return [_notice(row) for row in self._engine.run("notices_due", {"sink": sink, "now": now, "limit": limit})]

    def sinks(self) -> list[str]:
        """Who is to be told anything, now or later."""
        return [row[0] for row in self._engine.run("notice_sinks", {})]

    def next_due(self) -> float | None:
        """When the next notice is due; None when there is none."""
        found: float | None = self._engine.run("next_notice", {})[0][0]
        return found

    def delivered(self, notice: Notice) -> None:
        """Forget what has been told; of a receipt also what was to be told of the same file before it."""
        if notice.sink == RECEIPT:
            row = {"sink": notice.sink, "subject": notice.subject, "number": notice.number}
            self._engine.run("notices_superseded", row)
        else:
            self._engine.run("notices_delivered", {"number": notice.number, "id": notice.id})

    def failed(self, notice: Notice, error: str, due_at: float, put_aside_at: float | None) -> None:
        """Note that a try has failed: the next one is at `due_at`, if it was not given up."""
        row = {"number": notice.number, "id": notice.id, "error": error, "due_at": due_at}
        self._engine.run("notice_failed", {**row, "put_aside_at": put_aside_at})

    def untold(self, limit: int) -> list[Notice]:
        """What was tried in vain, oldest first: to be tried again, or given up."""
        return [_notice(row) for row in self._engine.run("notices_untold", {"limit": limit})]

    def tell_again(self, now: float) -> int:
        """Let all that was tried in vain be tried anew, and now; how many."""
        return len(self._engine.run("notices_told_again", {"now": now}))

    def drop(self) -> int:
        """Forget all that was given up; how many."""
        return len(self._engine.run("notices_dropped", {}))

    def waiting(self) -> tuple[int, float | None]:
        """How many were given up, and when the next of the others is due."""
        row = self._engine.run("notices_waiting", {})[0]
        return row[0], row[1]


def _notice(row: Row) -> Notice:
    values = list(row)
    values[7] = json.loads(values[7])
    return Notice(*values)
