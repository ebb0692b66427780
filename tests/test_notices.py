"""Receipts and hooks: what is noted with the act itself, and how the courier tells it, at least once and to whom."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pqfs.courier import Courier
from pqfs.doorbell import Bell
from pqfs.errors import Misconfigured
from pqfs.hooks import Letter, deliver, sign
from pqfs.hooksettings import HookSettings
from pqfs.inbox import Inbox
from pqfs.index.notices import Notices
from pqfs.ingester import Ingester
from pqfs.jobqueue import JobQueue
from pqfs.model import Job, Kind, Outcome
from pqfs.runtime import Stop
from pqfs.settings import KeepSettings, QueueSettings, Settings, load
from pqfs.spool import Spool
from tests.databases import behind
from tests.shell import Shell
from tests.test_shapes import SHAPES
from tests.world import SettableClock, eventually, invariants, submitted, write_output

HERE = "consumer.1.0123abcd"
HOOK = HookSettings(on=("completed", "failed", "dead", "cancelled", "rejected", "health"), command=("tell",), tries=3)
LETTER = Letter("n-1", "completed", b'{"id": "n-1"}')


class House:
    """A spool with a queue that keeps receipts and has a hook, and a courier whose letters are kept in a list."""

    def __init__(self, jobqueue: JobQueue, clock: SettableClock, root: Path) -> None:
        self.jobqueue, self.clock, self.root = jobqueue, clock, root
        self.spool, self.index = jobqueue.spool, jobqueue.index
        self.rows = Notices(jobqueue.index.engine)
        self.letters: list[dict[str, Any]] = []
        self.answer: Callable[[Letter], str | None] = lambda letter: None
        self.courier = self.start()

    def start(self) -> Courier:
        """Another courier, as after a crash."""
        return Courier(self.jobqueue, self.clock, self.root, deliver=self._deliver)

    def _deliver(self, hook: HookSettings, letter: Letter, folder: Path, now: float) -> str | None:
        self.letters.append(json.loads(letter.body))
        return self.answer(letter)

    def tell(self) -> None:
        """Let the courier do all that can be done now."""
        while self.courier.turn() < 1.0 or self.courier._under_way or self.courier._ended:
            pass

    def ingest(self) -> None:
        """One sweep."""
        Ingester(
            self.jobqueue, Inbox(self.spool.root, self.jobqueue.settings), "ingester.1.0123abcd", self.clock
        ).sweep()

    def claim(self) -> Job:
        """The next job, running."""
        (job,) = self.jobqueue.claim(HERE, None, 1, self.clock.now())
        assert self.spool.start(job)
        return job

    def complete(self, job: Job) -> None:
        """Its attempt ends well."""
        size, sha256 = write_output(self.spool, job)
        outcome = Outcome(Kind.DONE, started_at=1.0, output_size=size, output_sha256=sha256)
        self.jobqueue.end(job, outcome, self.clock.now())

    def receipt(self, name: str = "a.txt") -> dict[str, Any]:
        """What a producer reads."""
        found: dict[str, Any] = json.loads(self.spool.path(f"receipts/{name}.json").read_bytes())
        return found

    def events(self) -> list[str]:
        """What the hook has heard."""
        return [letter["event"] for letter in self.letters]


Building = Callable[..., House]


@pytest.fixture
def building(spool: Spool, index: Any, settings: Settings, clock: SettableClock, tmp_path: Path) -> Building:
    """Build a house with these settings of the default queue."""

    def build(keep: Any = "forever", **terms: Any) -> House:
        chosen = replace(settings, defaults=QueueSettings(**terms), keep=KeepSettings(receipts=keep))
        return House(JobQueue(spool, index, chosen, chance=lambda: 0.5), clock, tmp_path)

    return build


@pytest.fixture
def house(building: Building) -> House:
    """With receipts and the hook."""
    return building(receipts=True, hooks=(HOOK,), max_failures=2, duplicates="reject")


# -------------------------------------------------------------------- what is noted


def test_who_wants_to_hear_nothing_is_told_nothing_and_no_row_is_written(building: Building) -> None:
    house = building()
    submitted(house.jobqueue, house.clock.now())
    house.complete(house.claim())

    assert house.rows.sinks() == []
    house.tell()
    assert house.spool.entries("receipts") == []
    invariants(house.spool, house.index)


def test_a_receipt_says_what_became_of_a_file_last(house: House) -> None:
    house.spool.path("inbox/a.txt").write_bytes(b"payload")
    house.ingest()
    house.tell()
    accepted = house.receipt()
    job = house.claim()
    house.complete(job)
    house.tell()

    assert (accepted["state"], accepted["job"], accepted["name"]) == ("accepted", job.id, "a.txt")
    completed = house.receipt()
    assert (completed["state"], completed["attempt"]) == ("completed", 1)
    assert house.spool.path(f"outbox/{completed['output']}").read_bytes() == b"output"
    assert house.rows.sinks() == []
    invariants(house.spool, house.index)


def test_a_receipt_that_was_not_written_yet_gives_way_to_a_later_one(house: House) -> None:
    submitted(house.jobqueue, house.clock.now())
    house.complete(house.claim())

    house.tell()

    assert house.receipt()["state"] == "completed"
    assert house.events() == ["completed"]


def test_a_duplicate_is_told_of_which_job(house: House) -> None:
    first = submitted(house.jobqueue, house.clock.now())
    house.spool.path("inbox/b.txt").write_bytes(b"payload")
    house.ingest()

    house.tell()

    assert (house.receipt("b.txt")["state"], house.receipt("b.txt")["earlier"]) == ("duplicate", first.id)
    assert house.events() == []


def test_a_refusal_is_told_once_it_has_happened(house: House) -> None:
    house.spool.path("inbox/a.txt").symlink_to("/nowhere")
    house.ingest()

    house.tell()

    found = house.receipt()
    assert (found["state"], found["error"]) == ("rejected", "it is a symbolic link")
    assert os.path.lexists(house.spool.path(found["path"]))
    assert house.events() == ["rejected"]


def test_a_refusal_that_did_not_happen_is_told_to_nobody(house: House) -> None:
    house.jobqueue.notices.refusing(
        "default", b"a.txt", "01a3185c-5000-7001-89d8-d555156386ad", "why", house.clock.now()
    )
    house.courier.turn()
    assert house.rows.sinks() != []
    house.clock.pass_by(61)

    house.tell()

    assert (house.rows.sinks(), house.letters, house.spool.entries("receipts")) == ([], [], [])


def test_a_failed_attempt_is_told_to_the_hook_and_the_last_one_to_the_producer(house: House) -> None:
    submitted(house.jobqueue, house.clock.now())
    for error in ("first", "second"):
        house.clock.pass_by(60)
        house.jobqueue.end(house.claim(), Outcome(Kind.FAILED, error, started_at=1.0), house.clock.now())
        house.tell()

    assert house.events() == ["failed", "dead"]
    assert [letter["error"] for letter in house.letters] == ["first", "second"]
    assert (house.receipt()["state"], house.receipt()["error"]) == ("failed", "second")
    invariants(house.spool, house.index)


def test_what_people_do_to_a_job_is_told_too(house: House) -> None:
    job = submitted(house.jobqueue, house.clock.now())
    cancelled = house.jobqueue.cancel(job, "cli:me", "not needed", house.clock.now())
    house.tell()
    redriven = house.jobqueue.redrive(cancelled, "cli:me", None, house.clock.now())
    house.jobqueue.fail(redriven, "cli:me", "broken", house.clock.now())
    house.tell()

    assert house.events() == ["cancelled", "dead"]
    assert house.receipt()["error"] == "broken"


def test_an_alarm_is_told_to_the_hooks_of_the_defaults(house: House) -> None:
    with house.index.transaction():
        house.jobqueue.notices.alarm("disk-low", "There is no room.", "Make some.", False, house.clock.now())

    house.tell()

    assert [(each["event"], each["rule"], each["is_over"]) for each in house.letters] == [
        ("health", "disk-low", False)
    ]
    assert house.spool.entries("receipts") == []


def test_a_named_queue_has_receipts_of_its_own(house: House) -> None:
    with house.index.transaction():
        house.index.create_queue("mail", house.clock.now())
    submitted(house.jobqueue, house.clock.now(), queue="mail")

    house.tell()

    assert house.receipt("mail/a.txt")["queue"] == "mail"


# -------------------------------------------------------------------- what is told, and when


def test_nobody_is_told_of_an_output_that_can_not_be_seen_yet(house: House) -> None:
    submitted(house.jobqueue, house.clock.now())
    job = house.claim()
    hidden = house.spool.path(f"outbox/{'x' * 9}")
    house.complete(job)
    output = house.spool.path(f"outbox/{house.index.job(job.id).output}")  # type: ignore[union-attr]
    output.rename(hidden)
    behind(house.index.engine, "UPDATE jobs SET confirmed = 0")

    house.courier.turn()
    assert house.letters == []
    hidden.rename(output)
    house.tell()
    assert house.events() == ["completed"]


def test_an_output_that_a_reader_has_taken_is_told_all_the_same(house: House) -> None:
    submitted(house.jobqueue, house.clock.now())
    house.complete(house.claim())
    for path in house.spool.path("outbox").iterdir():
        path.unlink()

    house.tell()

    assert house.events() == ["completed"]


def test_what_is_not_heard_is_told_again_with_growing_pauses_then_put_aside(house: House) -> None:
    house.answer = lambda letter: "it answered 500"
    house.jobqueue.cancel(submitted(house.jobqueue, house.clock.now()), "cli:me", None, house.clock.now())
    pauses = []
    for _ in range(HOOK.tries):
        house.tell()
        due = house.rows.next_due()
        pauses.append((due or house.clock.now()) - house.clock.now())
        house.clock.pass_by(pauses[-1])

    assert len({letter["id"] for letter in house.letters}) == 1
    assert len(house.letters) == HOOK.tries
    assert 2.5 <= pauses[0] <= 5.0 <= pauses[1] <= 10.0
    assert pauses[2] == 0.0, "nothing is due any more"
    (aside,) = house.rows.untold(9)
    assert (aside.error, aside.tries) == ("it answered 500", 3)
    assert house.receipt()["state"] == "cancelled", "receipts wait for no hook"
    with house.index.transaction():
        assert house.rows.tell_again(house.clock.now()) == 1
    house.answer = lambda letter: None
    house.tell()
    assert len(house.letters) == HOOK.tries + 1
    assert house.rows.waiting() == (0, None)


def test_a_receiver_that_hangs_keeps_only_itself_waiting(building: Building) -> None:
    other = replace(HOOK, command=("other",))
    house = building(hooks=(HOOK, other), receipts=True)
    is_over = threading.Event()
    house.answer = lambda letter: None if house.letters[-1] is None or is_over.wait(20) else "late"
    house.courier._deliver = lambda hook, letter, folder, now: (
        house._deliver(hook, letter, folder, now) if hook is HOOK else house.letters.append({"event": "other"})
    )
    for name in (b"a", b"b"):
        house.jobqueue.cancel(submitted(house.jobqueue, house.clock.now(), name), "cli:me", None, house.clock.now())

    def others() -> bool:
        house.courier.turn()
        return house.events().count("other") == 2

    eventually(others, "the other hook has heard both")
    assert house.events().count("cancelled") == 1
    assert [house.receipt(name)["state"] for name in "ab"] == ["cancelled", "cancelled"]
    is_over.set()
    house.tell()
    assert house.events().count("cancelled") == 2


def test_a_courier_that_is_killed_before_it_has_noted_it_tells_it_once_more_under_the_same_id(house: House) -> None:
    house.jobqueue.cancel(submitted(house.jobqueue, house.clock.now()), "cli:me", None, house.clock.now())
    house.courier.turn()
    eventually(lambda: house.courier._ended, "it was told")

    house.courier = house.start()
    house.tell()

    assert house.events() == ["cancelled", "cancelled"]
    assert len({letter["id"] for letter in house.letters}) == 1
    assert house.rows.sinks() == []


def test_a_hook_that_is_gone_from_the_settings_leaves_its_notices_to_a_person(
    house: House, building: Building
) -> None:
    house.jobqueue.cancel(submitted(house.jobqueue, house.clock.now()), "cli:me", None, house.clock.now())
    without = building()

    without.tell()

    (aside,) = without.rows.untold(9)
    assert "no hook of pqfs.toml" in str(aside.error)


def test_receipts_are_removed_after_their_time(house: House, building: Building) -> None:
    for each in (b"old", b"new"):
        submitted(house.jobqueue, house.clock.now(), each, data=each)
    house.tell()
    for name, age in (("old", 8 * 86400), ("new", 6 * 86400)):
        os.utime(house.spool.path(f"receipts/{name}.json"), (house.clock.now() - age,) * 2)

    building(keep=7 * 86400.0).tell()

    assert house.spool.entries("receipts") == ["new.json"]


def test_a_courier_ends_when_there_is_nothing_more_to_tell(house: House) -> None:
    submitted(house.jobqueue, house.clock.now())
    house.complete(house.claim())
    stop, bell = Stop(), Bell(house.spool.path("run"), "courier.1.0123abcd")

    house.courier.run(stop, bell, until_empty=True)

    bell.close()
    assert (house.events(), house.receipt()["state"]) == (["completed"], "completed")


def test_what_was_put_aside_is_listed_told_again_and_dropped(shell: Shell) -> None:
    (shell.root / "pqfs.toml").write_text(
        '[[defaults.hooks]]\non = ["cancelled"]\ncommand = ["tell", "me"]\ntries = 1\n'
    )
    job = shell.submit("a.txt")
    assert shell("jobs", "cancel", job) == 0
    app = shell.app()
    courier = Courier(app.jobqueue, app.clock, shell.root, deliver=lambda *_: "nobody is there")
    while not (aside := Notices(app.index.engine).untold(9)):
        courier.turn()
    app.close()

    (item,) = shell.items("notices", "list")

    assert item.keys() == SHAPES["pqfs.notices/1"]
    assert (item["to"], item["job"], item["error"], item["id"]) == ("tell me", job, "nobody is there", aside[0].id)
    assert (shell("notices", "list"), shell("notices", "retry")) == (0, 0)
    assert "once more: 1" in shell.err
    assert shell.items("notices", "list") == []
    assert (shell("notices", "drop"), shell("notices", "drop", "-y")) == (2, 0)
    assert [each["verb"] for each in shell.items("audit", "list")][:2] == ["drop notices", "retry notices"]


def test_what_will_be_tried_again_is_listed_too_and_told_at_once_when_asked_for(shell: Shell) -> None:
    """A webhook may be down for hours before anything is put aside: nobody is to wait for that to see it."""
    (shell.root / "pqfs.toml").write_text('[[defaults.hooks]]\non = ["cancelled"]\ncommand = ["tell", "me"]\n')
    job = shell.submit("a.txt")
    assert shell("jobs", "cancel", job) == 0
    app = shell.app()
    courier = Courier(app.jobqueue, app.clock, shell.root, deliver=lambda *_: "nobody is there")
    while not Notices(app.index.engine).untold(9):
        courier.turn()
    app.close()

    (item,) = shell.items("notices", "list")

    assert (item["tries"], item["error"], item["put_aside_at"]) == (1, "nobody is there", None)
    assert item["next_at"] > item["at"]
    assert shell("notices", "retry") == 0
    assert "once more: 1" in shell.err
    assert shell.items("notices", "list") == []


# -------------------------------------------------------------------- how it is delivered


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("on = ['completed']", "either a command or a url"),
        ("on = []\ncommand = ['a']", "must say on what"),
        ("on = ['ended']\ncommand = ['a']", "completed"),
        ("on = ['dead']\ncommand = ['a']\nurl = 'http://a/'", "either a command or a url"),
        ("on = ['dead']\nurl = 'ftp://a/'", "is not an address"),
        ("on = ['dead']\nurl = 'http://me:secret@a/'", "is not an address"),
        ("on = ['dead']\ncommand = ['a']\nsecret_env = 'S'", "without effect"),
        ("on = ['dead']\nurl = 'http://a/'\nsecret_env = 'S'\nsecret_file = 'f'", "not in both"),
        ("on = ['dead']\nurl = 'http://a/'\nsecret = 'plain'", "secret"),
    ],
)
def test_a_hook_that_could_not_work_is_refused_at_the_start(tmp_path: Path, toml: str, says: str) -> None:
    (tmp_path / "pqfs.toml").write_text(f"[[defaults.hooks]]\n{toml}\n")

    with pytest.raises(Misconfigured, match=says):
        load({"config": str(tmp_path / "pqfs.toml")}, {})


def hook_of(**more: Any) -> HookSettings:
    """A hook with little patience."""
    return HookSettings(on=("completed",), **{"timeout": 5.0, **more})


def test_a_program_gets_the_letter_on_its_standard_input(tmp_path: Path) -> None:
    code = "import os, sys; open('heard', 'w').write(os.environ['PQFS_EVENT'] + sys.stdin.read())"

    assert deliver(hook_of(command=(sys.executable, "-c", code)), LETTER, tmp_path, 0.0) is None
    assert (tmp_path / "heard").read_text() == 'completed{"id": "n-1"}'


def test_what_a_program_says_no_with_is_told(tmp_path: Path) -> None:
    assert "exit code 3" in str(deliver(hook_of(command=("sh", "-c", "exit 3")), LETTER, tmp_path, 0.0))
    assert "was not found" in str(deliver(hook_of(command=("no-such-program",)), LETTER, tmp_path, 0.0))


@pytest.mark.slow
def test_a_program_that_never_ends_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    hook = hook_of(command=("sh", "-c", "sleep 600 & echo $! > child; wait"), timeout=3.0)

    assert "had not ended after 3 seconds" in str(deliver(hook, LETTER, tmp_path, 0.0))
    child = int((tmp_path / "child").read_text())
    eventually(lambda: not Path(f"/proc/{child}").exists(), "its child has ended, too")


class Receiver:
    """A webhook's other end, on a socket of this host, that does with each connection as a test says."""

    def __init__(self, act: Callable[[socket.socket, bytes], None]) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/hear?x=1"
        self.heard: list[bytes] = []
        self._act = act
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection:
                request = b""
                while b'"n-1"}' not in request and (block := connection.recv(65536)):
                    request += block
                self.heard.append(request)
                try:
                    self._act(connection, request)
                except OSError:
                    pass

    def close(self) -> None:
        """Answer nobody any more."""
        self._listening.close()


