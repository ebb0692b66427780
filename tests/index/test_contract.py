"""The specification of the index: every verb in every state, fenced; what the schema itself refuses.

Runs on a real database file. Nothing here knows a file of the spool.
"""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pqfs.dispatch import Dispatch
from pqfs.errors import Corrupt, IndexBusy, SchemaTooNew, Unavailable
from pqfs.index import Completion, Consumer, Index, Settlement, catalogue, sqlite, walk
from pqfs.index.recording import Recording
from pqfs.index.sqlite import SqliteEngine, is_affected
from pqfs.model import FINAL, PLACES, TRANSITIONS, Arrival, Job, Kind, Outcome, Place, State, Verb, sources
from pqfs.retry import Budget
from pqfs.settings import Settings
from pqfs.terms import Terms
from tests.world import EPOCH, new_id

NOW = EPOCH
SCHEMATIC = {"record_changes", "forget_changes"}  # they make tables and triggers, for which there is no plan
of_sqlite = pytest.mark.parametrize("place", ["sqlite"], indirect=True)
slow_on_postgres = pytest.mark.parametrize(
    "place", ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)], indirect=True
)
DONE = Outcome(Kind.DONE, started_at=NOW, run_seconds=0.5, output_size=3, output_sha256="ab")
_HOME = {state: places[-1] if state is State.PROCESSING else places[0] for state, places in PLACES.items()}


def arrive(index: Index, queue: str = "default", **more: Any) -> Job:
    """A job that has just arrived. `more` are fields of Arrival."""
    fields = {"name": b"name", "size": 7, **more}
    arrival = Arrival(id=new_id(), queue=queue, **fields)
    with index.transaction():
        index.insert([arrival], "arriver", NOW)
    return known(index, arrival.id)


def known(index: Index, job: str) -> Job:
    found = index.job(job)
    assert found is not None
    return found


def claim(
    index: Index, limit: int = 1, owner: str = "me", now: float = NOW, queues: list[str] | None = None
) -> list[Job]:
    with index.transaction():
        return dispatch(index).claim(owner, queues or ["default"], limit, now)


def dispatch(index: Index) -> Dispatch:
    """Who decides what is leased."""
    return Dispatch(index, Terms(index, Settings()))


def bring_back(index: Index, leased: Job) -> None:
    """Note that a settled job's payload is in ready/ again: before that nobody can claim it."""
    with index.transaction():
        assert index.confirm([replace(leased, state=State.PENDING, place=Place.READY)]) == {leased.id}


def settlement(job: Job, state: State, **more: Any) -> Settlement:
    fields = {"budget": Budget(job.failures, job.crashes, job.losses), "ready_at": NOW, "error": None, **more}
    return Settlement(job, state, **fields)


def complete(index: Index, job: Job, output: str = "output") -> set[str]:
    with index.transaction():
        return index.complete([Completion(job, Place.DONE, output, DONE)], NOW)


def in_state(index: Index, state: State) -> Job:
    """A job in this state, brought there by real verbs."""
    if state is State.PENDING:
        return arrive(index)
    job = arrive(index, priority=1000)  # before all that waits already
    if state in (State.HELD, State.CANCELLED):
        with index.transaction():
            steered = index.steer(settlement(job, state), NOW)
        assert steered is not None
        return steered
    (leased,) = claim(index)
    assert leased.id == job.id
    if state is State.COMPLETED:
        assert complete(index, leased, f"output of {job.id}") == {job.id}
    elif state is not State.PROCESSING:
        with index.transaction():
            assert index.settle(settlement(leased, state, error="why"), NOW)
    return known(index, job.id)


# -------------------------------------------------------------------- arrival


def test_it_tells_how_much_room_it_takes(index: Index) -> None:
    index.engine.checkpoint()

    assert index.engine.bytes() > 50_000  # its empty tables


def test_an_arrival_becomes_a_pending_job_with_everything_it_brought(index: Index) -> None:
    name = b"\xff\n name"

    job = arrive(index, name=name, size=2**40, priority=-3, options={"timeout": 5.0})

    assert (job.state, job.place, job.confirmed) == (State.PENDING, Place.READY, True)
    assert (job.name, job.size, job.priority, job.options) == (name, 2**40, -3, {"timeout": 5.0})
    assert (job.attempt, job.failures, job.crashes, job.losses, job.owner) == (0, 0, 0, 0, None)
    assert (job.created_at, job.ready_at, job.updated_at) == (NOW, NOW, NOW)


def test_an_arrival_that_is_there_already_stays_as_it_is(index: Index) -> None:
    job = arrive(index)
    (leased,) = claim(index)

    with index.transaction():
        index.insert([Arrival(job.id, "default", b"other", 1)], "other", NOW + 1)

    assert known(index, job.id) == leased
    assert index.counts() == [("default", State.PROCESSING, 1)]


