"""Many HTTP producers and consumers at once, while the API, the stack's consumers and they themselves are killed.

    python -m tests.api.load --seconds 60 --clients 50

Half of the clients produce: each payload has a key, and is sent again until it is answered. The others lease, and
bring an output, or vanish. When the storm is over everything is worked off, and then: each payload that was ever
answered is exactly one completed job, its output is of its own bytes, and nothing is there twice.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pqfs.model import State
from tests.api.serving import Served
from tests.process.stage import Stage, eventually

CONFIG = """
low_water = 0
[defaults]
max_losses = 1000
max_crashes = 1000
[queues.outside]
"""
_LEASE = 5  # seconds
_WORKED_OFF = 120.0  # seconds that are given to the rest, after the storm


@dataclass
class Ledger:
    """What was sent under which key, and what was answered; `done`: outputs that were taken."""

    sent: dict[str, str] = field(default_factory=dict)
    answered: dict[str, str] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Client:
    """One client, with a connection of its own that it opens again after every trouble."""

    def __init__(self, port: int, ledger: Ledger, over: threading.Event, seed: int) -> None:
        self._port = port
        self._ledger = ledger
        self._over = over
        self._chance = random.Random(seed)
        self._name = f"client {seed}"
        self._connection: http.client.HTTPConnection | None = None

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> tuple[int, Any]:
        """Status and answer; 0 when nobody answers."""
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
            self._connection.request(method, path, body, {"Content-Type": kind} if kind else {})
            answer = self._connection.getresponse()
            data = answer.read()
            return answer.status, json.loads(data) if data else None
        except (OSError, http.client.HTTPException):
            self.forget()
            self._ledger.counts["unanswered"] += 1
            time.sleep(0.05)
            return 0, None

    def forget(self) -> None:
        """Drop the connection, as who is killed does."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # ---------------------------------------------------------------- producers

    def produce(self) -> None:
        """Send one payload after the other, each until it is answered."""
        number = 0
        while not self._over.is_set():
            number += 1
            key = f"{self._name}, {number}"
            self._ledger.sent[key] = payload = f"payload of {key}\n"
            queue = self._chance.choice(("default", "outside"))
            body = json.dumps({"job_data": payload, "key": key, "queue": queue}).encode()
            self._send(key, body)
        self.forget()

    def _send(self, key: str, body: bytes) -> None:
        while True:
            status, answer = self.ask("POST", "/enqueue/", body, "application/json")
            if status == 200:
                self._ledger.answered[key] = answer["job_id"]
                return
            if status not in (0, 503):
                self._ledger.wrong.append(f"a payload was answered with {status}: {answer}")
            if self._over.is_set():
                return

    # ---------------------------------------------------------------- consumers

    def consume(self, until: threading.Event) -> None:
        """Lease one job after the other; one in twenty leases is forgotten, as by who was killed."""
        while not until.is_set():
            status, leased = self.ask("GET", f"/dequeue/?queue=outside&lease={_LEASE}")
            if status == 200 and self._chance.random() < 0.05 and not self._over.is_set():
                self._ledger.counts["forgotten"] += 1
                self.forget()
            elif status == 200:
                self._bring(leased)
            elif status not in (0, 204, 503):
                self._ledger.wrong.append(f"a lease was answered with {status}: {leased}")
            else:
                time.sleep(0.02)
        self.forget()

    def _bring(self, leased: dict[str, Any]) -> None:
        path = f"/mark_done/{leased['job_id']}?attempt={leased['attempt']}"
        output = f"done: {leased['payload']}".encode()
        while True:
            status, answer = self.ask("POST", path, output, "text/plain")
            if status == 200:
                self._ledger.done[leased["job_id"]] = leased["attempt"]
                return
            if status == 409:
                self._ledger.counts["leases lost"] += 1
                return
            if status not in (0, 503):
                self._ledger.wrong.append(f"an output was answered with {status}: {answer}")
                return


