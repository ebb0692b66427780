"""What is said of an output in its row."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pqfs import outputs


def test_an_output_that_can_not_be_listed_is_not_vouched_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one").write_text("one")
    assert outputs.measure(tmp_path)[0] == 3

    def refused(path: object) -> None:
        raise PermissionError(13, os.strerror(13), str(path))

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(PermissionError):
        outputs.measure(tmp_path)
