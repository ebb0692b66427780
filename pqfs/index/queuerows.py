"""What the index knows of queues as such: what people want of them, how much of each runs, who was passed over.

Apart from the verbs of jobs, because few ask: a claim from queues without limits, in which nobody has waited for
long, runs none of these statements.
"""

from __future__ import annotations

from pqfs.index import Candidate, Engine, Queue


class QueueRows:
    """The queues of one index. Write verbs must run inside its `transaction()`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # ---------------------------------------------------------------- what people want

    def wish(self, queue: Queue) -> bool:
        """Record what people want of a queue: its settings and its pause. False: there is no such queue."""
        names = ("name", "settings", "paused_at", "paused_by", "paused_reason", "paused_until")
        return bool(self._engine.run("wish_queue", {name: getattr(queue, name) for name in names}))

    def delete(self, name: str) -> bool:
        """Forget a queue in which no job is but completed ones. False: it is not so, or not there."""
        return bool(self._engine.run("delete_queue", {"name": name}))

    def lost(self) -> list[str]:
        """Queues that have no row although jobs are in them."""
        return [row[0] for row in self._engine.run("lost_queues", {})]

    # ---------------------------------------------------------------- limits

    def processing(self) -> dict[str, int]:
        """How many jobs of each queue are leased or run, over all consumers."""
        return {row[0]: row[2] for row in self._engine.run("counts", {}) if row[1] == "processing"}

    def leased_by(self, owner: str, queue: str) -> int:
        """How many jobs of a queue an owner holds."""
        return int(self._engine.run("leased_by", {"owner": owner, "queue": queue})[0][0])

    def count_claimed(self, queue: str, at: float, count: int) -> None:
        """Add to the jobs that a queue has started in a minute; below 0 for those that were given back."""
        self._engine.run("count_claimed", {"minute": int(at // 60), "queue": queue, "claimed": count})

    def claimed_since(self, queue: str, since: float) -> int:
        """How many jobs of a queue were started in the minutes since an instant, as far as that is counted."""
        return int(self._engine.run("claimed_since", {"minute": int(since // 60), "queue": queue})[0][0])

    # ---------------------------------------------------------------- age

    def passed_over(self, queue: str, priority: int, behind: int, limit: int) -> list[Candidate]:
        """The jobs of one priority, longest waiting first, without the first `behind` of them."""
        row = {"queue": queue, "priority": priority, "behind": behind, "limit": limit}
        return [Candidate(*found) for found in self._engine.run("passed_over", row)]
