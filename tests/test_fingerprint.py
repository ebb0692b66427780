"""Errors of one kind have one fingerprint, errors of two kinds have two."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pqfs.fingerprint import DIGITS, fingerprint, normal

ALIKE = [
    ("tesseract failed with exit code 3", "tesseract failed with exit code 17"),
    ("ValueError: could not convert 'abc'", "ValueError: could not convert 'x y \"z\"'"),
    ("no such file: /srv/a/b.pdf", "no such file: /tmp/c"),
    ("job 01a3185c-5000-7001-89d8-d555156386ad is odd", "job 01a3185c-5000-7001-89d8-ffff156386ad is odd"),
    ("bad object at 0x7f00aa", "bad object at 0x00"),
    ("commit 5ea1007 is missing", "commit c59aa21 is missing"),
    ("it took 12.5 s", "it took  3 s"),
    ("at 2026-11-22T10:00:00Z", "at 2025-01-01T09:59:59Z"),
]
APART = [
    ("the disk is full", "the disk is slow"),
    ("ocrmypdf failed with exit code 3", "gzip failed with exit code 3"),
    (None, "no reason"),
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_what_differs_from_case_to_case_does_not_count(one: str, other: str) -> None:
    assert fingerprint(one) == fingerprint(other), (normal(one), normal(other))


@pytest.mark.parametrize(("one", "other"), APART)
def test_other_words_are_another_error(one: str | None, other: str) -> None:
    assert fingerprint(one) != fingerprint(other)


@given(st.text())
def test_every_text_has_a_short_one(error: str) -> None:
    assert len(fingerprint(error)) == DIGITS
    assert fingerprint(error) == fingerprint(error)
