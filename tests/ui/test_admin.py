"""What somebody who is signed in does, by the verbs of the command line: to what he sees, with a report, an event."""

from __future__ import annotations

import os
import stat
from itertools import pairwise
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pqfs.index.audit import Audit, Question, Record
from pqfs.model import Job, State
from pqfs.naming import id12, printable
from pqfs.queueing import Queueing
from pqfs.settings import load
from pqfs.spool import Spool
from pqfs.wiring import App, open_app
from tests.hostile.names import names
from tests.ui.admin import ADMIN_PAGES, carry_out, open_as_admin, press, report
from tests.ui.conftest import Fill
from tests.ui.pages import PAGES, again, column, words
from tests.world import eventually, new_id, submitted

pytestmark = pytest.mark.slow

EVERY_PAGE = (*PAGES, *ADMIN_PAGES)


def state_of(app: App, job: Job) -> State | None:
    found = app.index.job(job.id)
    return found.state if found else None


def newest(app: App, verb: str) -> Record:
    """The last event of a verb."""
    return Audit(app.index.engine).records(Question(verb=verb), None, 1)[0]


# -------------------------------------------------------------------- every page


def test_every_page_of_an_empty_spool_has_something_to_say(app: App, root: Path) -> None:
    for name in EVERY_PAGE:
        assert len(open_as_admin(root, name).title) == 1, name


def test_every_page_of_a_broken_index_says_so_and_shows_no_trace(root: Path) -> None:
    Spool.create(root / "spool")
    open_app(load()).close()
    path = root / "spool" / "index.db"
    path.write_bytes(path.read_bytes()[:4096] + b"\xa5" * 40_960)

    for name in EVERY_PAGE:
        said = words(open_as_admin(root, name))
        assert "Traceback" not in said and "apsw" not in said
        assert "index" in said.lower()


def test_hostile_names_are_text_in_questions_and_reports(app: App, root: Path, job: Fill) -> None:
    made = [job(name) for name in names(7, 6, lambda name: False)]

    for each in made:
        page = open_as_admin(root, "job", job=each.id)
        press(page, "act-Hold")
        assert not [str(text.value) for text in page.markdown if "<" in str(text.value).replace("\\<", "")]
        assert "1 job held" in carry_out(page)
        assert state_of(app, each) is State.HELD


# -------------------------------------------------------------------- one job, many jobs


def test_a_job_is_held_with_a_reason_in_the_name_of_who_is_signed_in(app: App, root: Path, job: Fill) -> None:
    made = job()
    page = open_as_admin(root, "job", job=made.id)
    keys = {each.key for each in page.button if str(each.key).startswith("act-")}
    assert keys == {"act-Cancel", "act-Hold", "act-Mark failed", "act-Priority", "act-Reschedule", "act-Assign"}

    press(page, "act-Hold")
    assert state_of(app, made) is State.PENDING, "nothing is done before the question is answered"
    assert "1 job held" in carry_out(page, reason="the **disk**")

    assert state_of(app, made) is State.HELD
    event = newest(app, "hold")
    assert (event.actor, event.reason, event.job) == ("console:ann", "the **disk**", made.id)


def test_who_is_signed_out_while_he_is_asked_does_nothing(app: App, root: Path, job: Fill) -> None:
    made = job()
    page = open_as_admin(root, "job", job=made.id)
    press(page, "act-Cancel")
    (root / "spool" / "users.json").unlink()
    press(page, "ask-do")

    assert state_of(app, made) is State.PENDING
    assert "ask" not in page.session_state


def test_a_question_that_is_left_changes_nothing(app: App, root: Path, job: Fill) -> None:
    made = job()
    page = open_as_admin(root, "job", job=made.id)
    press(page, "act-Cancel")
    press(page, "ask-leave")

    assert state_of(app, made) is State.PENDING
    assert "ask" not in page.session_state


def test_an_act_on_a_filter_means_what_the_filter_shows_and_no_more(app: App, root: Path, job: Fill) -> None:
    with app.index.transaction():
        app.index.create_queue("mail", 1.0)
    meant = [job(b"a.pdf"), job(b"b.pdf")]
    others = [job(b"c.txt"), job(b"d.pdf", State.FAILED, "no"), job(b"e.pdf", State.UNPROCESSABLE, "no")]
    page = open_as_admin(root, "jobs", name="*.pdf")
    page.toggle("choose").set_value(True)
    again(page)
    page.selectbox("act").select("Cancel")
    press(page, "act-all")

    said = words(page)
    assert "**2 jobs** would be affected" in said
    assert "1 job unprocessable would be passed over" in said and "1 job failed would be passed over" in said
    late = job(b"late.pdf")
    said = carry_out(page)

    assert "2 jobs cancelled" in said and "1 unprocessable" in said and "1 failed" in said
    assert {state_of(app, each) for each in meant} == {State.CANCELLED}
    assert [state_of(app, each) for each in others] == [State.PENDING, State.FAILED, State.UNPROCESSABLE]
    assert state_of(app, late) is State.PENDING, "it came after the question was asked"


