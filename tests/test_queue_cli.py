"""`pqfs queue …` through the command line: what it answers, what it refuses, and with which exit code."""

from __future__ import annotations

import json

import pytest

from tests.shell import Shell

ITEM = {
    "name", "paused_at", "paused_by", "paused_reason", "paused_until", "jobs", "oldest_wait", "held_back",
    "consumers", "accepts", "priority", "set",
}  # fmt: skip


def item(shell: Shell, name: str) -> dict[str, object]:
    return next(each for each in shell.items("queue", "list") if each["name"] == name)


def test_a_queue_is_listed_with_what_is_in_it_and_what_holds_it_up(shell: Shell) -> None:
    assert shell("queue", "create", "mail", "concurrency=2", "priority=5", "--reason", "for the post") == 0
    assert shell.out == "mail\n"
    job = shell.submit("a.txt", "-q", "mail")

    found = item(shell, "mail")

    assert set(found) == ITEM
    assert found["jobs"] == {
        "pending": 1, "held": 0, "processing": 0, "completed": 0, "failed": 0, "unprocessable": 0, "cancelled": 0,
    }  # fmt: skip
    assert (found["priority"], found["set"]) == (5, {"concurrency": "2", "priority": "5"})
    assert shell.items("jobs", "show", job)[0]["priority"] == 5
    assert shell("queue", "list") == 0
    assert "unserved" in shell.out


def test_every_value_of_a_queue_names_its_origin(shell: Shell) -> None:
    (shell.root / "pqfs.toml").write_text("[defaults]\ntimeout = '5m'\n[queues.mail]\nmax_failures = 7\n")
    assert shell("queue", "set", "mail", "backoff=9s") == 0

    (found,) = shell.items("queue", "show", "mail")
    shown = {each["setting"]: (each["value"], each["origin"]) for each in found["settings"]}
    config = {each["setting"]: (each["value"], each["origin"]) for each in shell.items("config", "show")}

    toml = str(shell.root / "pqfs.toml")
    assert set(found) == {*ITEM, "settings"}
    assert shown["backoff"] == config["queues.mail.backoff"] == ("9s", "pqfs queue set")
    assert shown["max_failures"] == config["queues.mail.max_failures"] == ("7", toml)
    assert shown["timeout"] == config["queues.mail.timeout"] == ("5m", toml)
    assert shown["aging"] == ("10m", "default")
    assert config["defaults.backoff"] == ("5s", "default")


