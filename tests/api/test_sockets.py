"""Over real sockets: the API as a process, as a program of supervisor's or killed at any moment, and slow clients."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from pqfs.model import State
from tests.api.serving import Served
from tests.process.stage import Stage, eventually

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    stage = Stage(tmp_path, "low_water = 0\n[api]\npatience = '1s'\n[queues.outside]\n")
    served = Served(stage)
    yield served
    for each in served.connections:
        each.close()
    stage.abandon()


def test_the_commands_of_the_readme_run_as_they_stand(served: Served) -> None:
    readme = (ROOT / "README.md").read_text().partition("### From other hosts")[2]
    commands = readme.partition("```bash\n")[2].partition("```")[0].replace("http://127.0.0.1:8470", served.url)
    (served.stage.root / "README.md").write_text(readme)

    done = subprocess.run(
        ["bash", "-ec", commands], cwd=served.stage.root, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, (done.stdout, done.stderr)
    assert '"state":"completed"' in done.stdout
    assert sorted(served.stage.outputs()) == [b"the output"]
    assert served.stage.stop(served.process) == 0
    served.stage.close()


def test_who_stops_gives_back_what_is_leased(served: Served) -> None:
    job = httpx2.post(f"{served.url}/enqueue/", json={"job_data": "x"}).json()["job_id"]
    assert httpx2.get(f"{served.url}/dequeue/").json()["job_id"] == job
    assert f"REST API on {served.url}" in served.stage.log("api")

    assert served.stage.stop(served.process) == 0

    (found,) = served.stage.jobs()
    assert (found.state, found.losses) == (State.PENDING, 0)
    served.stage.close()


def test_a_killed_api_loses_its_leases_and_nothing_else(served: Served) -> None:
    served.stage.start("janitor")
    job = httpx2.post(f"{served.url}/enqueue/", json={"job_data": "x"}).json()["job_id"]
    assert httpx2.get(f"{served.url}/dequeue/").json()["attempt"] == 1
    served.kill()
    served.start()
    eventually(lambda: served.stage.jobs(State.PENDING), "the janitor gives it back")

    stale = httpx2.post(f"{served.url}/mark_done/{job}?attempt=1", content=b"late")
    again = httpx2.get(f"{served.url}/dequeue/").json()

    assert (stale.status_code, again["job_id"], again["attempt"]) == (409, job, 2)
    assert httpx2.post(f"{served.url}/mark_done/{job}?attempt=2", content=b"right").status_code == 200
    assert served.stage.outputs() == [b"right"]
    served.stage.close()


def test_the_stack_completes_what_is_enqueued(served: Served) -> None:
    served.stage.start("janitor")
    served.stage.consumer()
    jobs = [
        httpx2.post(f"{served.url}/enqueue/", files={"file": (f"{number}.txt", b"x")}).json()["job_id"]
        for number in range(20)
    ]

    ended = [httpx2.get(f"{served.url}/v1/jobs/{job}?wait=30", timeout=40).json() for job in jobs]

    assert {job["state"] for job in ended} == {"completed"}
    assert httpx2.get(f"{served.url}/v1/jobs/{jobs[0]}/output").content.endswith(b"x")
    served.stage.close()


def test_a_slow_body_is_given_up_and_a_vanished_one_forgotten(served: Served) -> None:
    head = b"POST /enqueue/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    begun = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + b"a" * 300_000
    slow, gone = served.connect(), served.connect()
    for each in (slow, gone):
        each.sendall(head + b"Content-Length: 100000000\r\n\r\n" + begun[:1000])
    eventually(lambda: len(_staged(served)) == 2, "both are staged")
    gone.close()
    slow.settimeout(20)

    assert b" 408 " in slow.recv(1000)

    slow.close()
    eventually(lambda: not _staged(served), "nothing is left")
    assert served.stage.stop(served.process) == 0
    served.stage.close()


def _staged(served: Served) -> list[Path]:
    return list((served.stage.spool / "work").glob("*/*"))


def test_a_long_poll_costs_no_thread(served: Served) -> None:
    """More of them than there are threads, and others are served meanwhile."""
    job = httpx2.post(f"{served.url}/enqueue/", json={"job_data": "x"}).json()["job_id"]
    request = f"GET /v1/jobs/{job}?wait=20 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    waiting = [served.connect() for _ in range(100)]
    for each in waiting:
        each.sendall(request)
    began = time.monotonic()
    assert httpx2.get(f"{served.url}/dequeue/", timeout=15).status_code == 200
    assert httpx2.post(f"{served.url}/mark_done/{job}", content=b"x", timeout=15).status_code == 200
    for each in waiting:
        each.settimeout(20)
        answer = b""
        while not answer.endswith(b"}"):
            answer += each.recv(10_000)
        assert b'"completed"' in answer
    assert time.monotonic() - began < 20
    os.kill(served.process.pid, signal.SIGTERM)
    assert served.process.wait(20) == 0
    served.stage.close()