def test_the_list_stands_still_while_somebody_chooses(app: App, root: Path, job: Fill) -> None:
    made = [job(b"%d.txt" % n) for n in range(4)]
    page = open_as_admin(root, "jobs")
    page.toggle("choose").set_value(True)
    again(page)
    shown = column(page, "id")
    job(b"newer.txt")
    app.jobqueue.cancel(made[1], "ann", None, 5.0)
    again(page)

    assert column(page, "id") == shown, "the list stands still"
    eventually(lambda: column(press(page, "look-again"), "id") != shown, "it is looked at again")


def test_a_job_that_changed_since_it_was_chosen_is_left_alone_with_a_reason(app: App, root: Path, job: Fill) -> None:
    made = job()
    page = open_as_admin(root, "job", job=made.id)
    press(page, "act-Cancel")
    app.jobqueue.hold(made, "bob", None, 5.0)

    said = carry_out(page)

    assert "0 jobs cancelled" in said
    assert "It is held now; when you chose it it was pending" in said
    assert state_of(app, made) is State.HELD


def test_what_nothing_brings_back_needs_its_word(app: App, root: Path, job: Fill) -> None:
    made = [job(b"%d.txt" % n, State.FAILED, "no") for n in range(2)]
    page = open_as_admin(root, "jobs", state="failed")
    page.toggle("choose").set_value(True)
    again(page)
    page.selectbox("act").select("Delete")
    press(page, "act-all")
    press(page, "ask-do")
    assert "Type delete first" in words(page)
    assert {state_of(app, each) for each in made} == {State.FAILED}

    assert "2 jobs deleted" in carry_out(page, word="delete")
    assert {state_of(app, each) for each in made} == {None}


@pytest.mark.parametrize(
    ("label", "value", "said"),
    [("Priority", "7", "of priority 7"), ("Reschedule", "2h", "rescheduled"), ("Reschedule", "now", "rescheduled")],
)
def test_priority_and_time_are_asked_for(app: App, root: Path, job: Fill, label: str, value: str, said: str) -> None:
    made = job()
    page = open_as_admin(root, "job", job=made.id)
    press(page, f"act-{label}")
    press(page, "ask-do")
    assert [each.value for each in page.error], "nothing is done without a value"
    page.text_input("ask-value").input("x")
    press(page, "ask-do")
    assert [each.value for each in page.error], "nor with one that can not be"
    page.text_input("ask-value").input(value)

    assert f"1 job {said}" in carry_out(page)
    if label == "Priority":
        assert (found := app.index.job(made.id)) and found.priority == 7


def test_ten_thousand_jobs_are_held_in_the_background_and_can_be_stopped(
    app: App, root: Path, ten_thousand: list[str]
) -> None:
    page = open_as_admin(root, "jobs")
    page.toggle("choose").set_value(True)
    again(page)
    page.selectbox("act").select("Priority")
    press(page, "act-all")
    assert "**10,000 jobs** would be affected" in words(page)
    page.text_input("ask-value").input("3")
    press(page, "ask-do")
    assert "so far" in words(page), "the page does not wait for it"
    press(page, "report-stop")

    eventually(lambda: "so far" not in words(again(page)), "it stops")
    assert "Stopped: the rest was left as it is" in report(page)
    done = sum(job.priority == 3 for job in app.index.jobs(None, None, "~", 10_001))
    assert 0 < done < 10_000


# -------------------------------------------------------------------- dead letters, rejected, the spool


def test_a_group_of_dead_letters_waits_again_spread_over_time(app: App, root: Path, job: Fill) -> None:
    made = [job(b"%d.txt" % n, State.FAILED, f"line {n}: no number") for n in range(3)]
    other = job(b"other.txt", State.FAILED, "no room")
    page = open_as_admin(root, "dead")
    press(page, "dead-redrive")
    page.text_input("ask-value").input("1/h")

    assert "3 jobs wait again" in carry_out(page)
    due = sorted(found.ready_at for each in made if (found := app.index.job(each.id)))
    assert [round(later - earlier) for earlier, later in pairwise(due)] == [3600, 3600]
    assert state_of(app, other) is State.FAILED


