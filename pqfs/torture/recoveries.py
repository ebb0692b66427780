"""How long it took until work went on after each blow."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from pqfs.model import Attempt
from pqfs.torture.account import Account
from pqfs.torture.books import Line

_IGNORED = frozenset({"operator", "verb", "stop", "freeze", "restart"})


@dataclass(frozen=True, slots=True)
class Recovery:
    """One recovery: after the end of what, and how many seconds it took."""

    after: str
    seconds: float


def slowest_work(account: Account) -> Recovery | None:
    """The longest time from a kill, while jobs waited, to the next job that was completed."""
    ended = (each for history in account.attempts.values() for each in history)
    done = sorted(each.ended_at for each in ended if each.outcome == "done")
    found = []
    for kill in account.kills:
        at = bisect_right(done, kill["at"])
        if kill["kind"] not in _IGNORED and kill["waiting"] and at < len(done):
            found.append(Recovery(str(kill["kind"]), done[at] - float(kill["at"])))
    return max(found, key=lambda each: each.seconds, default=None)


def slowest_job(account: Account) -> Recovery | None:
    """The longest time from the end of a consumer to the next attempt of the job that it ran.

    Only the first crash of a job: later ones wait on purpose.
    """
    return max(_of_jobs(account), key=lambda each: each.seconds, default=None)


def _of_jobs(account: Account) -> Iterator[Recovery]:
    for kill in account.kills:
        history = account.attempts.get(kill.get("job") or "", [])
        if kill["kind"] == "consumer" and (again := _next(history, kill)):
            yield Recovery("consumer", again - float(kill["at"]))


def _next(history: list[Attempt], kill: Line) -> float | None:
    crashes = [each for each in history if each.outcome == "crashed"]
    if not crashes or (crashes[0].attempt, crashes[0].owner) != (kill["attempt"], kill["owner"]):
        return None
    return next((each.started_at for each in history if each.attempt == kill["attempt"] + 1), None)