def test_a_held_arrival_is_never_claimed(index: Index) -> None:
    job = arrive(index, held=True)

    assert job.state is State.HELD
    assert claim(index) == []


# -------------------------------------------------------------------- claim


def test_jobs_are_claimed_by_priority_then_ready_at_then_id(index: Index) -> None:
    late, early = arrive(index, ready_at=NOW - 1), arrive(index, ready_at=NOW - 2)
    first, second = arrive(index, ready_at=NOW - 1.5), arrive(index, ready_at=NOW - 1.5)
    urgent, idle = arrive(index, priority=10), arrive(index, priority=-10, ready_at=NOW - 100)

    order = [job.id for job in claim(index, 10)]

    assert order == [each.id for each in (urgent, early, first, second, late, idle)]


@given(
    st.lists(
        st.tuples(st.integers(-2, 2), st.floats(-3, 3), st.sampled_from(["default", "other"]), st.booleans()),
        max_size=12,
    ),
    st.integers(1, 14),
)
@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_claim_is_the_due_jobs_of_its_queues_in_order_as_a_sort_would_give(
    index: Index, wanted: list[tuple[int, float, str, bool]], limit: int
) -> None:
    made = []
    with index.transaction():
        for job in list(walk(index)):
            index.delete(replace(job, confirmed=True))
        for priority, wait, queue, held in wanted:
            arrival = Arrival(new_id(), queue, b"n", 1, priority, NOW + wait, held)
            index.insert([arrival], "arriver", NOW)
            made.append(arrival)

    claimed = claim(index, limit, queues=["default", "other"])

    due = [each for each in made if each.ready_at <= NOW and not each.held]
    due.sort(key=lambda each: (-each.priority, each.ready_at, each.id))
    assert [job.id for job in claimed] == [each.id for each in due[:limit]]
    with index.transaction():
        for job in claimed:
            assert index.settle(settlement(job, State.CANCELLED), NOW)
        index.confirm(list(walk(index)))


def test_a_delayed_job_is_claimed_when_its_time_has_come_and_not_before(index: Index) -> None:
    job = arrive(index, ready_at=NOW + 60)

    assert index.next_wake() == NOW + 60
    assert claim(index, now=NOW + 59.999) == []
    assert [each.id for each in claim(index, now=NOW + 60)] == [job.id]
    assert index.next_wake() is None


def test_only_the_queues_that_were_asked_for_are_claimed_from(index: Index) -> None:
    arrive(index, queue="other")

    assert claim(index, queues=["default"]) == []
    assert len(claim(index, queues=["default", "other"])) == 1


def test_a_claim_grants_a_new_attempt_to_one_owner(index: Index) -> None:
    job = arrive(index)

    (leased,) = claim(index, owner="me", now=NOW + 1)

    assert (leased.id, leased.attempt, leased.owner) == (job.id, 1, "me")
    assert (leased.state, leased.place, leased.confirmed) == (State.PROCESSING, Place.CLAIMED, False)
    assert leased.updated_at == NOW + 1
    assert claim(index, owner="other") == []


def test_the_attempt_only_ever_grows(index: Index) -> None:
    job = arrive(index)
    seen = []

    for _ in range(5):
        (leased,) = claim(index)
        seen.append(leased.attempt)
        with index.transaction():
            assert index.settle(settlement(leased, State.PENDING), NOW)
        bring_back(index, leased)

    assert seen == [1, 2, 3, 4, 5]
    assert known(index, job.id).attempt == 5


def test_a_job_whose_payload_is_still_on_its_way_back_is_not_claimed(index: Index) -> None:
    arrive(index)
    (leased,) = claim(index)
    with index.transaction():
        settled = index.settle(settlement(leased, State.PENDING), NOW)
    assert settled is not None

    assert claim(index) == []
    with index.transaction():
        assert index.confirm([settled]) == {settled.id}
        assert index.confirm([settled]) == set()
    assert [job.attempt for job in claim(index)] == [2]


def test_since_when_the_longest_waiting_job_has_been_due(index: Index) -> None:
    assert index.oldest_due("default") is None
    arrive(index, priority=5, ready_at=NOW - 1)
    arrive(index, priority=-5, ready_at=NOW - 9)
    arrive(index, priority=0, ready_at=NOW - 4)
    arrive(index, queue="other", ready_at=NOW - 99)
    arrive(index, held=True, ready_at=NOW - 99)
    arrive(index, ready_at=NOW + 9)

    assert index.oldest_due("default") == NOW - 9


# -------------------------------------------------------------------- the fence


STALE: list[Callable[[Job], Job]] = [
    lambda job: replace(job, attempt=job.attempt - 1),
    lambda job: replace(job, attempt=job.attempt + 1),
    lambda job: replace(job, owner="another"),
    lambda job: replace(job, owner=None),
    lambda job: replace(job, id=new_id()),
]