def test_a_group_of_dead_letters_is_purged_by_its_word(app: App, root: Path, job: Fill) -> None:
    made = job(b"a.txt", State.FAILED, "no")
    page = open_as_admin(root, "dead")
    press(page, "dead-purge")

    assert "1 job purged" in carry_out(page, word="purge")
    assert state_of(app, made) is None
    assert newest(app, "delete").actor == "console:ann"


def test_what_was_refused_is_put_back_or_removed(app: App, root: Path) -> None:
    numbers = [id12(new_id()) for _ in range(2)]
    for n, number in enumerate(numbers):
        said = {"name": f"{n}.txt", "queue": "default", "reason": "no", "at": 1.0, "size": 3}
        app.spool.explain_refusal(number, said)
        app.spool.path(f"rejected/{number}.{n}.txt").write_text("abc")

    page = open_as_admin(root, "rejected", number=numbers[0])
    press(page, "rejected-retry-this")
    assert "1 put back" in carry_out(page)
    assert app.spool.path("inbox/0.txt").read_text() == "abc"
    page = open_as_admin(root, "rejected")
    press(page, "rejected-purge-all")
    assert "1 removed" in carry_out(page, word="purge")
    assert os.listdir(app.spool.path("rejected")) == []
    assert newest(app, "purge rejected").actor == "console:ann"


def test_a_disagreement_is_repaired_and_looked_at_again(app: App, root: Path, job: Fill) -> None:
    made = job()
    app.spool.path(app.spool.payload_path(made)).unlink()
    page = open_as_admin(root, "spool")
    press(page, "start-check")
    eventually(lambda: "Checked at" in words(again(page)), "the check has ended")
    assert "payload missing" in words(page)

    press(page, "repair-one")
    assert "Repaired" in carry_out(page)
    eventually(lambda: "one and the same story" in words(again(page)), "it has been looked at again")
    assert state_of(app, made) is State.FAILED


# -------------------------------------------------------------------- queues, consumers


def test_a_queue_is_made_set_paused_resumed_and_deleted(app: App, root: Path) -> None:
    page = open_as_admin(root, "queues")
    press(page, "queue-create")
    page.text_input("ask-value").input("mail")
    carry_out(page)
    assert app.spool.exists("inbox/mail")

    eventually(lambda: "mail" in again(page).selectbox("queue-which").options, "it is offered")
    page.selectbox("queue-which").select("mail")
    again(page)
    page.selectbox("queue-setting").select("max_failures")
    press(page, "queue-set")
    page.text_input("ask-value").input("9")
    carry_out(page)
    app.terms.look()
    assert app.terms.queue("mail").max_failures == 9

    press(page, "queue-pause")
    page.text_input("ask-value").input("2h")
    carry_out(page)
    assert Queueing(app.jobqueue).queue("mail").paused_by == "console:ann"
    press(page, "queue-resume")
    carry_out(page)
    press(page, "queue-delete")
    carry_out(page, word="delete")
    assert "mail" not in {each.name for each in app.index.queues()}


def _in_mail(app: App, *states: State) -> list[Job]:
    """Queue mail with a job in each of these states."""
    Queueing(app.jobqueue).create("mail", {}, "ann", None, 1.0)
    made = []
    for n, state in enumerate(states):
        job = submitted(app.jobqueue, 2.0 + n, b"%d.txt" % n, queue="mail")
        if state is State.HELD:
            job = app.jobqueue.hold(job, "ann", None, 3.0)
        elif state is State.FAILED:
            job = app.jobqueue.fail(job, "ann", "no", 3.0)
        made.append(job)
    return made


def _act_on_mail(root: Path, key: str) -> AppTest:
    page = open_as_admin(root, "queues")
    page.selectbox("queue-which").select("mail")
    again(page)
    return press(page, key)


def test_a_queue_that_is_drained_takes_nothing_in_and_says_when_nobody_works_it_off(app: App, root: Path) -> None:
    held, waits = _in_mail(app, State.HELD, State.PENDING)
    assert "No living consumer serves queue mail" in carry_out(_act_on_mail(root, "queue-drain"))
    assert app.jobqueue.terms.look() and not app.jobqueue.terms.queue("mail").accepts
    app.jobqueue.cancel(waits, "ann", None, 5.0)

    assert "Held jobs stay: 1" in carry_out(_act_on_mail(root, "queue-drain"))
    assert state_of(app, held) is State.HELD
    carry_out(_act_on_mail(root, "queue-pause"))
    assert "is paused: nothing of it would run" in carry_out(_act_on_mail(root, "queue-drain"))