def answering(status: str) -> Callable[[socket.socket, bytes], None]:
    """Answer so."""
    return lambda connection, request: connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())


def _drip(connection: socket.socket, request: bytes) -> None:
    while True:
        connection.sendall(b"H")
        time.sleep(0.05)  # the slowness of the receiver is what is tried


@pytest.fixture
def receiving() -> Iterator[Callable[[Callable[[socket.socket, bytes], None]], Receiver]]:
    """Start a receiver."""
    started: list[Receiver] = []

    def start(act: Callable[[socket.socket, bytes], None]) -> Receiver:
        started.append(Receiver(act))
        return started[-1]

    yield start
    for each in started:
        each.close()


Receiving = Callable[[Callable[[socket.socket, bytes], None]], Receiver]


def test_a_webhook_is_posted_the_letter_signed_with_the_time(tmp_path: Path, receiving: Receiving) -> None:
    (tmp_path / "secret").write_bytes(b"s3cret\n")
    receiver = receiving(answering("204 No Content"))

    assert deliver(hook_of(url=receiver.url, secret_file="secret"), LETTER, tmp_path, 1_800_000_000.5) is None

    (request,) = receiver.heard
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /hear?x=1 HTTP/1.1\r\n")
    assert b"Pqfs-Notice: n-1" in head
    assert f"Pqfs-Signature: {sign(b's3cret', 1_800_000_000, body)}".encode() in head
    assert body == LETTER.body


