"""What was refused is listed with its reason, and goes back into the inbox without harming anybody."""

from __future__ import annotations

from typing import Any

import pytest

from pqfs.errors import Refused
from pqfs.naming import id12
from pqfs.rejected import NoSuchRefusal, Refusal, purge, readmit, refusal, refusals
from pqfs.spool import Spool
from tests.world import EPOCH, new_id


def refuse(spool: Spool, name: str = "a", **said: Any) -> Refusal:
    """Something that ingestion has refused."""
    spool.path("work/x").write_bytes(b"payload")
    job = new_id()
    reason = {"name": name, "queue": "default", "reason": "why", "at": EPOCH, "size": 7, **said}
    spool.refuse("work/x", name.encode(), job, reason)
    return refusal(spool, id12(job))


def test_a_refusal_tells_what_was_said_of_it(spool: Spool) -> None:
    found = refuse(spool, "a.txt", job="the job")

    assert found == Refusal(
        found.number, "a.txt", "default", "why", EPOCH, 7, "the job", f"rejected/{found.number}.a.txt"
    )
    assert refusal(spool, f"{found.number}.a.txt") == found


def test_a_reason_that_can_not_be_read_hides_no_other(spool: Spool) -> None:
    found = refuse(spool)
    for number, text in enumerate(("", "[]", "{}", "\xff")):
        spool.path(f"rejected/{number:012}.reason.json").write_text(text, encoding="latin-1")

    assert list(refusals(spool)) == [found]
    with pytest.raises(NoSuchRefusal, match="0000"):
        refusal(spool, "000000000000")


def test_an_object_that_has_gone_can_not_go_back(spool: Spool) -> None:
    found = refuse(spool)
    spool.remove(str(found.path))

    (without,) = refusals(spool)

    assert without.path is None
    with pytest.raises(Refused, match="not in rejected/"):
        readmit(spool, without)
    purge(spool, without)
    assert spool.entries("rejected") == []


@pytest.mark.parametrize(
    ("name", "queue", "path"),
    [("a", "default", "inbox/a"), ("a", "mail", "inbox/mail/a"), ("d%2Fa", "default", "inbox/d/a")],
)
def test_it_goes_back_to_where_it_came_from(spool: Spool, name: str, queue: str, path: str) -> None:
    found = refuse(spool, name, queue=queue)

    assert readmit(spool, found) == path

    assert spool.path(path).read_bytes() == b"payload"
    assert spool.entries("rejected") == []


@pytest.mark.parametrize("name", ["..%2Fa", "%2Fetc%2Fpasswd", "d%2F..%2F..%2Fa", "d%2F", "%2E%2E"])
def test_a_name_that_leads_elsewhere_goes_nowhere(spool: Spool, name: str) -> None:
    found = refuse(spool, name)

    with pytest.raises(Refused, match="can not be a name"):
        readmit(spool, found)

    assert refusal(spool, found.number) == found
    assert spool.entries("inbox") == []


def test_a_name_that_is_taken_is_not_overwritten(spool: Spool) -> None:
    found = refuse(spool)
    spool.path("inbox/a").write_bytes(b"theirs")

    with pytest.raises(Refused, match="already"):
        readmit(spool, found)

    assert spool.path("inbox/a").read_bytes() == b"theirs"
    assert refusal(spool, found.number) == found