def test_what_waits_in_a_queue_is_purged_by_its_word(app: App, root: Path) -> None:
    held, waits, failed = _in_mail(app, State.HELD, State.PENDING, State.FAILED)
    page = _act_on_mail(root, "queue-purge")
    assert "**2 waiting jobs** of queue mail" in words(page)

    assert "Deleted: 2" in carry_out(page, word="purge")
    assert [state_of(app, each) for each in (held, waits, failed)] == [None, None, State.FAILED]
    assert newest(app, "delete").actor == "console:ann"


def test_a_queue_is_deleted_with_what_is_in_it_only_when_that_is_asked_for(app: App, root: Path) -> None:
    _in_mail(app, State.HELD, State.PENDING, State.FAILED)
    assert "is not empty" in carry_out(_act_on_mail(root, "queue-delete"), word="delete")
    page = _act_on_mail(root, "queue-delete")
    page.radio("ask-value").set_value("with all that is in it")

    assert "Its outputs stay" in carry_out(page, word="delete")
    assert "mail" not in {each.name for each in app.index.queues()}
    assert app.index.jobs(None, "mail", "~", 10) == []


# -------------------------------------------------------------------- old jobs made anew


def test_dead_jobs_are_replayed_once_each_and_stay(app: App, root: Path, job: Fill) -> None:
    made = [job(b"%d.txt" % n, State.FAILED, "no") for n in range(2)]
    page = open_as_admin(root, "jobs", state="failed")
    page.toggle("choose").set_value(True)
    again(page)
    page.selectbox("act").select("Replay")
    press(page, "act-all")
    assert "**2 jobs** would be affected" in words(page)

    assert "Made anew: 2" in carry_out(page)
    new = app.index.jobs(State.PENDING, None, "~", 10)
    assert {each.origin for each in new} == {each.id for each in made}
    assert [state_of(app, each) for each in made] == [State.FAILED] * 2
    page = open_as_admin(root, "job", job=made[0].id)
    press(page, "act-Replay")
    assert "was made anew before" in carry_out(page).replace("\n", " ")


def test_a_job_is_made_anew_with_something_changed(app: App, root: Path, job: Fill) -> None:
    made = job(b"a.txt", State.FAILED, "no")
    with app.index.transaction():
        app.index.create_queue("mail", 1.0)
    page = open_as_admin(root, "job", job=made.id)
    press(page, "act-Edit")
    page.selectbox("ask-queue").select("mail")
    page.text_input("ask-priority").input("7")
    said = carry_out(page)

    (new,) = app.index.jobs(State.PENDING, None, "~", 10)
    assert new.id in said and (new.queue, new.priority, new.origin) == ("mail", 7, made.id)
    assert newest(app, "edit").actor == "console:ann"
    press(page, "act-Edit")
    page.text_input("ask-priority").input("high")
    press(page, "ask-do")
    assert "A priority is a whole number" in report(page)


def test_what_can_not_be_done_to_a_queue_is_told(app: App, root: Path, job: Fill) -> None:
    page = open_as_admin(root, "queues")
    press(page, "queue-delete")
    assert "can not be deleted" in carry_out(page, word="delete")
    press(page, "queue-create")
    page.text_input("ask-value").input("../**x**")
    assert "can not name a queue" in carry_out(page)
    press(page, "queue-pause")
    page.text_input("ask-value").input("soon")
    assert "is no duration" in carry_out(page)


def test_consumers_are_scaled_without_a_stack_for_its_next_start(app: App, root: Path) -> None:
    page = open_as_admin(root, "consumers")
    page.number_input("scale-count").set_value(3)
    again(page)
    press(page, "scale")

    assert "next start on: 3" in carry_out(page)
    assert set(app.index.roster() or ()) == {"consumer-00", "consumer-01", "consumer-02"}
    press(page, "consumer-stop")
    assert "next start on: 2" in carry_out(page)
    press(page, "consumer-drain")
    assert "pqfs" in carry_out(page)


# -------------------------------------------------------------------- the pages of Admin


def test_a_text_is_submitted_with_all_that_is_wanted_of_it(app: App, root: Path) -> None:
    page = open_as_admin(root, "submit")
    page.text_input("submit-name").input("**x** :red[y].txt")
    page.text_input("submit-priority").input("4")
    page.text_area("submit-text").input("what is in it")
    press(page, "submit-text-do")
    said = carry_out(page)

    (made,) = app.index.jobs(None, None, "~", 10)
    assert made.id in said
    assert (printable(made.name), made.priority, made.state) == ("**x** :red[y].txt", 4, State.PENDING)
    assert app.spool.path(app.spool.payload_path(made)).read_text() == "what is in it"
    assert newest(app, "submit").actor == "console:ann"


