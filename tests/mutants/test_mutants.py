"""Every promise of the core is guarded by a test that fails without it."""

from __future__ import annotations

from collections import Counter
from types import ModuleType

import pytest

from tests.mutants.__main__ import trials, unsound
from tests.mutants.table import MUTANTS, TABLES
from tests.mutants.workshop import Mutant, Workshop


def test_every_mutant_has_a_name_of_its_own_and_its_line_stands_in_the_code_once(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    workshop = Workshop(tmp_path_factory.mktemp("workshop"))
    assert [name for name, times in Counter(mutant.name for mutant in MUTANTS).items() if times > 1] == []
    assert [mutant.name for mutant in MUTANTS if not workshop.applies(mutant)] == []


@pytest.mark.slow
def test_a_mutant_that_no_test_minds_is_told_and_a_layer_that_fails_anyway_too() -> None:
    harmless = Mutant("a word in a docstring", "pqfs/retry.py", "Pure rules", "Plain rules", ("tests/test_retry.py",))
    nothing = Mutant(
        "the same", "pqfs/retry.py", "Pure rules", "Plain rules", ("tests/test_retry.py", "-k", "no_such_test")
    )

    assert [trial.is_caught for trial in trials([harmless, nothing], 2)] == [False, False]
    assert len(unsound([harmless, nothing])) == 1


@pytest.mark.slow
@pytest.mark.parametrize("protocols", TABLES, ids=lambda module: module.__name__)
def test_every_mutant_is_caught(protocols: ModuleType) -> None:
    assert [
        f"{trial.mutant.name}: {trial.said}" for trial in trials(protocols.MUTANTS, 2) if not trial.is_caught
    ] == []