def test_what_is_set_is_set_at_once_and_taken_back(shell: Shell) -> None:
    shell("queue", "create", "mail")

    assert shell("queue", "set", "mail", "max_files=1", "max_attempts=9", "--dry-run") == 0
    assert item(shell, "mail")["set"] == {}
    assert shell("queue", "set", "mail", "max_files=1", "max_attempts=9") == 0
    shell.submit("a.txt", "-q", "mail")
    (shell.root / "b.txt").write_text("b")
    assert shell("submit", "b.txt", "-q", "mail") == 1
    assert "max_files is 1" in shell.err
    assert shell("queue", "set", "mail", "max_files=none", "--unset", "max_attempts") == 0

    assert item(shell, "mail")["set"] == {"max_files": None}
    assert shell("submit", "b.txt", "-q", "mail") == 0


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["set", "mail", "handler=timestamp"], 2, "handler stands in pqfs.toml only"),
        (["set", "mail", "limits.memory=1GiB"], 2, "limits.memory stands in pqfs.toml only"),
        (["set", "mail", "--unset", "handler"], 2, "handler stands in pqfs.toml only"),
        (["set", "mail", "max_failures"], 2, "is not written name=value"),
        (["set", "mail", "max_failure=3"], 2, "did you mean 'max_failures'"),
        (["set", "mail", "max_failures=0"], 2, "greater than or equal to 1"),
        (["set", "mail", "max_failures=3", "max_attempts=4"], 2, "given twice"),
        (["set", "mail", "aging=never"], 2, "is not a duration"),
        (["set", "mail", "claim_rate=5/s"], 2, "is not a rate"),
        (["set", "mail"], 1, "Nothing is to be set"),
        (["set", "mail", "--unset", "timeout"], 1, "is not set for queue mail"),
        (["set", "post", "timeout=5m"], 4, "There is no queue post"),
        (["create", "mail"], 1, "There is a queue mail already"),
        (["create", "No Name"], 1, "No Name"),
        (["create", "../x"], 1, "x"),
        (["show", "post"], 4, "There is no queue post"),
        (["pause", "post"], 4, "There is no queue post"),
        (["pause", "mail", "--for", "soon"], 2, "is no duration"),
        (["pause", "mail", "--for", "0s"], 2, "more than no time"),
        (["resume", "mail"], 1, "neither paused nor closed"),
        (["drain", "post"], 4, "There is no queue post"),
        (["drain", "mail", "--timeout", "x"], 2, "is no duration"),
        (["purge", "post", "-y"], 4, "There is no queue post"),
        (["delete", "post", "-y"], 4, "There is no queue post"),
        (["delete", "default", "-y"], 1, "The default queue can not be deleted"),
        (["delete", "full", "-y"], 1, "Queue full is not empty: 1 pending"),
        (["delete", "full", "--purge"], 2, "This needs a yes"),
        (["purge", "full"], 2, "This needs a yes"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_changes_nothing(
    shell: Shell, arguments: list[str], code: int, sentence: str
) -> None:
    shell("queue", "create", "mail")
    shell("queue", "create", "full")
    shell.submit("a.txt", "-q", "full")
    before = shell.json("queue", "list")["items"], len(shell.items("audit", "list"))

    assert shell("queue", *arguments) == code, shell.err

    assert sentence in shell.err
    assert [len(line) for line in shell.err.splitlines()] and len(shell.err.splitlines()) <= 2
    for each in (*before[0], *(after := shell.json("queue", "list")["items"])):
        each.pop("oldest_wait")
    assert (after, len(shell.items("audit", "list"))) == before


def test_a_pause_tells_who_why_and_until_when_everywhere(shell: Shell) -> None:
    shell("queue", "create", "mail")
    job = shell.submit("a.txt", "-q", "mail")

    assert shell("queue", "pause", "mail", "default", "--for", "2h", "--reason", "the printer burns") == 0

    assert shell.out.split() == ["mail", "default"]
    found = item(shell, "mail")
    assert str(found["paused_by"]).startswith("cli:") and found["paused_reason"] == "the printer burns"
    assert str(found["paused_until"]).endswith("Z")
    for command in (("why", job), ("status",), ("queue", "show", "mail")):
        shell(*command)
        assert "paused by cli:" in shell.out and ": the printer burns" in shell.out, shell.out
        assert "until" in shell.out
    assert shell("queue", "resume", "mail", "post") == 7
    assert "There is no queue post" in shell.err
    assert item(shell, "mail")["paused_at"] is None
    assert shell("consume", "--drain") == 0
    assert shell.state(job) == "completed"
    told = [(each["verb"], each["queue"], each["reason"]) for each in shell.items("audit", "list", "-q", "mail")]
    told = [each for each in told if each[0] != "submit"]
    assert told == [("resume", "mail", None), ("pause", "mail", "the printer burns"), ("create", "mail", None)]


def test_drain_takes_nothing_in_waits_and_can_be_asked_again(shell: Shell) -> None:
    shell("queue", "create", "mail")
    job = shell.submit("a.txt", "-q", "mail")

    assert shell("queue", "drain", "mail", "--timeout", "0s") == 3
    assert "not drained yet: 1 jobs" in shell.err
    assert shell("submit", "a.txt", "-q", "mail") == 1
    assert "takes nothing in" in shell.err
    (shell.spool / "inbox" / "mail" / "b.txt").write_text("b")
    shell("ingest", "--once")
    shell("why", "spool/inbox/mail/b.txt")
    assert "takes nothing in" in shell.out
    assert shell("consume", "--drain") == 0
    assert shell("queue", "drain", "mail", "--timeout", "0s") == 0
    assert shell.state(job) == "completed"

    assert shell("queue", "resume", "mail") == 0
    assert shell("ingest", "--drain") == 0
    assert not list((shell.spool / "inbox" / "mail").iterdir())


def test_purge_deletes_what_waits_and_can_be_tried_first(shell: Shell) -> None:
    shell("queue", "create", "mail")
    jobs = {shell.submit(f"{number}.txt", "-q", "mail") for number in range(3)}
    shell("jobs", "hold", min(jobs))
    other = shell.submit("other.txt")

    assert shell("queue", "purge", "mail", "--dry-run") == 0
    assert set(shell.out.split()) == jobs
    assert shell("queue", "purge", "mail", "-y", "--json") == 0

    answer = json.loads(shell.out)
    assert (answer["schema"], answer["verb"], answer["dry_run"]) == ("pqfs.acts/1", "purge", False)
    assert {each["id"] for each in answer["items"] if each["done"]} == jobs
    assert [each["id"] for each in shell.items("jobs", "list")] == [other]
    assert shell("fsck") == 0


def test_a_queue_is_deleted_with_what_could_come_back(shell: Shell) -> None:
    shell("queue", "create", "mail")
    done = shell.submit("done.txt", "-q", "mail")
    shell("consume", "--drain")
    dead, gone, _ = (shell.submit(f"{name}.txt", "-q", "mail") for name in ("dead", "gone", "waits"))
    shell("jobs", "fail", dead)
    shell("jobs", "cancel", gone)
    assert shell("queue", "delete", "mail") == 1
    assert "1 cancelled, 1 failed, 1 pending" in shell.err

    assert shell("queue", "delete", "mail", "--purge", "--dry-run") == 0
    assert shell("queue", "delete", "mail", "--purge", "-y") == 0

    assert [each["name"] for each in shell.items("queue", "list")] == ["default"]
    assert [each["id"] for each in shell.items("jobs", "list")] == [done]
    assert not (shell.spool / "inbox" / "mail").exists()
    assert shell("fsck") == 0, shell.out


def test_a_queue_is_deleted_once_it_is_worked_off(shell: Shell) -> None:
    shell("queue", "create", "mail")
    shell.submit("a.txt", "-q", "mail")
    assert shell("queue", "delete", "mail", "--drain", "--timeout", "0s") == 3
    shell("consume", "--drain")

    assert shell("queue", "delete", "mail", "--drain", "--timeout", "5s") == 0
    assert list((shell.spool / "outbox" / "mail").iterdir())


def test_what_people_set_outlives_the_index(shell: Shell) -> None:
    shell("queue", "create", "mail", "timeout=5m")
    shell("queue", "pause", "mail", "--reason", "later")
    before = item(shell, "mail")
    for path in shell.spool.glob("index.db*"):
        path.unlink()

    assert shell("index", "rebuild") == 0, shell.err

    assert item(shell, "mail") == before


def test_nobody_consumes_from_a_queue_that_is_not_there(shell: Shell) -> None:
    shell("queue", "create", "mail")
    mail, other = shell.submit("a.txt", "-q", "mail"), shell.submit("b.txt")

    assert shell("consume", "-q", "post", "--drain") == 4
    assert "There is no queue post." in shell.err
    assert shell("consume", "-q", "mail", "--drain") == 0

    assert [shell.state(mail), shell.state(other)] == ["completed", "pending"]