@pytest.mark.parametrize("stale", STALE)
def test_who_does_not_hold_the_lease_changes_nothing(index: Index, stale: Callable[[Job], Job]) -> None:
    arrive(index)
    (leased,) = claim(index)
    before = known(index, leased.id)

    with index.transaction():
        completed = index.complete([Completion(stale(leased), Place.DONE, "output", DONE)], NOW)
        settled = index.settle(settlement(stale(leased), State.FAILED), NOW)

    assert completed == set()
    assert settled is None
    assert known(index, leased.id) == before


@pytest.mark.parametrize("state", [state for state in State if state is not State.PROCESSING])
def test_only_a_processing_job_can_be_completed_or_settled(index: Index, state: State) -> None:
    job = replace(in_state(index, state), owner="me")
    before = known(index, job.id)

    with index.transaction():
        assert index.complete([Completion(job, Place.DONE, "output", DONE)], NOW) == set()
        for target in (State.PENDING, State.FAILED, State.UNPROCESSABLE, State.CANCELLED):
            assert index.settle(settlement(job, target), NOW) is None
        assert index.request_cancel(job.id, "me") is None

    assert known(index, job.id) == before


@pytest.mark.parametrize(
    ("state", "verb"),
    [(state, verb) for state in State for verb in (Verb.HOLD, Verb.RELEASE, Verb.CANCEL, Verb.REDRIVE)],
)
def test_a_persons_verb_works_from_the_states_that_the_model_names(index: Index, state: State, verb: Verb) -> None:
    """The guard is the state that the caller saw: what has changed meanwhile is not touched."""
    job = in_state(index, state)
    targets = [each for each in TRANSITIONS.get((state, verb), ()) if state is not State.PROCESSING]

    for seen in set(State) - {state}:
        with index.transaction():
            assert index.steer(settlement(replace(job, state=seen), State.CANCELLED), NOW) is None
    assert known(index, job.id) == job
    if targets:
        with index.transaction():
            steered = index.steer(settlement(job, targets[0]), NOW + 1)
        assert steered is not None
        assert (steered.state, steered.place, steered.confirmed) == (targets[0], _HOME[targets[0]], False)
        assert steered.attempt == job.attempt


def test_a_person_can_not_steer_a_job_of_another_attempt(index: Index) -> None:
    """A job that was claimed, failed and waits again since it was looked at is not the job that was meant."""
    job = arrive(index)
    (leased,) = claim(index)
    with index.transaction():
        index.settle(settlement(leased, State.PENDING), NOW)

        assert index.steer(settlement(job, State.CANCELLED), NOW) is None


@pytest.mark.parametrize("verb", [Verb.COMPLETE, Verb.FAIL, Verb.CRASH, Verb.RELEASE, Verb.CANCEL])
def test_each_end_of_an_attempt_leads_to_the_states_of_the_model(index: Index, verb: Verb) -> None:
    assert State.PROCESSING in sources(verb)
    for target in TRANSITIONS[State.PROCESSING, verb]:
        arrive(index)
        (leased,) = claim(index)
        if target is State.COMPLETED:
            assert complete(index, leased) == {leased.id}
        else:
            budget = Budget(1, 2, 3)
            with index.transaction():
                ended = index.settle(settlement(leased, target, budget=budget, error="why"), NOW)
            assert ended is not None
            assert (ended.failures, ended.crashes, ended.losses, ended.error) == (1, 2, 3, "why")
        found = known(index, leased.id)
        assert (found.state, found.place, found.confirmed) == (target, _HOME[target], False)
        if target is State.PENDING:
            claim(index)


# -------------------------------------------------------------------- completion


def test_a_completion_records_its_output_and_clears_the_error(index: Index) -> None:
    arrive(index)
    (leased,) = claim(index)
    with index.transaction():
        index.settle(settlement(leased, State.PENDING, error="first try"), NOW)
    assert claim(index) == []
    bring_back(index, leased)
    (leased,) = claim(index)

    complete(index, leased, "the output")

    found = known(index, leased.id)
    assert (found.output, found.output_size, found.output_sha256, found.error) == ("the output", 3, "ab", None)
    assert index.job_by_output("the output") == found
    assert complete(index, leased, "twice") == set()


def test_no_two_jobs_publish_under_one_name(index: Index) -> None:
    arrive(index)
    arrive(index)
    one, other = claim(index, 2)
    complete(index, one, "same")

    with pytest.raises(Exception, match=r"jobs_by_output|jobs\.output"):
        complete(index, other, "same")

    assert known(index, other.id).state is State.PROCESSING


def test_a_batch_completes_what_still_holds_and_says_which(index: Index) -> None:
    for _ in range(3):
        arrive(index)
    one, two, three = claim(index, 3)
    batch = [one, replace(two, attempt=9), three]

    with index.transaction():
        won = index.complete([Completion(job, Place.DONE, job.id, DONE) for job in batch], NOW)

    assert won == {one.id, three.id}


# -------------------------------------------------------------------- confirmation


