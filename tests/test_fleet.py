"""Which consumers are wanted, without a stack: noted, refused and rendered. tests/process has the real one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from supervisor.options import ServerOptions

from pqfs.owners import ProgramLock
from pqfs.settings import Loaded, Settings
from pqfs.spool import Spool
from pqfs.stack import fleet as fleet_module
from pqfs.stack.configuration import SLOT_NAMES, Instance, render
from pqfs.stack.fleet import Author, Fleet
from pqfs.stack.supervisor import Supervisor
from tests.shell import Shell


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory with a path short enough for a unix socket."""
    with tempfile.TemporaryDirectory(prefix="pq-") as path:
        yield Path(path)


def _read_by_supervisor(root: Path, roster: dict[str, Any] | None) -> dict[str, Any]:
    settings = Settings(spool=root / "spool", logs=root / "logs", consumers=2)
    settings.logs.mkdir()
    Spool.create(settings.spool)
    instance = Instance(Loaded(settings, {}, None), root, roster=roster)
    instance.table.write_text(render(instance))
    options = ServerOptions()
    options.realize(["-c", str(instance.table)])
    return {each.name: each for group in options.process_group_configs for each in group.process_configs}


@pytest.mark.parametrize("numbers", [[], [0], [1, 3, 4, 63], [62], list(range(64))])
def test_exactly_the_slots_that_are_wanted_start_by_themselves(short_path: Path, numbers: list[int]) -> None:
    wanted = [SLOT_NAMES[number] for number in numbers]

    found = _read_by_supervisor(short_path, dict.fromkeys(wanted))

    slots = {name: each for name, each in found.items() if name.startswith("consumer")}
    assert sorted(slots) == SLOT_NAMES
    assert [name for name, each in sorted(slots.items()) if each.autostart] == wanted
    assert {each.stdout_logfile for each in slots.values()} == {
        str(short_path / "logs" / f"{name}.log") for name in SLOT_NAMES
    }
    assert all(each.environment["PQFS_SPOOL"] == str(short_path / "spool") for each in slots.values())


def _wanted(shell: Shell) -> dict[str, list[str] | None]:
    return {each["program"]: each["queues"] for each in shell.items("consumers", "list") if each["wanted"]}


def test_without_a_stack_a_wish_is_noted_for_its_next_start(shell: Shell) -> None:
    assert list(_wanted(shell)) == ["consumer-00", "consumer-01"]

    assert shell("consumers", "scale", "3", "--reason", "a busy week") == 0

    assert "not running here; consumers from its next start on: 3" in shell.err
    assert list(_wanted(shell)) == ["consumer-00", "consumer-01", "consumer-02"]
    assert {each["state"] for each in shell.items("consumers", "list")} == {"STOPPED"}
    found = shell.json("consumers", "stop", "consumer-01")
    assert found["schema"] == "pqfs.fleet/1"
    assert (found["is_running"], found["started"], found["ended"], found["pending"]) == (False, [], [], [])
    assert found["items"] == [{"consumer": name, "queues": None} for name in ("consumer-00", "consumer-02")]
    assert shell("consumers", "start", "consumer-63") == 0
    assert list(_wanted(shell)) == ["consumer-00", "consumer-02", "consumer-63"]


def test_consumers_for_a_queue_are_counted_apart_from_the_others(shell: Shell) -> None:
    (shell.root / "pqfs.toml").write_text("[queues.mail]\n[queues.fax]\n")
    shell("init")

    assert shell("consumers", "scale", "2", "-q", "mail", "-q", "fax") == 0
    assert shell("consumers", "scale", "1", "-q", "mail") == 0
    assert shell("consumers", "scale", "1") == 0

    both = ["fax", "mail"]
    assert _wanted(shell) == {
        "consumer-00": None, "consumer-02": both, "consumer-03": both, "consumer-04": ["mail"],
    }  # fmt: skip
    assert shell("consumers", "scale", "0", "-q", "fax", "-q", "mail") == 0
    assert _wanted(shell) == {"consumer-00": None, "consumer-04": ["mail"]}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["scale", "65"], 2, "Invalid value for 'N'"),
        (["scale", "-1"], 2, ""),
        (["scale", "many"], 2, "a valid integer"),
        (["scale", "2", "-q", "nowhere"], 4, "There is no queue nowhere"),
        (["stop", "consumer-64"], 4, "There is no consumer consumer-64"),
        (["stop", "consumer-07"], 4, "There is no consumer consumer-07"),
        (["start", "../x"], 4, "There is no consumer ../x"),
        (["drain", "consumer-00"], 5, "not running"),
        (["restart"], 5, "not running"),
    ],
)
def test_a_wish_that_can_not_be_is_one_sentence_and_changes_nothing(
    shell: Shell, arguments: list[str], code: int, said: str
) -> None:
    assert shell("consumers", *arguments) == code

    assert said in shell.err
    app = shell.app()
    assert app.index.roster() is None
    app.close()


def test_a_change_that_is_cut_off_is_noted_and_made_again_without_harm(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = shell.app()
    fleet = Fleet(app, Supervisor(shell.spool / "run" / "supervisor.sock"))

    def cut_off(*ignored: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Fleet, "_carry_out", cut_off)
        with pytest.raises(KeyboardInterrupt):
            fleet.scale(4, None, Author("ann", "a busy week"))
    wanted = app.index.roster()
    assert wanted is not None and len(wanted) == 4

    assert fleet.scale(4, None, Author("ann")).roster == wanted

    events = [each for each in shell.items("audit", "list") if each["verb"] == "scale"]
    assert [(each["actor"], each["reason"]) for each in events] == [("ann", "a busy week")]
    assert events[0]["before"] == "consumer-00 consumer-01"
    app.close()


def test_two_changes_at_once_are_made_one_after_the_other(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_module, "_TURN", 0.1)
    lock = ProgramLock(shell.spool / "run", "fleet")
    assert lock.acquire(0.0)

    assert shell("consumers", "scale", "4") == 1

    assert "Somebody else is changing" in shell.err
    lock.release()
    assert shell("consumers", "scale", "4") == 0


def test_all_slots_can_be_wanted_and_no_more(shell: Shell) -> None:
    assert shell("consumers", "scale", "63") == 0
    (shell.root / "pqfs.toml").write_text("[queues.mail]\n")
    shell("init")

    assert shell("consumers", "scale", "2", "-q", "mail") == 1
    assert "No more than 64 consumers" in shell.err
    assert shell("consumers", "scale", "1", "-q", "mail") == 0
    assert len(_wanted(shell)) == 64
