"""When a job runs again, what that costs, and when it is given up."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pqfs.model import TRANSITIONS, Kind, Outcome, State, Verb
from pqfs.retry import Budget, RetryPolicy, Verdict, judge

POLICY = RetryPolicy()
kinds = st.sampled_from([kind for kind in Kind if kind is not Kind.DONE])
budgets = st.builds(Budget, st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
chances = st.floats(0, 1, exclude_max=True)


def verdicts(kind: Kind, policy: RetryPolicy = POLICY) -> list[Verdict]:
    """Every verdict that a job gets which ends that way each time, until it is given up (100 at most)."""
    budget, found = Budget(), []
    for _ in range(100):
        found.append(judge(policy, budget, Outcome(kind, "why"), 0.5))
        budget = found[-1].budget
        if found[-1].state is not State.PENDING:
            break
    return found


@pytest.mark.parametrize(
    ("kind", "runs", "end"),
    [
        (Kind.FAILED, 3, State.FAILED),
        (Kind.TIMEOUT, 3, State.FAILED),
        (Kind.PERMANENT, 1, State.FAILED),
        (Kind.MISSING, 1, State.FAILED),
        (Kind.CRASHED, 3, State.UNPROCESSABLE),
        (Kind.RETRY_LATER, 20, State.FAILED),
        (Kind.ENVIRONMENT, 20, State.FAILED),
        (Kind.LOST, 20, State.FAILED),
        (Kind.CANCELLED, 1, State.CANCELLED),
    ],
)
def test_what_goes_on_ending_badly_ends_for_good(kind: Kind, runs: int, end: State) -> None:
    found = verdicts(kind)

    assert len(found) == runs
    assert found[-1].state is end


def test_a_release_costs_nothing_for_ever() -> None:
    found = verdicts(Kind.RELEASED)

    assert len(found) == 100
    assert found[-1].budget == Budget()


@pytest.mark.parametrize(
    ("kind", "spent"),
    [
        (Kind.FAILED, Budget(failures=1)),
        (Kind.TIMEOUT, Budget(failures=1)),
        (Kind.PERMANENT, Budget(failures=1)),
        (Kind.MISSING, Budget(failures=1)),
        (Kind.CRASHED, Budget(crashes=1)),
        (Kind.RETRY_LATER, Budget(losses=1)),
        (Kind.ENVIRONMENT, Budget(losses=1)),
        (Kind.LOST, Budget(losses=1)),
        (Kind.RELEASED, Budget()),
        (Kind.CANCELLED, Budget()),
    ],
)
def test_each_ending_is_charged_to_one_budget(kind: Kind, spent: Budget) -> None:
    assert judge(POLICY, Budget(), Outcome(kind), 0.5).budget == spent


@given(kinds, budgets, chances)
def test_no_verdict_shrinks_a_budget_or_makes_a_move_that_the_model_does_not_know(
    kind: Kind, budget: Budget, chance: float
) -> None:
    verdict = judge(POLICY, budget, Outcome(kind, "why", delay=7.0), chance)

    assert verdict.budget.failures >= budget.failures
    assert verdict.budget.crashes >= budget.crashes
    assert verdict.budget.losses >= budget.losses
    allowed = {
        state
        for verb in (Verb.FAIL, Verb.CRASH, Verb.RELEASE, Verb.CANCEL)
        for state in TRANSITIONS[State.PROCESSING, verb]
    }
    assert verdict.state in allowed
    assert verdict.wait >= 0.0
    assert verdict.state is State.PENDING or verdict.wait == 0.0


@given(st.integers(1, 5000), chances)
def test_the_pause_grows_with_full_jitter_up_to_its_cap(failures: int, chance: float) -> None:
    """5000 failures make a power of two that no float holds: the cap must come first."""
    bound = min(POLICY.backoff_cap, POLICY.backoff * 2.0 ** min(failures - 1, 100))

    assert 0.0 <= POLICY.pause(failures, chance) <= bound
    assert POLICY.pause(failures, 0.0) == 0.0


def test_the_first_pauses_double() -> None:
    assert [POLICY.pause(n, 0.5) for n in (1, 2, 3, 4)] == [2.5, 5.0, 10.0, 20.0]
    assert POLICY.pause(50, 0.5) == POLICY.backoff_cap / 2


def test_the_first_crash_runs_again_at_once_and_later_ones_wait() -> None:
    waits = [verdict.wait for verdict in verdicts(Kind.CRASHED)]

    assert waits == [0.0, 2.5, 0.0]


def test_a_handler_that_asks_for_a_delay_gets_it() -> None:
    verdict = judge(POLICY, Budget(), Outcome(Kind.RETRY_LATER, "busy", delay=42.0), 0.9)

    assert (verdict.state, verdict.wait, verdict.error) == (State.PENDING, 42.0, "busy")


def test_what_is_given_up_says_why() -> None:
    last = verdicts(Kind.LOST)[-1]

    assert last.error is not None
    assert "20 attempts" in last.error
    assert last.error.endswith("why")


@pytest.mark.parametrize("limits", [lambda n: RetryPolicy(max_failures=n), lambda n: RetryPolicy(max_crashes=n)])
def test_a_limit_of_one_forgives_nothing(limits: Callable[[int], RetryPolicy]) -> None:
    kind = Kind.FAILED if limits(1).max_failures == 1 else Kind.CRASHED

    assert len(verdicts(kind, limits(1))) == 1
    assert len(verdicts(kind, limits(5))) == 5


def test_a_job_that_is_done_needs_no_verdict() -> None:
    with pytest.raises(ValueError, match="needs no verdict"):
        judge(POLICY, Budget(), Outcome(Kind.DONE), 0.5)
