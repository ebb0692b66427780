"""Schedules over HTTP: what operators want is kept, what viewers see is true."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from pqfs.firing import Firing
from pqfs.keys import Role
from pqfs.model import State
from tests.api.service import Service

pytestmark = pytest.mark.slow

TICK = {"name": "tick", "cron": "*/5 * * * *", "text": "now", "missed": "skip"}


def test_a_schedule_is_made_runs_and_is_forgotten(service: Service, local: TestClient) -> None:
    made = local.post("/v1/schedules", json=TICK)
    assert made.status_code == 200, made.text
    assert local.get("/v1/schedules").json()["items"] == [made.json()]
    assert made.json()["next_at"] == "2027-01-15T08:05:00.000000Z"

    job = local.post("/v1/schedules/tick/run", params={"reason": "to see it"}).json()["job_id"]
    assert service.desk.job(job).name == b"tick.txt"
    service.clock.pass_by(300.0)
    assert Firing(service.app.jobqueue, service.clock).look() == 1
    (told,) = local.get("/v1/schedules").json()["items"]
    assert (told["state"], told["last_at"]) == ("pending", "2027-01-15T08:05:00.000000Z")

    assert local.post("/v1/schedules/tick/pause").json()["next_at"] is None
    assert local.post("/v1/schedules/tick/resume").json()["next_at"] is not None
    assert local.delete("/v1/schedules/tick").status_code == 200
    assert local.get("/v1/schedules").json() == {"items": []}
    assert {each.state for each in map(service.desk.job, [job, told["job"]])} == {State.PENDING}


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        ({**TICK, "cron": "every day"}, 422),
        ({**TICK, "cron": "0 0 30 2 *"}, 422),
        ({**TICK, "zone": "Nowhere/Else"}, 422),
        ({**TICK, "queue": "none"}, 404),
        ({**TICK, "name": "A B"}, 422),
        ({**TICK, "file": "/etc/passwd"}, 422),
        ({**TICK, "job_name": "../x"}, 422),
        ({**TICK, "jitter": -1}, 422),
        ({**TICK, "name": "there"}, 409),
    ],
)  # fmt: skip
def test_what_can_not_be_is_refused(local: TestClient, wish: dict[str, object], status: int) -> None:
    assert local.post("/v1/schedules", json={**TICK, "name": "there"}).status_code == 200

    answer = local.post("/v1/schedules", json=wish)

    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(local.get("/v1/schedules").json()["items"]) == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", "x"), ("POST", "x/run"), ("POST", "x/pause"), ("POST", "x/resume")],
)  # fmt: skip
def test_what_is_not_there_is_not_found(local: TestClient, method: str, path: str) -> None:
    assert local.request(method, f"/v1/schedules/{path}").status_code == 404


def test_only_operators_change_them(service: Service) -> None:
    viewer = service.client(Role.VIEWER, Role.PRODUCER, Role.CONSUMER)

    assert viewer.get("/v1/schedules").status_code == 200
    for method, path in (("POST", ""), ("DELETE", "/x"), ("POST", "/x/run"), ("POST", "/x/pause")):
        assert viewer.request(method, f"/v1/schedules{path}", json=TICK).status_code == 403
    actor = service.client(Role.OPERATOR, name="ann")
    assert actor.post("/v1/schedules", json=TICK).status_code == 200