def test_no_log_and_no_listing_shows_what_may_be_secret_in_an_address() -> None:
    hook = hook_of(url="https://hooks.example.org:8443/T0K3N?key=s3cret", secret_env="NAME")

    assert hook.target == "https://hooks.example.org:8443/…"
    assert repr(hook) == "completed: https://hooks.example.org:8443/…"
    assert hook.mark != hook_of(url="https://hooks.example.org:8443/other").mark


def test_without_its_secret_nothing_is_sent(
    tmp_path: Path, receiving: Receiving, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = receiving(answering("200 OK"))
    monkeypatch.delenv("NO_SUCH_SECRET", raising=False)
    (tmp_path / "empty").write_bytes(b"\n")

    for secret in ({"secret_file": "none"}, {"secret_file": "empty"}, {"secret_env": "NO_SUCH_SECRET"}):
        assert "its secret can not be read" in str(
            deliver(hook_of(url=receiver.url, **secret), LETTER, tmp_path, 0.0)
        )
    assert receiver.heard == []


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (answering("500 Internal Server Error"), "it answered 500"),
        (answering("302 Found\r\nLocation: http://127.0.0.1:1/"), "it answered 302"),
        (lambda connection, request: None, "no answer"),
        (lambda connection, request: connection.sendall(b"HTTP/1.1 nonsense\r\n\r\n"), "no answer"),
        (lambda connection, request: connection.recv(1), "no answer"),
        (_drip, "no answer"),
    ],
    ids=["500", "redirect", "closes-early", "nonsense", "hangs", "drips"],
)
def test_a_receiver_that_does_not_hear_is_told_of_within_the_time(
    tmp_path: Path, receiving: Receiving, act: Callable[[socket.socket, bytes], None], says: str
) -> None:
    receiver = receiving(act)

    assert says in str(deliver(hook_of(url=receiver.url, timeout=0.4), LETTER, tmp_path, 0.0))
    assert len(receiver.heard) == 1


def test_a_receiver_that_is_not_there_is_told(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/"

        assert "no answer" in str(deliver(hook_of(url=url), LETTER, tmp_path, 0.0))
