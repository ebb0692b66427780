"""Looking into a spool: bounded, by printable names, and never out of it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from pqfs import naming
from pqfs.browse import PREVIEW, Entry, Sort, folder, preview, printable_below
from pqfs.errors import Refused
from pqfs.spool import Spool
from tests.hostile.names import names

_PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20


def test_a_folder_is_shown_part_by_part_in_order(spool: Spool) -> None:
    for number in range(250):
        spool.path(f"inbox/{number:03}").write_bytes(b"x" * number)

    first = folder(spool.root, "inbox", limit=100)
    assert [entry.name for entry in first.entries] == [f"{number:03}" for number in range(100)]
    assert (first.entries[7].size, first.entries[7].sort, first.count) == (7, Sort.FILE, 250)
    last = folder(spool.root, "inbox", str(folder(spool.root, "inbox", str(first.next), 100).next), 100)
    assert [entry.name for entry in last.entries] == [f"{number:03}" for number in range(200, 250)]
    assert last.next is None


def test_every_name_that_a_file_can_have_is_found_again_by_what_is_shown(spool: Spool) -> None:
    wanted = list(names(7, 200, lambda name: False))
    for name in wanted:
        Path(os.fsdecode(os.path.join(os.fsencode(spool.path("inbox")), name))).write_bytes(name)

    found, after = list[Entry](), ""
    while True:
        part = folder(spool.root, "inbox", after, 50)
        found += part.entries
        if part.next is None:
            break
        after = part.next
    assert sorted(naming.original(entry.name) for entry in found) == sorted(wanted)
    for entry in found:
        assert preview(spool.root, f"inbox/{entry.name}").data == naming.original(entry.name)


@pytest.mark.parametrize("path", ["..", "inbox/../../etc", "inbox/%2E%2E", "/etc/passwd", "", "inbox//x", "index.db"])
def test_nothing_outside_of_the_spools_directories_is_shown(spool: Spool, path: str) -> None:
    with pytest.raises(Refused):
        folder(spool.root, path)
    with pytest.raises(Refused):
        preview(spool.root, path)


def test_links_are_not_followed_and_nothing_blocks(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    spool.path("inbox/link").symlink_to(tmp_path / "secret")
    spool.path("inbox/out").symlink_to(tmp_path)
    os.mkfifo(spool.path("inbox/pipe"))
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(spool.path("inbox"))  # a path to a socket may not be long
        listener.bind("socket")

    assert {entry.name: entry.sort for entry in folder(spool.root, "inbox").entries} == dict.fromkeys(
        ("link", "out", "pipe", "socket"), Sort.OTHER
    )
    for name in ("link", "pipe", "socket"):
        assert preview(spool.root, f"inbox/{name}").data == b""
    with pytest.raises(Refused):
        folder(spool.root, "inbox/out")
    assert preview(spool.root, "inbox/out/secret").sort is Sort.GONE


@pytest.mark.parametrize(
    ("data", "sort"),
    [
        (b"", Sort.TEXT), ("grüße\n".encode(), Sort.TEXT), (b"a\0b", Sort.BINARY), (b"\xff\xfe", Sort.BINARY),
        (_PNG, Sort.IMAGE), (b"\xff\xd8\xff\xe0", Sort.IMAGE), (b"GIF89a", Sort.IMAGE),
        ("ä".encode() * PREVIEW, Sort.TEXT), (b"x" + "ä".encode() * PREVIEW, Sort.TEXT),
        (_PNG + b"\0" * PREVIEW, Sort.BINARY),
    ],
    ids=range(10),
)  # fmt: skip
def test_a_preview_is_the_beginning_and_knows_what_it_is(spool: Spool, data: bytes, sort: Sort) -> None:
    spool.path("done/a").write_bytes(data)

    found = preview(spool.root, "done/a")
    assert (found.sort, found.size, found.data) == (sort, len(data), data[:PREVIEW])
    assert found.is_cut is (len(data) > PREVIEW)


def test_text_is_shown_without_anything_that_acts(spool: Spool) -> None:
    spool.path("done/a").write_bytes("one\r\ntwo\x1b[31m\u202e\n".encode())

    assert preview(spool.root, "done/a").text() == "one\ntwo%1B[31m%E2%80%AE\n"


def test_bytes_are_shown_sixteen_to_a_line(spool: Spool) -> None:
    spool.path("done/a").write_bytes(bytes(range(20)))

    assert preview(spool.root, "done/a").dump().splitlines() == [
        "00000000  00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f  ................",
        "00000010  10 11 12 13                                      ....",
    ]


def test_what_is_gone_is_gone(spool: Spool) -> None:
    assert preview(spool.root, "done/2026-11-22/x").sort is Sort.GONE
    with pytest.raises(Refused, match="can not be listed"):
        folder(spool.root, "done/2026-11-22")


def test_a_path_of_the_spool_has_one_printable_form(spool: Spool) -> None:
    path = spool.path("dead") / os.fsdecode(b".a%\xff")

    assert printable_below(spool.root, path) == "dead/%2Ea%25%FF"