@pytest.mark.parametrize("state", State)
def test_a_place_is_confirmed_unless_somebody_runs_the_job(index: Index, state: State) -> None:
    job = in_state(index, state)

    with index.transaction():
        index.confirm([job])

    assert known(index, job.id).confirmed == (state is not State.PROCESSING)


def test_a_late_confirmation_does_not_confirm_what_has_changed_since(index: Index) -> None:
    leased = in_state(index, State.PROCESSING)
    with index.transaction():
        first = index.settle(settlement(leased, State.PENDING), NOW)
    assert first is not None
    bring_back(index, leased)
    (second,) = claim(index)
    with index.transaction():
        again = index.settle(settlement(second, State.PENDING), NOW)

    with index.transaction():
        index.confirm([first])
    assert not known(index, leased.id).confirmed

    with index.transaction():
        index.confirm([replace(again or second, state=State.FAILED)])
    assert not known(index, leased.id).confirmed


def test_a_late_confirmation_does_not_confirm_a_tombstone(index: Index) -> None:
    """A consumer that confirms its move when the janitor has done so, and lets the input go already."""
    done = in_state(index, State.COMPLETED)
    with index.transaction():
        index.confirm([done])
    with index.transaction():
        assert index.let_go(done.id)

    with index.transaction():
        assert index.confirm([done]) == set()

    assert not known(index, done.id).confirmed


def test_the_work_list_is_what_is_not_confirmed_and_not_running(index: Index) -> None:
    settled = in_state(index, State.FAILED)
    done = in_state(index, State.COMPLETED)
    running = in_state(index, State.PROCESSING)

    assert {job.id for job in index.unconfirmed(10)} == {settled.id, done.id}
    assert {job.id for job in index.unconfirmed_of("me")} == {settled.id, done.id, running.id}
    assert index.owners_at_work() == ["me"]
    with index.transaction():
        index.confirm([settled, done])
    assert index.unconfirmed(10) == []
    assert [job.id for job in index.unconfirmed_of("me")] == [running.id]


# -------------------------------------------------------------------- cancel of what runs


def test_a_request_to_cancel_reaches_the_owner_and_ends_with_the_attempt(index: Index) -> None:
    job = in_state(index, State.PROCESSING)

    with index.transaction():
        assert index.request_cancel(job.id, "alice") == job.attempt

    assert index.cancels_for("me") == {(job.id, 1): "alice"}
    assert index.cancels_for("other") == {}
    with index.transaction():
        index.settle(settlement(job, State.PENDING), NOW)
    assert index.cancels_for("me") == {}
    bring_back(index, job)
    (again,) = claim(index)
    assert again.cancel_by is None


# -------------------------------------------------------------------- what the schema refuses


def half_written() -> list[tuple[str, str]]:
    """A change of a row that would be half a state, and the sentence that refuses it."""
    fits, owner = "the_place_fits_the_state", "a_processing_job_has_an_owner_and_an_attempt"
    output = "only_completed_jobs_have_an_output"
    return [
        ("state = 'unknown'", "the_state_is_known"),
        *((f"state = '{state}', place = '{place}', owner = 'x', attempt = 1, confirmed = 0", fits)
          for state, place in itertools.product(State, Place)
          if place is not _HOME[state] and place not in PLACES[state][1:]),
        ("state = 'processing', place = 'claimed', confirmed = 0, attempt = 1, owner = NULL", owner),
        ("state = 'processing', place = 'claimed', confirmed = 0, attempt = 0, owner = 'x'", owner),
        ("state = 'processing', place = 'claimed', confirmed = 1, attempt = 1, owner = 'x'", owner),
        ("output = 'x'", output),
        ("state = 'completed', place = 'done', output = NULL", output),
        ("confirmed = 2", "flags_are_0_or_1"),
        ("due = -1", "flags_are_0_or_1"),
        ("failures = -1", "budgets_do_not_shrink_below_0"),
        ("crashes = -1", "budgets_do_not_shrink_below_0"),
        ("losses = -1", "budgets_do_not_shrink_below_0"),
    ]  # fmt: skip


@pytest.mark.parametrize(("change", "sentence"), half_written())
def test_a_half_written_state_is_refused_by_a_sentence(index: Index, change: str, sentence: str) -> None:
    arrive(index)
    # PostgreSQL looks at rules in the order of their names: a state that is unknown has no fitting place, either.
    sentence = {"state = 'unknown'": "the_state_is_known|the_place_fits"}.get(change, sentence)
    sentence = sentence if "state = 'completed'" not in change else "constraint"

    with pytest.raises(Exception, match=sentence):
        behind(index, f"UPDATE jobs SET {change}")  # noqa: S608 -- the test's own words


def behind(index: Index, sql: str) -> None:
    """Change the database as a bug, or a person with a shell, could."""
    if isinstance(index.engine, SqliteEngine):
        index.engine._connection.execute(sql)
    else:
        index.engine._session.run(sql)  # type: ignore[attr-defined]