@pytest.mark.parametrize("name", ["", "a/b", "..", "x" * 256, "a\0b"])
def test_a_name_that_can_not_be_makes_no_job(app: App, root: Path, name: str) -> None:
    page = open_as_admin(root, "submit")
    page.text_input("submit-name").input(name[:200] if len(name) < 256 else "ä" * 200)
    press(page, "submit-text-do")

    assert "can not be a file's name" in carry_out(page)
    assert app.index.jobs(None, None, "~", 10) == []


def test_a_queue_is_tried_by_hand(app: App, root: Path) -> None:
    page = open_as_admin(root, "try")
    assert "Nothing of queue default is due" in words(page).replace("\\", "")
    press(page, "try-enqueue")
    carry_out(page)
    assert "tried.txt" in words(page).replace("\\", "")
    press(page, "try-dequeue")

    assert "is out of queue default" in carry_out(page)
    assert [each.state for each in app.index.jobs(None, None, "~", 10)] == [State.CANCELLED]


def test_upkeep_cleans_up_and_copies_the_index(app: App, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = open_as_admin(root, "upkeep")
    press(page, "cleanup")
    assert "Nothing is older than it is kept" in words(page)
    press(page, "ask-leave")
    page.text_input("backup-folder").input(str(root))
    press(page, "backup")
    assert "The index is copied" in carry_out(page)
    (copy,) = root.glob("index-*.db")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    page.text_input("backup-folder").input("relative")
    press(page, "backup")
    assert "no absolute path" in carry_out(page)


def test_schedules_are_added_run_paused_and_removed(app: App, root: Path) -> None:
    page = open_as_admin(root, "upkeep")
    for key, value in (("schedule-new", "tick"), ("schedule-cron", "every day")):
        page.text_input(key).input(value)
    page.text_area("schedule-text").input("now")
    again(page)
    press(page, "schedule-add")
    assert "is no cron expression" in carry_out(page)
    page.text_input("schedule-cron").input("*/5 * * * *")
    again(page)
    press(page, "schedule-add")
    assert "Add schedule tick: done" in carry_out(page)

    page = open_as_admin(root, "upkeep")
    for act, says in (
        ("Run now", "is made of schedule tick"),
        ("Pause", "done"),
        ("Resume", "done"),
        ("Remove", "done"),
    ):
        page.selectbox("schedule-act").select(act)
        again(page)
        press(page, "schedule-do")
        assert says in carry_out(page), act
    assert [each.name for each in app.index.jobs(None, None, "~", 10)] == [b"tick.txt"]
    assert newest(app, "remove schedule").actor == "console:ann"


def test_settings_tell_their_origin_and_users_are_set_and_removed(app: App, root: Path) -> None:
    page = open_as_admin(root, "settings")
    origins = dict(zip(column(page, "setting"), column(page, "origin"), strict=True))
    assert (origins["spool"], origins["durability"]) == ("PQFS_SPOOL", "default")

    page = open_as_admin(root, "users")
    for key, value in (("user-name", "bob"), ("user-password", "battery staple"), ("user-again", "battery stable")):
        page.text_input(key).input(value)
    assert "not the same" in words(press(page, "user-set"))
    for key, value in (("user-name", "bob"), ("user-password", "battery staple"), ("user-again", "battery staple")):
        page.text_input(key).input(value)
    assert "may sign in" in words(press(page, "user-set"))
    page.selectbox("user-gone").select("bob")
    again(page)
    press(page, "user-remove")
    assert "may sign in no more" in carry_out(page)
    assert {newest(app, verb).actor for verb in ("set password", "remove user")} == {"console:ann"}


def test_the_audit_trail_tells_who_did_what_and_is_verified(app: App, root: Path, job: Fill) -> None:
    made = job()
    app.jobqueue.hold(made, "cli:bob", "**because**", 5.0)
    page = open_as_admin(root, "audit", by="bob")

    assert column(page, "what") == ["hold"]
    assert column(page, "why") == ["**because**"]
    assert "fit. The hash" in words(press(page, "verify"))
    assert "No event fits" in words(open_as_admin(root, "audit", verb="nothing"))
    assert "is no instant" in words(open_as_admin(root, "audit", since="soon"))
