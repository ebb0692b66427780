"""Schedules with real janitors on them: several at once, one killed in the midst; each due time brings one job."""

from __future__ import annotations

import time

import pytest

from pqfs.duplicates import SCHEDULE
from pqfs.index.schedulerows import ScheduleRows
from pqfs.schedules import Plan, Schedules
from tests.process.conftest import MakeStage
from tests.process.stage import Stage, eventually

pytestmark = pytest.mark.slow
BEHIND = 40 * 60.0


def dues(stage: Stage) -> list[float]:
    return sorted((job.options or {})[SCHEDULE]["due"] for job in stage.jobs())


def test_of_several_janitors_of_which_one_is_killed_each_due_time_brings_one_job(make_stage: MakeStage) -> None:
    stage = make_stage("")
    with stage.app() as app:
        now = time.time()
        made = Schedules(app.jobqueue).add(
            "tick", Plan("* * * * *", text="x", missed="all"), "ann", None, now - BEHIND
        )
        first = made.next_at
        rest = Plan("* * * * *", text="x").timetable.between(now - BEHIND, now, 1000)[0]

    janitors = [stage.start("janitor", f"janitor-{number}") for number in range(3)]
    eventually(lambda: len(stage.jobs()) > 5, "they are at work")
    janitors[0].kill()
    janitors[0].wait()
    eventually(lambda: len(stage.jobs()) >= len(rest), "they have caught up")
    for janitor in janitors[1:]:
        stage.stop(janitor)

    found = dues(stage)
    assert found[0] == first
    assert found[: len(rest)] == rest
    assert len(set(found)) == len(found) <= len(rest) + 2  # a minute or two may have begun meanwhile
    schedule = ScheduleRows(stage.index.engine).find("tick")
    assert schedule is not None and schedule.trouble is None
    stage.close()
