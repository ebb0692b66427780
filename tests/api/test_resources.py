"""What there is to see under /v1, and the description of it all."""

from __future__ import annotations

import re
import threading
import time
from typing import Any

import pytest
from fastapi.testclient import TestClient

from pqfs.api import problems
from pqfs.errors import PqfsError
from tests.api.service import Service
from tests.api.test_work import enqueued, leased
from tests.exposition import read

pytestmark = pytest.mark.slow


def test_jobs_come_in_pages(local: TestClient) -> None:
    jobs = [enqueued(local, str(number)) for number in range(5)]
    seen: list[str] = []
    cursor: dict[str, Any] = {}
    while True:
        page = local.get("/v1/jobs", params={"limit": 2, **cursor}).json()
        seen += [job["id"] for job in page["items"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}

    assert seen == jobs[::-1]
    assert local.get("/v1/jobs", params={"state": "held"}).json() == {"items": [], "next": None}
    assert len(local.get("/v1/jobs", params={"name": "*.txt", "queue": "default"}).json()["items"]) == 5
    assert local.get("/v1/jobs", params={"queue": "none"}).status_code == 404


def test_dead_letters_come_in_pages(service: Service, local: TestClient) -> None:
    jobs = [enqueued(local, str(number)) for number in range(3)]
    for job in jobs:
        leased(local)
        local.post(f"/mark_failed/{job}", params={"permanent": True}, content="no")

    first = local.get("/v1/dead", params={"limit": 2}).json()
    rest = local.get("/v1/dead", params={"limit": 2, "cursor": first["next"]}).json()

    assert [job["id"] for job in first["items"] + rest["items"]] == jobs[::-1]
    assert (rest["next"], rest["items"][0]["error"]) == (None, "no")


def test_a_long_poll_ends_with_the_job(local: TestClient) -> None:
    job = enqueued(local)
    assert local.get(f"/v1/jobs/{job}", params={"wait": 0.01}).json()["state"] == "pending"
    leased(local)
    answers: list[Any] = []
    waiting = threading.Thread(
        target=lambda: answers.append(local.get(f"/v1/jobs/{job}", params={"wait": 30}).json())
    )
    waiting.start()

    local.post(f"/mark_done/{job}", content=b"x")

    waiting.join(20)
    assert answers[0]["state"] == "completed"


def test_what_a_person_sees_is_there(service: Service, local: TestClient) -> None:
    job = enqueued(local)
    leased(local)

    assert [queue["name"] for queue in local.get("/v1/queues").json()["items"]] == [
        "closed",
        "default",
        "scans",
        "small",
    ]
    (consumer,) = local.get("/v1/consumers").json()["items"]
    assert (consumer["program"], consumer["owner"]) == ("api", service.desk.job(job).owner)
    stats = local.get("/v1/stats").json()
    assert (stats["jobs"]["processing"], stats["last_minute"]["ingested"]) == (1, 1)
    assert [alarm["name"] for alarm in local.get("/v1/health").json()["alarms"]] == ["not-running"]
    assert local.get("/v1/ready").json() == {"ready": True}


def test_an_output_that_a_reader_has_taken_is_gone(service: Service, local: TestClient) -> None:
    job = enqueued(local)
    assert local.get(f"/v1/jobs/{job}/output").status_code == 409
    leased(local)
    done = local.post(f"/mark_done/{job}", content=b"<script>").json()
    found = local.get(f"/v1/jobs/{job}/output")
    assert (found.headers["content-type"], found.headers["x-content-type-options"]) == (
        "application/octet-stream", "nosniff",
    )  # fmt: skip
    path = service.app.spool.path(f"outbox/{done['output']}")
    path.unlink()
    assert local.get(f"/v1/jobs/{job}/output").status_code == 410
    path.write_bytes(b"<script>")


def test_every_error_has_a_status() -> None:
    def below(kind: type[PqfsError]) -> list[type[PqfsError]]:
        return [kind, *(each for sub in kind.__subclasses__() for each in below(sub))]

    for kind in below(PqfsError):
        error = kind.__new__(kind)
        assert 400 <= problems.status_of(error) <= 507, kind


@pytest.mark.parametrize(
    ("method", "path", "status", "title", "detail", "hint"),
    [
        ("GET", "/v2/jobs", 404, "Nothing There", "There is nothing at this address.", "See: /openapi.json"),
        ("POST", "/dequeue/", 405, "Method Not Taken", "This address does not take POST.", "It takes: GET"),
        ("PUT", "/v1/schedules", 405, "Method Not Taken", "This address does not take PUT.", "It takes: GET, POST"),
        ("GET", "/dequeue/?lease=x", 422, "Invalid", None, "See: /openapi.json"),
    ],
)
def test_what_is_no_request_of_ours_is_told_like_any_error(
    local: TestClient, method: str, path: str, status: int, title: str, detail: str | None, hint: str
) -> None:
    answer = local.request(method, path)

    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    said = answer.json()
    assert (said["status"], said["title"], said["hint"]) == (status, title, hint)
    assert said["type"] == f"urn:pqfs:{title.lower().replace(' ', '-')}"
    assert detail is None or said["detail"] == detail


def test_who_has_lost_his_index_is_to_end(service: Service, local: TestClient) -> None:
    lost: list[bool] = []
    service.desk._on_lost = lambda: lost.append(True)
    path = service.app.spool.path("index.db")
    path.rename(path.with_name("elsewhere"))
    try:
        answer = local.post("/enqueue/", json={"job_data": 1, "key": "k"})
    finally:
        path.with_name("elsewhere").rename(path)

    assert (answer.status_code, answer.json()["title"], lost[:1]) == (503, "Index Gone", [True])


def test_a_bug_is_told_as_one(service: Service) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    service.desk.page = broken  # type: ignore[method-assign, assignment]
    client = TestClient(service.local.app, "http://127.0.0.1", client=("127.0.0.1", 1), raise_server_exceptions=False)

    answer = client.get("/v1/jobs")

    assert (answer.status_code, answer.json()["title"]) == (500, "Bug")


def test_the_description_is_whole(local: TestClient) -> None:
    told = local.get("/openapi.json").json()
    text = str(told)

    named = set(re.findall(r"#/components/schemas/(\w+)", text))
    assert named <= set(told["components"]["schemas"])
    for path, methods in told["paths"].items():
        for operation in methods.values():
            assert operation["description"], path
            assert "HTTPValidationError" not in str(operation), path
    assert local.get("/docs").status_code == 404, "it would run what another host sends"
    assert local.get("/nothing").headers["content-type"] == "application/problem+json"
    assert local.delete("/enqueue/").status_code == 405
    assert time.monotonic()


@pytest.mark.parametrize("path", ["/metrics", "/v1/metrics"])
def test_figures_are_told_to_scrapers(local: TestClient, path: str) -> None:
    enqueued(local, "a")

    answer = local.get(path)
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert read(answer.text)["pqfs_jobs_ingested_total"].samples
    accepts = {"accept": "application/openmetrics-text; version=1.0.0"}
    assert read(local.get(path, headers=accepts).text, openmetrics=True)


def test_the_trace_context_of_a_request_goes_with_its_job(local: TestClient) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for headers in ({"traceparent": parent, "tracestate": "a=1"}, {"traceparent": "nonsense"}):
        assert local.post("/enqueue/", json={"job_data": "x"}, headers=headers).status_code == 200

    told = [local.get("/dequeue/").json()["metadata"] for _ in range(2)]
    assert told == [{"traceparent": parent, "tracestate": "a=1"}, {}]
