"""How something that was looked at came out: what every examination of the doctor answers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: its name, how it is, and a sentence."""

    name: str
    grade: Grade
    sentence: str
