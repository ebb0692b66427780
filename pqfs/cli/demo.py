"""The demo producer: small random text files, dropped as a careful producer does."""

from __future__ import annotations

import itertools
import random
import time
from io import BytesIO
from pathlib import Path

from pqfs.cli import terminal
from pqfs.clock import SystemClock, stamp
from pqfs.errors import Misconfigured
from pqfs.submission import Wish, drop

_WORDS = (
    "amber", "birch", "cedar", "dawn", "ember", "fern", "grove", "harbour", "island", "juniper", "kelp", "lantern",
    "meadow", "north", "orchard", "pebble", "quartz", "river", "shore", "thistle", "umber", "valley", "willow",
)  # fmt: skip


def produce_files(spool: Path, every: float, count: int | None, queue: str) -> None:
    """Drop `count` files (None: without end), one every `every` seconds, and print their paths.

    Raises:
        Misconfigured: there is no such inbox.
    """
    clock = SystemClock()
    for number in itertools.count(1):
        name = f"note-{stamp(clock.now())}-{random.choice(_WORDS)}.txt"
        text = "\n".join(" ".join(random.choices(_WORDS, k=8)) for _ in range(random.randint(1, 40)))
        try:
            path = drop(spool, BytesIO(f"{text}\n".encode()), name.encode(), Wish(queue), lambda count: None)
        except OSError as error:
            raise Misconfigured(f"Nothing can be dropped into {spool}/inbox: {error.strerror}.") from error
        terminal.put(str(path))
        if number == count:
            return
        time.sleep(every)