def storm(root: Path, seconds: float, clients: int, seed: int) -> Ledger:
    """Let it rage on a new spool in `root`; what was sent and answered. Everything is worked off when this returns.

    Raises:
        AssertionError: something was lost, doubled or torn, or the world is broken.
    """
    stage, ledger, chance = Stage(root, CONFIG), Ledger(), random.Random(seed)
    stage.start("janitor")
    served = Served(stage)
    over, empty = threading.Event(), threading.Event()
    people = [Client(served.port, ledger, over, number) for number in range(clients)]
    half = clients // 2
    threads = [threading.Thread(target=each.produce) for each in people[:half]]
    threads += [threading.Thread(target=each.consume, args=(empty,)) for each in people[half:]]
    for thread in threads:
        thread.start()
    try:
        _rage(stage, served, ledger, seconds, chance)
        over.set()
        eventually(lambda: _is_worked_off(stage), "everything is worked off", _WORKED_OFF)
    finally:
        over.set()
        empty.set()
        for thread in threads:
            thread.join(60)
        assert stage.stop(served.process) == 0
    _judge(stage, ledger)
    stage.close()
    return ledger


def _rage(stage: Stage, served: Served, ledger: Ledger, seconds: float, chance: random.Random) -> None:
    consumer = stage.start("consume", "consumer-00", "-q", "default")
    end, victims = time.monotonic() + seconds, ["API", "consumer"]  # each once at least
    while victims or time.monotonic() < end:
        time.sleep(chance.uniform(0.5, 3.0))
        if (victims.pop(0) if victims else chance.choice(("API", "consumer"))) == "API":
            served.kill()
            served.start()
            ledger.counts["API killed"] += 1
        else:
            consumer.kill()
            consumer.wait()
            consumer = stage.start("consume", "consumer-00", "-q", "default")
            ledger.counts["consumer killed"] += 1


def _is_worked_off(stage: Stage) -> bool:
    waiting = {State.PENDING, State.PROCESSING}
    return not [state for _, state, _ in stage.index.counts() if state in waiting] and not stage.index.unconfirmed(1)


def _judge(stage: Stage, ledger: Ledger) -> None:
    by_key: dict[str, list[Any]] = {}
    for job in stage.index.jobs_after("", 1_000_000):
        by_key.setdefault((job.options or {})["key"], []).append(job)
    wrong = list(ledger.wrong)
    for key, jobs in by_key.items():
        (job, *more) = jobs
        folder = stage.outbox if job.queue == "default" else stage.outbox / job.queue
        if more or job.state is not State.COMPLETED:
            wrong.append(f"{key}: {[(each.id, each.state) for each in jobs]}")
        elif not (folder / job.output).read_bytes().endswith(ledger.sent[key].encode()):
            wrong.append(f"{key} has another's output")
        if key in ledger.answered and ledger.answered[key] != job.id:
            wrong.append(f"{key} was answered with {ledger.answered[key]} and is {job.id}")
    known = {job.id: job.attempt for jobs in by_key.values() for job in jobs}
    wrong += [f"{key} was answered and is lost" for key in ledger.answered.keys() - by_key.keys()]
    wrong += [f"{job}: attempt {n} was told to be done" for job, n in ledger.done.items() if known.get(job) != n]
    ledger.counts["jobs"] = len(by_key)
    assert not wrong, "\n".join(wrong[:20])


def main() -> None:
    """Print what happened."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pqfs-load-") as root:
        ledger = storm(Path(root), asked.seconds, asked.clients, asked.seed)
    print(f"{len(ledger.sent)} payloads sent, {len(ledger.answered)} answered, {len(ledger.done)} outputs brought")
    for what, count in sorted(ledger.counts.items()):
        print(f"  {what}: {count}")
    print("nothing lost, nothing doubled, nothing torn")


if __name__ == "__main__":
    main()