def raw(index: Index) -> apsw.Connection:
    """The connection below the statements: what a bug, or a person with a shell, could do."""
    assert isinstance(index.engine, SqliteEngine)
    return index.engine._connection


def test_the_words_of_the_schema_are_those_of_the_model(index: Index) -> None:
    for state in State:
        job = in_state(index, state)
        assert known(index, job.id).state is state


# -------------------------------------------------------------------- counts


VERBS = st.lists(
    st.tuples(
        st.sampled_from(["arrive", "claim", "complete", "fail", "hold", "cancel", "redrive", "delete", "rollback"]),
        st.integers(0, 3), st.sampled_from(["default", "other"]),
    ), max_size=30,
)  # fmt: skip


@given(VERBS)
@hypothesis_settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_counts_are_the_rows_whatever_is_done(index: Index, steps: list[tuple[str, int, str]]) -> None:
    for verb, number, queue in steps:
        jobs = list(walk(index))
        chosen = jobs[number % len(jobs)] if jobs else None
        try:
            with index.transaction():
                _do(index, verb, chosen, queue)
        except _RolledBack:
            pass

        rows = Counter((job.queue, job.state) for job in walk(index))
        assert {(queue, state): count for queue, state, count in index.counts()} == dict(rows)


class _RolledBack(Exception):
    pass


def _do(index: Index, verb: str, job: Job | None, queue: str) -> None:
    if verb == "arrive":
        index.insert([Arrival(new_id(), queue, b"n", 1)], "arriver", NOW)
    elif verb == "rollback":
        index.insert([Arrival(new_id(), queue, b"n", 1)], "arriver", NOW)
        raise _RolledBack
    elif verb == "claim":
        dispatch(index).claim("me", ["default", "other"], 2, NOW)
    elif job is not None and verb == "complete":
        index.complete([Completion(job, Place.DONE, job.id, DONE)], NOW)
    elif job is not None and verb == "fail":
        index.settle(settlement(job, State.FAILED), NOW)
    elif job is not None and verb == "delete":
        index.delete(job)
    elif job is not None and job.state not in (State.PROCESSING, State.COMPLETED):
        index.steer(settlement(job, {"hold": State.HELD, "cancel": State.CANCELLED}.get(verb, State.PENDING)), NOW)


# -------------------------------------------------------------------- history, questions


def test_a_history_is_one_row_an_attempt_and_is_never_rewritten(index: Index) -> None:
    job = in_state(index, State.PROCESSING)

    with index.transaction():
        index.record(job, Outcome(Kind.FAILED, "first", exit_code=3, log="said"), NOW)
        index.record(job, Outcome(Kind.DONE), NOW + 1)

    (attempt,) = index.attempts(job.id)
    assert (attempt.attempt, attempt.owner, attempt.outcome) == (1, "me", "failed")
    assert (attempt.error, attempt.exit_code, attempt.log, attempt.ended_at) == ("first", 3, "said", NOW)


def test_events_tell_who_did_what_in_order(index: Index) -> None:
    job = arrive(index)

    with index.transaction():
        index.add_event(NOW, "alice", "hold", job=job.id, reason="lunch", before="pending", after="held")
        index.add_event(NOW, "bob", "release", job=job.id)

    assert [(each.actor, each.verb, each.reason) for each in index.events(job.id)] == [
        ("alice", "hold", "lunch"), ("bob", "release", None),
    ]  # fmt: skip


def test_a_job_is_found_by_the_beginning_of_its_id_by_name_and_by_output(index: Index) -> None:
    job = arrive(index, name=b"wanted")
    younger = arrive(index, name=b"wanted")

    assert [each.id for each in index.jobs_like(job.id[:-1], 10) if each.id == job.id] == [job.id]
    assert index.jobs_like("zzzz") == []
    assert index.job_by_name("default", b"wanted", NOW - 60) == younger
    assert index.job_by_name("default", b"wanted", NOW + 60) is None
    assert index.job_by_name("other", b"wanted", NOW - 60) is None
    elsewhere = arrive(index, name=b"wanted", queue="other")
    assert index.job_by_name(None, b"wanted", NOW - 60) == elsewhere
    assert index.job_by_name(None, b"unwanted", NOW - 60) is None


@slow_on_postgres
def test_a_name_is_found_however_many_arrived_since(index: Index) -> None:
    wanted = arrive(index, name=b"wanted")
    with index.transaction():
        index.insert([Arrival(new_id(), "default", b"another", 7) for _ in range(20_001)], "arriver", NOW)

    assert index.job_by_name(None, b"wanted", NOW - 60) == wanted
    assert index.job_by_name("other", b"wanted", NOW - 60) is None
    assert index.job_by_name(None, b"wanted", NOW + 60) is None
    assert index.job(new_id()) is None


