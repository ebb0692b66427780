"""States and the only moves between them: the table, its picture, and what other places say about it."""

from __future__ import annotations

import itertools
import re

import pytest

from pqfs import model
from pqfs.model import DEAD, FINAL, PLACES, TRANSITIONS, Place, State, Verb, sources

# The specification, state by state: what each verb may lead to. Written here a second time on purpose.
ALLOWED = {
    "pending": {"claim": "processing", "hold": "held", "cancel": "cancelled", "fail": "failed"},
    "held": {"release": "pending", "cancel": "cancelled", "fail": "failed"},
    "processing": {
        "complete": "completed",
        "fail": "pending failed",
        "crash": "pending unprocessable",
        "release": "pending failed",
        "cancel": "cancelled",
    },
    "completed": {},
    "failed": {"redrive": "pending"},
    "unprocessable": {"redrive": "pending"},
    "cancelled": {"redrive": "pending"},
}


@pytest.mark.parametrize(("state", "verb"), list(itertools.product(State, Verb)))
def test_every_pair_of_state_and_verb_leads_where_the_specification_says(state: State, verb: Verb) -> None:
    expected = tuple(ALLOWED[state].get(verb, "").split())

    assert TRANSITIONS.get((state, verb), ()) == expected


def test_every_state_can_be_reached_and_every_verb_used() -> None:
    reached = {state for targets in TRANSITIONS.values() for state in targets}

    assert reached == set(State)
    assert {verb for _, verb in TRANSITIONS} == set(Verb)


def test_a_final_state_is_left_only_by_a_person() -> None:
    leaving = {verb for state, verb in TRANSITIONS if state in FINAL}

    assert leaving == {Verb.REDRIVE}
    assert DEAD < FINAL
    assert State.COMPLETED not in {state for state, _ in TRANSITIONS}


def test_only_a_claim_leads_to_processing_and_only_completion_to_completed() -> None:
    assert [verb for (_, verb), targets in TRANSITIONS.items() if State.PROCESSING in targets] == [Verb.CLAIM]
    assert [verb for (_, verb), targets in TRANSITIONS.items() if State.COMPLETED in targets] == [Verb.COMPLETE]


def test_the_sources_of_a_verb_are_those_of_the_table() -> None:
    for verb in Verb:
        assert set(sources(verb)) == {state for state in State if (state, verb) in TRANSITIONS}


def test_every_state_has_its_places_and_every_place_a_state() -> None:
    assert set(PLACES) == set(State)
    assert {place for places in PLACES.values() for place in places} == set(Place)


def test_the_picture_in_the_docstring_names_every_state_and_verb_and_no_other() -> None:
    picture = "\n".join(line for line in (model.__doc__ or "").splitlines() if line.startswith("    "))
    words = set(re.findall(r"[A-Za-z_]+", picture))

    assert {word for word in words if word.isupper()} == {state.name for state in State}
    assert {verb.value for verb in Verb} <= words
    limits = {"max_crashes", "max_failures", "permanent", "ingest"}
    assert {word for word in words if word.islower()} - limits == {verb.value for verb in Verb}
