"""When a job that did not succeed runs again, and when it is given up.

Pure rules: `now` and a source of chance come in, a state and an instant come out. Budgets are counted apart:
`failures` (the handler said no, or ran out of time), `crashes` (it took its runner down) and `losses`
(started and lost, or asked to come back later). A restart, a drain or a full disk costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from pqfs.model import Kind, Outcome, State


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The limits and the rhythm of one queue. Durations in seconds."""

    max_failures: int = 3
    max_crashes: int = 3
    max_losses: int = 20
    backoff: float = 5.0
    backoff_cap: float = 600.0

    def pause(self, failures: int, chance: float) -> float:
        """Seconds until the next attempt: exponential with full jitter and a cap. `chance` is in [0, 1).

        Source: "Exponential Backoff and Jitter", AWS Architecture Blog 2015 (full jitter).
        """
        doublings = min(60, max(0, failures - 1))  # 2.0 ** 1024 is no float any more
        return chance * min(self.backoff_cap, self.backoff * 2.0**doublings)


@dataclass(frozen=True, slots=True)
class Budget:
    """What a job has used up so far."""

    failures: int = 0
    crashes: int = 0
    losses: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a job whose attempt did not succeed."""

    state: State
    budget: Budget
    wait: float
    error: str | None


def judge(policy: RetryPolicy, budget: Budget, outcome: Outcome, chance: float) -> Verdict:
    """Decide what an unsuccessful outcome means for its job."""
    match outcome.kind:
        case Kind.FAILED | Kind.TIMEOUT:
            return _failed(policy, budget, outcome, chance)
        case Kind.PERMANENT | Kind.MISSING:
            spent = Budget(budget.failures + 1, budget.crashes, budget.losses)
            return Verdict(State.FAILED, spent, 0.0, outcome.error)
        case Kind.CRASHED:
            return _crashed(policy, budget, outcome, chance)
        case Kind.CANCELLED:
            return Verdict(State.CANCELLED, budget, 0.0, outcome.error)
        case Kind.RETRY_LATER | Kind.ENVIRONMENT | Kind.LOST:
            return _lost(policy, budget, outcome)
        case Kind.RELEASED:
            return Verdict(State.PENDING, budget, outcome.delay, outcome.error)
        case Kind.DONE:
            raise ValueError("a job that is done needs no verdict")


def _failed(policy: RetryPolicy, budget: Budget, outcome: Outcome, chance: float) -> Verdict:
    spent = Budget(budget.failures + 1, budget.crashes, budget.losses)
    if spent.failures >= policy.max_failures:
        return Verdict(State.FAILED, spent, 0.0, outcome.error)
    return Verdict(State.PENDING, spent, policy.pause(spent.failures, chance), outcome.error)


def _crashed(policy: RetryPolicy, budget: Budget, outcome: Outcome, chance: float) -> Verdict:
    spent = Budget(budget.failures, budget.crashes + 1, budget.losses)
    if spent.crashes >= policy.max_crashes:
        return Verdict(State.UNPROCESSABLE, spent, 0.0, outcome.error)
    # The first crash may be an operator's kill: run again at once; later ones wait like failures.
    wait = policy.pause(spent.crashes - 1, chance) if spent.crashes > 1 else 0.0
    return Verdict(State.PENDING, spent, wait, outcome.error)


def _lost(policy: RetryPolicy, budget: Budget, outcome: Outcome) -> Verdict:
    spent = Budget(budget.failures, budget.crashes, budget.losses + 1)
    if spent.losses >= policy.max_losses:
        why = f"given up after {spent.losses} attempts that could not finish; the last: {outcome.error}"
        return Verdict(State.FAILED, spent, 0.0, why)
    return Verdict(State.PENDING, spent, outcome.delay, outcome.error)
