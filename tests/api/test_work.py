"""Work in and out over HTTP: what is enqueued is a job, what is leased is one caller's, what is done is published."""

from __future__ import annotations

import errno
import os
import tarfile
from contextlib import AbstractContextManager
from typing import Any

import pytest
from fastapi.testclient import TestClient

from pqfs.clock import parse_iso
from pqfs.duplicates import SET
from pqfs.errors import IndexBusy, IndexGone, LeaseLost, PqfsError
from pqfs.keys import Role
from pqfs.model import Kind, State
from tests.api.service import Service


def enqueued(client: TestClient, data: Any = "payload", **more: Any) -> str:
    answer = client.post("/enqueue/", json={"job_data": data, **more})
    assert answer.status_code == 200, answer.text
    assert answer.json()["message"] == "Job enqueued"
    job: str = answer.json()["job_id"]
    return job


def leased(client: TestClient, **query: Any) -> dict[str, Any]:
    answer = client.get("/dequeue/", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def output(service: Service, name: str) -> bytes:
    return service.app.spool.path(f"outbox/{name}").read_bytes()


def test_json_is_a_job(local: TestClient) -> None:
    for data, payload, name in (
        ("text é", "text é", "payload.txt"),
        ({"a": [1, None]}, '{"a": [1, null]}', "payload.json"),
        (None, "null", "payload.json"),
    ):
        job = enqueued(local, data, metadata={"from": "lab"})
        found = leased(local)
        assert (found["job_id"], found["attempt"], found["payload"], found["name"]) == (job, 1, payload, name)
        assert (found["metadata"], found["is_set"]) == ({"from": "lab"}, False)


def test_the_file_of_a_form_is_a_job(service: Service, local: TestClient) -> None:
    data = bytes(range(256)) * 2000
    answer = local.post(
        "/enqueue/", files={"file": ("scan é.bin", data)}, data={"priority": "7", "delay": "0", "queue": "default"}
    )

    found = leased(local)

    assert (found["job_id"], found["name"], found["size"]) == (answer.json()["job_id"], "scan é.bin", len(data))
    assert found["payload"] is None
    assert local.get(found["payload_url"]).content == data
    assert service.left() == []


def test_what_is_done_is_published(service: Service, local: TestClient) -> None:
    job = enqueued(local)
    found = leased(local)

    done = local.post(f"/mark_done/{job}", params={"attempt": found["attempt"]}, content=b"output")

    assert done.json() == {"message": "Job done", "job_id": job, "state": "completed", "attempt": 1, **_output(done)}
    assert output(service, done.json()["output"]) == b"output"
    assert local.get(f"/v1/jobs/{job}/output").content == b"output"
    again = local.post(f"/mark_done/{job}", params={"attempt": 1}, content=b"another")
    assert again.json() == done.json()
    assert output(service, done.json()["output"]) == b"output"
    assert local.post(f"/mark_done/{job}", content=b"and without an attempt").json() == done.json()


def _output(answer: Any) -> dict[str, str]:
    return {"output": answer.json()["output"]}


def test_an_output_may_come_as_a_form_or_not_at_all(service: Service, local: TestClient) -> None:
    forms: list[tuple[dict[str, Any], bytes]] = [({"files": {"file": ("out", b"made")}}, b"made"), ({}, b"")]
    for sent, expected in forms:
        job = enqueued(local)
        leased(local)
        done = local.post(f"/mark_done/{job}", **sent)
        assert output(service, done.json()["output"]) == expected


def test_a_stale_attempt_is_told_and_publishes_nothing(service: Service, local: TestClient) -> None:
    job = enqueued(local)
    leased(local, lease=5)
    service.clock.pass_by(6.0)
    assert leased(local)["attempt"] == 2

    stale = local.post(f"/mark_done/{job}", params={"attempt": 1}, content=b"late")

    assert (stale.status_code, stale.headers["content-type"]) == (409, "application/problem+json")
    assert "lost its lease" in stale.json()["detail"]
    assert local.post(f"/mark_failed/{job}", params={"attempt": 1}).status_code == 409
    assert local.post(f"/extend/{job}", params={"attempt": 1}).status_code == 409
    assert local.get(f"/v1/jobs/{job}/payload", params={"attempt": 1}).status_code == 409
    assert service.left() == []
    assert local.post(f"/mark_done/{job}", params={"attempt": 2}, content=b"right").status_code == 200
    assert service.app.spool.entries("outbox") == [service.desk.job(job).output]


def test_a_lease_that_is_extended_while_its_output_arrives_is_still_the_same(
    service: Service, local: TestClient
) -> None:
    job = enqueued(local)
    leased(local)
    held = service.desk.find_lease(job, 1, None, Kind.DONE)
    assert held
    assert local.post(f"/extend/{job}", params={"seconds": 60}).status_code == 200
    for _ in range(2):  # the second one was sent before the first was answered
        staged, path = service.desk.stage()
        path.write_bytes(b"output")
        service.desk.complete(held, staged)
        path.unlink(missing_ok=True)

    assert local.get(f"/v1/jobs/{job}/output").content == b"output"
    with pytest.raises(LeaseLost):
        service.desk.give_up(held, Kind.FAILED, "no")


def test_what_failed_is_retried_or_not(service: Service, local: TestClient) -> None:
    job = enqueued(local)
    leased(local)
    failed = local.post(f"/mark_failed/{job}", params={"attempt": 1}, content="no such format")
    assert (failed.json()["state"], service.desk.job(job).failures) == ("pending", 1)
    assert local.post(f"/mark_failed/{job}", params={"attempt": 1}, content="again").status_code == 200
    assert service.desk.job(job).failures == 1
    service.clock.pass_by(3600.0)
    leased(local)

    dead = local.post(f"/mark_failed/{job}", params={"attempt": 2, "permanent": True}, content="never")

    assert (dead.json()["state"], service.desk.job(job).error) == ("failed", "never")


def test_a_lease_can_be_extended(service: Service, local: TestClient) -> None:
    job = enqueued(local)
    leased(local, lease=5)
    extended = local.post(f"/extend/{job}", params={"seconds": 60})

    assert parse_iso(extended.json()["lease_end"]) == pytest.approx(service.clock.now() + 60.0)
    service.clock.pass_by(59.0)
    assert local.get("/dequeue/").status_code == 204


def test_a_known_key_is_answered_with_the_first_job(local: TestClient) -> None:
    job = enqueued(local, key="order 17")

    assert enqueued(local, "another", key="order 17") == job
    assert len(local.get("/v1/jobs").json()["items"]) == 1


def test_what_was_moved_and_not_committed_is_adopted_and_answers_its_key(
    service: Service, local: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object) -> None:
        raise IndexBusy("busy")

    with monkeypatch.context() as patched:
        patched.setattr(service.app.index, "insert", busy)
        answer = local.post("/enqueue/", json={"job_data": "x", "key": "k"})
    assert (answer.status_code, answer.headers["retry-after"], service.left()) == (503, "1", [])

    repairs = service.app.janitor("none").look()

    assert repairs.adopted == 1
    job = enqueued(local, "x", key="k")
    assert [each["id"] for each in local.get("/v1/jobs").json()["items"]] == [job]


@pytest.mark.parametrize("error", [IndexBusy("busy"), IndexGone("it was removed")])
def test_what_is_kept_without_a_key_is_answered_with_the_id_that_it_will_have(
    service: Service, local: TestClient, monkeypatch: pytest.MonkeyPatch, error: PqfsError
) -> None:
    """A client that heard 503 sent it again, as clients do, and had two jobs."""

    def broken(*_: object) -> None:
        raise error

    lost: list[bool] = []
    service.desk._on_lost = lambda: lost.append(True)
    with monkeypatch.context() as patched:
        patched.setattr(service.app.index, "insert", broken)
        answer = local.post("/enqueue/", json={"job_data": "x"})
    assert (answer.status_code, answer.json()["message"]) == (202, "Job kept")
    assert bool(lost) is isinstance(error, IndexGone)

    assert service.app.janitor("none").look().adopted == 1

    assert [each["id"] for each in local.get("/v1/jobs").json()["items"]] == answer.json()["job_ids"]


def test_what_may_be_kept_says_so(service: Service, local: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patched:
        patched.setattr(service.app.jobqueue, "ingest", refused)
        answer = local.post("/enqueue/", json={"job_data": "x"})

    assert (answer.status_code, service.left()) == (503, [])
    assert "may be kept" in answer.json()["hint"]


def test_a_claim_for_somebody_outside_waits_for_a_flush(
    service: Service, local: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """He may outlive a loss of power, and then nobody else may hold an attempt of the same number."""
    enqueued(local)
    index, seen = service.app.index, list[bool]()
    begin = index.transaction

    def noted(lasting: bool = True) -> AbstractContextManager[None]:
        seen.append(lasting)
        return begin(lasting)

    monkeypatch.setattr(index, "transaction", noted)

    leased(local)

    assert seen and all(seen)


def test_an_empty_queue_is_no_content(local: TestClient) -> None:
    answer = local.get("/dequeue/")

    assert (answer.status_code, answer.content) == (204, b"")


def test_all_that_failed_is_resubmitted(service: Service, local: TestClient) -> None:
    jobs = [enqueued(local, str(number)) for number in range(3)]
    for job in jobs:
        leased(local)
        local.post(f"/mark_failed/{job}", params={"permanent": True})

    one = local.post("/admin/resubmit", json={"jobs": [jobs[0], jobs[0]]}).json()
    assert (one["resubmitted"], [each["job_id"] for each in one["skipped"]]) == (1, [jobs[0]])
    assert local.get("/admin/resubmit").status_code == 401, "by GET never without a key"
    operator = service.client(Role.OPERATOR)
    assert operator.get("/admin/resubmit").json()["resubmitted"] == 2

    assert {service.desk.job(job).state for job in jobs} == {State.PENDING}


def test_a_resubmission_says_what_it_means(local: TestClient) -> None:
    for body in ({}, {"all": True, "jobs": ["x"]}, {"all": False}, {"every": True}):
        assert local.post("/admin/resubmit", json=body).status_code == 422


# -------------------------------------------------------------------- hostile


JSON = {"content-type": "application/json"}
FORM = {"content-type": "multipart/form-data; boundary=x"}


def part(headers: str, data: str = "a") -> str:
    return f"--x\r\n{headers}\r\n\r\n{data}\r\n"


NO_JOBS: list[tuple[dict[str, str], str | bytes, int]] = [
    ({}, b"payload", 415),
    ({"content-type": "text/plain"}, b"payload", 415),
    (JSON, b"", 422),
    (JSON, b"{", 422),
    (JSON, b"[1]", 422),
    (JSON, b'{"queue": "default"}', 422),
    (JSON, b'{"job_data": "\\ud800"}', 422),
    (JSON, b'{"job_data": 1, "priority": 1001}', 422),
    (JSON, b'{"job_data": 1, "delay": -1}', 422),
    (JSON, b'{"job_data": 1, "delay": 1e300}', 422),
    (JSON, b'{"job_data": 1, "delay": NaN}', 422),
    (JSON, b'{"job_data": 1, "name": "../x"}', 422),
    (JSON, b'{"job_data": 1, "name": ".."}', 422),
    (JSON, b'{"job_data": 1, "name": ""}', 422),
    (JSON, b'{"job_data": 1, "key": ""}', 422),
    (JSON, b'{"job_data": 1, "queue": "none"}', 404),
    (JSON, b'{"job_data": 1, "queue": "../.."}', 422),
    (JSON, b'{"job_data": "more than ten bytes", "queue": "small"}', 422),
    (JSON, b'{"job_data": 1, "queue": "closed"}', 429),
    (JSON, b'{"job_data": 1, "unknown": 1}', 422),
    (JSON, b'{"job_data": "' + b"a" * (1 << 20) + b'"}', 413),
    (FORM, part('Content-Disposition: form-data; name="file"; filename="a"', "b" * (1 << 20)), 413),
    (FORM, part('Content-Disposition: form-data; name="a"', "b" * (1 << 17)) + "--x--", 413),
    (FORM, part('Content-Disposition: form-data; name="queue"') + "--x--", 422),
    (FORM, part('Content-Disposition: form-data; name="file"; filename="a"'), 422),
    (FORM, part('Content-Disposition: form-data; name="file"; filename="a"') * 2, 422),
    (FORM, part('Content-Disposition: form-data; name="file"; filename="a"') * 101 + "--x--", 422),
    (FORM, part('Content-Disposition: form-data; name="file"; filename="a"', "b" * (1 << 19)) * 3 + "--x--", 413),
    (FORM, part(f'X: {"y" * 10_000}\r\nContent-Disposition: form-data; filename="a"') + "--x--", 422),
    (FORM, "no form at all", 422),
    (FORM, "", 422),
    ({"content-type": "multipart/form-data"}, "--x--", 415),
]  # fmt: skip


def test_what_is_no_job_is_told_and_leaves_nothing_behind(service: Service, local: TestClient) -> None:
    for headers, body, status in NO_JOBS:
        answer = local.post("/enqueue/", headers=headers, content=body)

        assert answer.status_code == status, (body[:100], answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json().keys() == {"type", "title", "status", "detail", "hint"}
        assert answer.json()["status"] == status
        assert service.left() == []
    assert local.get("/v1/jobs").json()["items"] == []


NAMES = [
    ("../../etc/passwd", "passwd"), ("C:\\secret\\a.txt", "a.txt"), ("", "payload.bin"), ("..", "payload.bin"),
    ("a%00b", "a%2500b"), ("-rf", "%2Drf"), (".hidden", "%2Ehidden"), ("n" * 300, "n" * 300),
]  # fmt: skip


def test_a_hostile_name_is_only_a_name(local: TestClient) -> None:
    for filename, name in NAMES:
        body = part(f'Content-Disposition: form-data; name="file"; filename="{filename}"') + "--x--"
        answer = local.post("/enqueue/", headers=FORM, content=body)
        assert answer.status_code == 200, answer.text
        assert leased(local)["name"] == name


def test_an_output_that_is_too_large_leaves_the_lease(service: Service, local: TestClient) -> None:
    job = enqueued(local)
    leased(local)

    assert local.post(f"/mark_done/{job}", content=b"x" * (1 << 21)).status_code == 413

    assert local.post(f"/mark_done/{job}", headers=FORM, content=b"--x--").status_code == 422, "a form without a file"
    assert service.left() == []
    assert local.post(f"/mark_done/{job}", content=b"x").status_code == 200


def test_a_full_disk_is_told_before_it_is_full(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    enqueued(service.local)
    leased(service.local)
    monkeypatch.setattr(service.app.spool, "is_below", lambda low: True)

    assert service.local.post("/enqueue/", json={"job_data": 1}).status_code == 507
    assert service.local.get("/dequeue/").status_code == 507
    assert service.local.get("/v1/ready").status_code == 507
    assert service.left() == []


def test_a_job_that_is_not_there_is_told(local: TestClient) -> None:
    for job, status in (("x", 422), ("01a3185c-5000-7001-89d8-d555156386ad", 404)):
        for path in ("mark_done", "mark_failed", "extend"):
            assert local.post(f"/{path}/{job}").status_code == status
        assert local.get(f"/v1/jobs/{job}").status_code == status


# -------------------------------------------------------------------- several files

FILES = [("file", ("a.txt", b"first")), ("file", ("b.txt", b"x" * 600_000)), ("file", ("c.txt", b""))]


@pytest.mark.slow
def test_each_file_of_a_form_is_a_job(service: Service, local: TestClient) -> None:
    answer = local.post("/enqueue/", files=FILES, data={"priority": "3"})

    assert answer.status_code == 200, answer.text
    jobs = [service.desk.job(job) for job in answer.json()["job_ids"]]
    assert [(job.name, job.size, job.priority) for job in jobs] == [
        (name.encode(), len(data), 3) for _, (name, data) in FILES
    ]
    assert answer.json()["job_id"] == jobs[0].id
    spool = service.app.spool
    assert [spool.path(spool.payload_path(job)).read_bytes() for job in jobs] == [data for _, (_, data) in FILES]
    assert service.left() == []


NO_FILES: list[tuple[dict[str, str], list[Any], int]] = [
    ({"key": "k"}, FILES, 422),
    ({"name": "one"}, FILES, 422),
    ({"queue": "small"}, FILES, 422),
    ({"queue": "none"}, FILES, 404),
    ({"queue": "scans"}, [FILES[0], FILES[0]], 422),
]


@pytest.mark.slow
def test_of_several_files_all_are_jobs_or_none(service: Service, local: TestClient) -> None:
    for fields, files, status in NO_FILES:
        answer = local.post("/enqueue/", files=files, data=fields)
        assert answer.status_code == status, answer.text

    job = enqueued(local)
    assert [each["id"] for each in local.get("/v1/jobs").json()["items"]] == [job]
    assert service.left() == []


@pytest.mark.slow
def test_several_files_for_a_queue_that_takes_sets_are_one_job(service: Service, local: TestClient) -> None:
    answer = local.post("/enqueue/", files=FILES, data={"queue": "scans", "key": "k"})

    assert answer.status_code == 200, answer.text
    job = service.desk.job(answer.json()["job_id"])
    with tarfile.open(service.app.spool.path(service.app.spool.payload_path(job))) as tar:
        assert {each.name: each.size for each in tar} == {name: len(data) for _, (name, data) in FILES}
    assert (job.name, SET in (job.options or {})) == (b"a.txt.tar", True)
    assert local.post("/enqueue/", files=FILES, data={"queue": "scans", "key": "k"}).json()["job_id"] == job.id
    assert leased(local, queue="scans")["is_set"], "whoever gets the tar file is told that it is one of ours"
    assert service.left() == []


@pytest.mark.slow
def test_an_output_is_one_file(local: TestClient) -> None:
    job = enqueued(local)
    leased(local)

    answer = local.post(f"/mark_done/{job}", files=FILES)

    assert answer.status_code == 422
    assert "more than one file" in answer.json()["detail"]
