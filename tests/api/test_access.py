"""Who may do what: keys, roles, this host without keys, and pages of browsers."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from pqfs.api.access import is_loopback
from pqfs.api.problems import STATUSES
from pqfs.api.serving import serve
from pqfs.errors import Misconfigured, Refused
from pqfs.keys import Keys, Role
from pqfs.settings import load
from tests.api.service import Service
from tests.api.test_work import enqueued, leased
from tests.shell import Shell

EPOCH = 1_800_000_000.0
JOB = "01a3185c-5000-7001-89d8-d555156386ad"

# method, path, the roles that are let in
SCHEDULE = "nightly"
ROUTES = [
    ("POST", "/enqueue/", {Role.PRODUCER}),
    ("GET", "/dequeue/", {Role.CONSUMER}),
    ("POST", f"/mark_done/{JOB}", {Role.CONSUMER}),
    ("POST", f"/mark_failed/{JOB}", {Role.CONSUMER}),
    ("POST", f"/extend/{JOB}", {Role.CONSUMER}),
    ("POST", "/admin/resubmit", set[Role]()),
    ("GET", "/admin/resubmit", set[Role]()),
    ("GET", "/v1/jobs", {Role.VIEWER}),
    ("GET", "/v1/dead", {Role.VIEWER}),
    ("GET", f"/v1/jobs/{JOB}", set(Role)),
    ("GET", f"/v1/jobs/{JOB}/payload?attempt=1", {Role.CONSUMER}),
    ("GET", f"/v1/jobs/{JOB}/output", {Role.VIEWER, Role.PRODUCER}),
    ("GET", "/v1/queues", {Role.VIEWER}),
    ("GET", "/v1/consumers", {Role.VIEWER}),
    ("GET", "/v1/stats", {Role.VIEWER}),
    ("GET", "/v1/health", {Role.VIEWER}),
    ("GET", "/v1/metrics", {Role.VIEWER}),
    ("GET", "/metrics", {Role.VIEWER}),
    ("GET", "/v1/schedules", {Role.VIEWER}),
    ("POST", "/v1/schedules", set[Role]()),
    ("DELETE", f"/v1/schedules/{SCHEDULE}", set[Role]()),
    ("POST", f"/v1/schedules/{SCHEDULE}/run", set[Role]()),
    ("POST", f"/v1/schedules/{SCHEDULE}/pause", set[Role]()),
    ("POST", f"/v1/schedules/{SCHEDULE}/resume", set[Role]()),
]


def test_each_route_lets_in_whom_it_says(service: Service) -> None:
    clients = {role: service.client(role, name=str(role)) for role in Role}
    stranger = TestClient(service.local.app, "http://api.example", client=("10.0.0.7", 1))

    for method, path, roles in ROUTES:
        assert stranger.request(method, path).status_code == 401, path
        for role, client in clients.items():
            refused = client.request(method, path).status_code in (401, 403)
            assert refused is (role not in roles | {Role.OPERATOR}), (method, path, role)
    assert stranger.get("/v1/ready").status_code == 200


def test_without_keys_only_this_host_is_served(service: Service) -> None:
    stranger = TestClient(service.local.app, "http://127.0.0.1", client=("10.0.0.7", 1))

    assert {stranger.request(method, path).status_code for method, path, _ in ROUTES} == {401}


def test_every_route_stands_in_the_table(service: Service) -> None:
    told = service.local.get("/openapi.json").json()["paths"]
    listed = {(method.lower(), _pattern(path)) for method, path, _ in ROUTES}

    assert {(method, path) for path, methods in told.items() for method in methods} - {("get", "/v1/ready")} == listed


def _pattern(path: str) -> str:
    """A route as the API's description names it."""
    return path.partition("?")[0].replace(JOB, "{job_id}").replace(SCHEDULE, "{name}")


def test_the_readme_tells_every_route_and_every_status() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    told = readme.partition("### From other hosts")[2].partition("\n## ")[0]

    for _, path, _ in ROUTES:
        end = _pattern(path).replace("{job_id}", "{job}").rpartition("}")[2]
        assert (end or _pattern(path).rpartition("/")[0]).removesuffix("/") in told, path
    assert {str(each) for each in STATUSES.values() if each != 500} <= set(re.findall(r"\b\d{3}\b", told))