@pytest.mark.parametrize("state", [None, *State])
def test_a_listing_of_each_state_is_complete_and_pages(index: Index, state: State | None) -> None:
    for each in State:
        for _ in range(3):
            in_state(index, each)

    wanted = {job.id for job in walk(index, 4) if state is None or job.state is state}

    listed = index.jobs(state, None, "g", 100)
    assert {job.id for job in listed} == wanted
    assert {job.id for job in index.jobs(state, "default", "g", 100)} == wanted
    assert index.jobs(state, "other", "g", 100) == []
    assert len(index.jobs(state, None, "g", 2)) == min(2, len(wanted))
    if state in (None, State.PENDING, State.PROCESSING, State.COMPLETED):
        assert [job.id for job in listed] == sorted(wanted, reverse=True)


def test_how_many_come_before_a_job(index: Index) -> None:
    jobs = [arrive(index) for _ in range(4)]
    arrive(index, priority=9)
    claim(index, 0)

    assert [index.jobs_ahead(job, 10) for job in jobs] == [1, 2, 3, 4]
    assert index.jobs_ahead(jobs[3], 2) == 2


def test_figures_add_up_by_minute(index: Index) -> None:
    with index.transaction():
        index.add_stats("default", NOW, ingested=2, size=10)
        index.add_stats("other", NOW + 1, ingested=1, completed=1, run_seconds=0.5)
        index.add_stats("default", NOW + 60, failed=1)

    assert [tuple(row) for row in index.stats(NOW)] == [
        (int(NOW // 60), 3, 1, 0, 10, 0.5), (int(NOW // 60) + 1, 0, 0, 1, 0, 0.0),
    ]  # fmt: skip
    with index.transaction():
        index.forget_stats(NOW + 60)
    assert len(index.stats(0)) == 1


# -------------------------------------------------------------------- consumers, retention


def a_consumer(owner: str = "me") -> Consumer:
    return Consumer(owner, "consumer-00", 1, "host", "boot", ("a", "b"), NOW, NOW, 10.0, 30.0, 0)


def test_a_consumer_beats_until_it_is_forgotten(index: Index) -> None:
    with index.transaction():
        index.register(a_consumer())
        assert index.beat("me", NOW + 1, 11.0, 4)

    assert index.consumers() == [replace(a_consumer(), beat_at=NOW + 1, beat_boottime=11.0, completed=4)]
    with index.transaction():
        index.forget_consumer("me")
        assert not index.beat("me", NOW + 2, 12.0, 5)
    assert index.consumers() == []


@pytest.mark.parametrize("state", State)
def test_only_what_has_ended_and_lies_in_its_place_is_old(index: Index, state: State) -> None:
    job = in_state(index, state)
    final = state in (State.FAILED, State.UNPROCESSABLE, State.CANCELLED)

    def old() -> list[str]:
        return [each.id for each in index.ended_before(state, NOW + 1, 10)]

    assert old() == []
    with index.transaction():
        index.confirm([job])
    if state is not State.HELD:  # nobody asks how long something has been held
        assert old() == ([job.id] if final else [])
    if state is State.COMPLETED:
        with index.transaction():
            index.let_go(job.id)
        assert not known(index, job.id).confirmed
        assert old() == []
        with index.transaction():
            index.confirm_gone(job.id)
        assert [each.id for each in index.ended_before(state, NOW + 1000, 10)] == [job.id]


@pytest.mark.parametrize("state", State)
def test_a_tombstone_is_set_once_on_what_has_ended_and_nobody_steers_it_any_more(index: Index, state: State) -> None:
    job = in_state(index, state)
    ended = state in FINAL

    with index.transaction():
        if not job.confirmed:
            assert not index.let_go(job.id)
        index.confirm([job])
        assert index.let_go(job.id) == ended
        assert not index.let_go(job.id)
        assert not ended or index.steer(settlement(job, State.PENDING), NOW) is None

    found = known(index, job.id)
    assert (found.place is Place.GONE) == ended
    assert found.state is state


def test_a_row_is_deleted_only_when_its_payload_is_at_rest_and_leaves_its_events(index: Index) -> None:
    job = in_state(index, State.FAILED)
    with index.transaction():
        index.record(replace(job, owner="me"), Outcome(Kind.FAILED), NOW)
        index.add_event(NOW, "alice", "look", job=job.id)
        assert not index.delete(job)
        index.confirm([job])
        assert not index.delete(replace(job, state=State.CANCELLED))
        assert index.delete(job)

    assert index.job(job.id) is None
    assert index.attempts(job.id) == []
    assert [event.actor for event in index.events(job.id)] == ["alice"]


# -------------------------------------------------------------------- transactions


def test_a_transaction_that_fails_leaves_nothing(index: Index) -> None:
    with pytest.raises(RuntimeError), index.transaction():
        index.insert([Arrival(new_id(), "default", b"n", 1)], "arriver", NOW)
        raise RuntimeError

    assert list(walk(index)) == []
    arrive(index)


def test_a_reader_sees_the_state_before_a_commit_and_never_waits(
    index: Index, second_index: Callable[[], Index]
) -> None:
    reader = second_index()

    with index.transaction():
        job = Arrival(new_id(), "default", b"n", 1)
        index.insert([job], "arriver", NOW)
        assert reader.job(job.id) is None

    assert reader.job(job.id) is not None


@of_sqlite
def test_a_writer_that_waits_in_vain_says_that_the_index_is_busy(
    index: Index, second_index: Callable[[], Index], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = second_index()
    monkeypatch.setattr(sqlite, "_WAIT", 0.05)

    with index.transaction(), pytest.raises(IndexBusy), other.transaction():
        pass

    with other.transaction():
        pass


CLAIMER = """
import json, sys
from pathlib import Path
from pqfs.dispatch import Dispatch
from pqfs.index import Index
from pqfs.index.sqlite import SqliteEngine
from pqfs.settings import Settings
from pqfs.terms import Terms
place = sys.argv[1]
if "://" in place:
    from pqfs.index.postgres import PostgresEngine
    index = Index(PostgresEngine(place))
else:
    index = Index(SqliteEngine(Path(place)))
dispatch = Dispatch(index, Terms(index, Settings()))
print("ready", flush=True)
sys.stdin.readline()
mine, dry = [], 0
while dry < 3:
    with index.transaction():
        jobs = dispatch.claim(sys.argv[2], ["default"], 3, 2e9)
    mine += [job.id for job in jobs]
    dry = 0 if jobs else dry + 1
print(json.dumps(mine))
"""


@slow_on_postgres
def test_processes_that_claim_at_once_never_get_the_same_job(index: Index, place: str) -> None:
    with index.transaction():
        index.insert([Arrival(new_id(), "default", b"n", 1) for _ in range(200)], "arriver", NOW)
    claimers = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIMER, place, owner],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for owner in ("one", "two", "three")
    ]  # fmt: skip
    for each in claimers:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"

    said = []
    for each in claimers:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    for each in claimers:
        out, _ = each.communicate(timeout=60)
        said.append(json.loads(out))

    everything = [job for mine in said for job in mine]
    assert sorted(everything) == sorted(job.id for job in walk(index))
    assert all(job.attempt == 1 for job in walk(index))
    for owner, mine in zip(("one", "two", "three"), said, strict=True):
        assert {job.id for job in walk(index) if job.owner == owner} == set(mine)


# -------------------------------------------------------------------- the database


def test_a_newer_schema_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    engine = SqliteEngine(path)
    newest = engine.schema_version()
    engine._connection.pragma("user_version", newest + 1)
    engine.close()

    with pytest.raises(SchemaTooNew, match="knows up to"):
        SqliteEngine(path)

    connection = apsw.Connection(str(path))
    assert connection.pragma("user_version") == newest + 1
    connection.close()


def test_opening_twice_migrates_once(tmp_path: Path) -> None:
    first, second = SqliteEngine(tmp_path / "index.db"), SqliteEngine(tmp_path / "index.db")

    assert first.schema_version() == second.schema_version() == catalogue.migrations("sqlite", sqlite._TOKENS)[-1][0]
    assert first.integrity() == []
    first.close()
    second.close()


def test_a_step_that_fails_leaves_the_schema_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = catalogue.migrations("sqlite", sqlite._TOKENS)
    broken = [*steps, (steps[-1][0] + 1, "CREATE TABLE half (x); CREATE TABLE nonsense nonsense;")]
    monkeypatch.setattr(catalogue, "migrations", lambda engine, tokens: broken)

    with pytest.raises(apsw.SQLError):
        SqliteEngine(tmp_path / "index.db")

    monkeypatch.undo()
    engine = SqliteEngine(tmp_path / "index.db")
    assert engine.schema_version() == steps[-1][0]
    assert not list(engine._connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'half'"))
    engine.close()


def test_what_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "index.db").write_bytes(b"not a database, but long enough to be looked at " * 50)

    with pytest.raises(Corrupt, match="damaged"):
        SqliteEngine(tmp_path / "index.db")


def test_reading_an_index_that_is_not_there_makes_none(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no index"):
        SqliteEngine(tmp_path / "index.db", read_only=True)

    assert list(tmp_path.iterdir()) == []


@of_sqlite
def test_a_reader_can_not_write(index: Index) -> None:
    assert isinstance(index.engine, SqliteEngine)
    reader = Index(SqliteEngine(index.engine.path, read_only=True))
    arrive(index)

    with pytest.raises(Unavailable), reader.transaction():
        dispatch(reader).claim("me", ["default"], 1, NOW)

    assert len(list(walk(reader))) == 1
    reader.close()


@of_sqlite
def test_the_database_is_private_durable_and_in_wal_mode(index: Index) -> None:
    assert isinstance(index.engine, SqliteEngine)
    arrive(index)

    modes = {path.stat().st_mode & 0o777 for path in index.engine.path.parent.glob("index.db*")}
    pragmas = {
        name: raw(index).pragma(name) for name in ("journal_mode", "synchronous", "mmap_size", "trusted_schema")
    }

    assert modes == {0o600}
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "mmap_size": 0, "trusted_schema": 0}


@of_sqlite
def test_only_what_need_not_last_is_committed_without_a_flush(index: Index) -> None:
    found = []
    for lasting in (False, False, True, True, False, True):
        with index.transaction(lasting):
            found.append(raw(index).pragma("synchronous"))

    assert found == [1, 1, 2, 2, 1, 2]


@of_sqlite
def test_a_backup_is_a_whole_index(index: Index, tmp_path: Path) -> None:
    job = in_state(index, State.COMPLETED)

    index.engine.backup(str(tmp_path / "copy.db"))

    copy = Index(SqliteEngine(tmp_path / "copy.db"))
    assert copy.job(job.id) == job
    assert copy.engine.integrity() == []
    copy.close()


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ((3, 7, 0), True), ((3, 40, 1), True), ((3, 44, 5), True), ((3, 44, 6), False), ((3, 45, 0), True),
        ((3, 46, 1), True), ((3, 50, 6), True), ((3, 50, 7), False), ((3, 51, 0), True), ((3, 51, 2), True),
        ((3, 51, 3), False), ((3, 52, 0), False), ((4, 0, 0), False),
    ],
)  # fmt: skip
def test_the_releases_that_corrupt_a_log_are_known(version: tuple[int, ...], affected: bool) -> None:
    assert is_affected(version) is affected


def test_the_library_that_is_used_is_not_affected() -> None:
    assert not is_affected(sqlite.library_version())


# -------------------------------------------------------------------- the catalogue


@of_sqlite
def test_every_statement_is_named_once_and_used_and_can_be_prepared(index: Index) -> None:
    text = resources.files("pqfs.index").joinpath("statements.sql").read_text()
    names = re.findall(r"^-- name: (\w+)$", text, re.MULTILINE)
    code = "".join(path.read_text() for path in Path(sqlite.__file__).parents[1].rglob("*.py"))

    assert len(names) == len(set(names))
    assert [name for name in names if f'"{name}"' not in code] == []
    Recording(index.engine)  # which makes what some of them ask
    for name, sql in catalogue.statements(sqlite._TOKENS).items():
        if name not in SCHEMATIC:
            raw(index).execute(f"EXPLAIN {sql}", dict.fromkeys(re.findall(r":(\w+)", sql)))


def test_an_unknown_token_is_never_silent() -> None:
    with pytest.raises(KeyError):
        catalogue.fill("SELECT {nothing}", {})


@of_sqlite
@pytest.mark.parametrize(
    "name",
    [
        "claimable",
        "claimable_assigned",
        "head",
        "overslept",
        "unconfirmed",
        "unconfirmed_of",
        "cancels_for",
        "wake_due",
        "job",
        "leased_by",
        "passed_over",
        "page_jobs",
        "page_set_aside",
    ],
)
def test_what_runs_all_the_time_is_found_through_an_index(index: Index, name: str) -> None:
    sql = catalogue.statements(sqlite._TOKENS)[name]
    plan = raw(index).execute(f"EXPLAIN QUERY PLAN {sql}", dict.fromkeys(re.findall(r":(\w+)", sql)))

    steps = [row[3] for row in plan]
    of_tables = [step for step in steps if step.startswith(("SCAN", "SEARCH")) and "json_each" not in step]
    assert all("USING" in step for step in of_tables), steps
    assert not any("TEMP B-TREE" in step for step in steps) or name == "unconfirmed", steps


@of_sqlite
@pytest.mark.parametrize(
    ("name", "by"),
    [
        ("unconfirmed", "jobs_to_confirm"),
        ("list_processing", "jobs_to_confirm"),
        ("select_processing", "jobs_to_confirm"),
        ("list_set_aside", "jobs_set_aside"),
        ("select_set_aside", "jobs_set_aside"),
        ("dead_groups", "dead_letters"),
        ("dead_example", "dead_letters"),
        ("dead_alike", "dead_letters"),
        ("dead_of_group", "dead_letters"),
        ("descendants", "descendants"),
        ("deletion", "deletions"),
        ("events_of", "events_of_a_job"),
    ],
)
def test_the_few_are_found_without_a_walk_over_all(index: Index, name: str, by: str) -> None:
    """An index of the primary key would do the same work as no index at all."""
    sql = catalogue.statements(sqlite._TOKENS)[name]
    plan = raw(index).execute(f"EXPLAIN QUERY PLAN {sql}", dict.fromkeys(re.findall(r":(\w+)", sql)))

    steps = [row[3] for row in plan if row[3].startswith(("SCAN", "SEARCH"))]
    assert any(by in step for step in steps), steps
    assert not any("autoindex" in step for step in steps), steps