def test_a_key_comes_in_a_header_and_is_forgotten_when_it_is_revoked(service: Service) -> None:
    client = service.client(Role.OPERATOR)
    secret = client.headers["Authorization"].removeprefix("Bearer ")
    bare = TestClient(service.local.app, "http://api.example", client=("10.0.0.7", 1))
    assert client.get("/v1/queues").status_code == 200
    assert bare.get("/v1/queues", headers={"X-API-Key": secret}).status_code == 200
    assert bare.get("/v1/queues", params={"key": secret, "access_token": secret}).status_code == 401
    assert service.local.get("/v1/queues").status_code == 401, "with a key, this host needs one, too"

    service.keys.revoke("someone")

    answer = client.get("/v1/queues")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


FOREIGN = [
    {"Origin": "http://evil.example"}, {"Host": "evil.example"}, {"Host": "evil.example:8470"},
    {"Origin": "null"}, {"Host": "127.0.0.1.evil.example"},
]  # fmt: skip


def test_a_page_of_another_site_is_not_served_without_keys(service: Service) -> None:
    for headers in FOREIGN:
        answer = service.local.post("/enqueue/", headers=headers, files={"file": b"a"})
        assert answer.status_code == 403, headers
    assert service.left() == []


def test_this_host_is_served_by_its_names(service: Service) -> None:
    for host in ("127.0.0.1", "127.0.0.1:8470", "localhost:8470", "[::1]:8470"):
        assert service.local.get("/v1/queues", headers={"Host": host}).status_code == 200


def test_a_lease_is_its_keys(service: Service) -> None:
    one, other = service.client(Role.OPERATOR, name="one"), service.client(Role.OPERATOR, name="other")
    job = enqueued(one)
    leased(one)

    assert other.post(f"/mark_done/{job}", content=b"x").status_code == 409
    assert other.get(f"/v1/jobs/{job}/payload?attempt=1").status_code == 409
    assert one.post(f"/mark_done/{job}", content=b"x").status_code == 200
    assert [event.actor for event in service.app.index.events(job)] == ["api:one"]


def test_other_hosts_are_not_served_without_keys(tmp_path: Path, shell: Shell) -> None:
    with pytest.raises(Misconfigured, match="only this host"):
        serve(load({"spool": str(shell.spool)}, {}), "0.0.0.0")
    assert not is_loopback("0.0.0.0") and not is_loopback("") and is_loopback("::1")


# -------------------------------------------------------------------- keys


def test_a_key_is_shown_once_and_kept_as_a_hash(shell: Shell) -> None:
    assert shell("keys", "add", "shop", "--role", "producer", "--role", "viewer") == 0
    secret = shell.out.strip()
    path = shell.spool / "keys.json"

    assert secret not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (item,) = shell.items("keys", "list")
    assert (item["name"], item["roles"]) == ("shop", ["producer", "viewer"])
    found = Keys(shell.spool).holder(secret)
    assert found and found.may(Role.PRODUCER) and not found.may(Role.CONSUMER)
    assert Keys(shell.spool).holder(secret + "x") is None
    assert shell("doctor") in (0, 5, 6) and "keys.json" not in shell.out
    assert shell("fsck") == 0, "keys.json is explained"
    assert shell("keys", "revoke", "shop", "-y") == 0
    assert shell.items("keys", "list") == []
    assert [each["verb"] for each in shell.items("audit", "list")][:2] == ["revoke key", "add key"]


NO_KEYS: list[tuple[tuple[str, ...], int]] = [
    (("add", "shop", "--role", "king"), 1), (("add", "Shop", "--role", "viewer"), 1), (("add", "shop"), 2),
    (("revoke", "none", "-y"), 1),
]  # fmt: skip


def test_a_key_that_can_not_be_is_refused(shell: Shell) -> None:
    for arguments, code in NO_KEYS:
        assert shell("keys", *arguments) == code
    assert not (shell.spool / "keys.json").exists()


def test_a_name_is_given_to_one_key(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    keys = Keys(tmp_path)
    keys.add("a", [Role.VIEWER], EPOCH)

    with pytest.raises(Refused):
        keys.add("a", [Role.VIEWER], EPOCH)
    with pytest.raises(Refused):
        keys.add("b", [], EPOCH)
    assert list(json.loads((tmp_path / "keys.json").read_text())["keys"]) == ["a"]
