"""Everything that fsck can find, as one table: the name, what it means, and how it is repaired.

`pqfs fsck` shows a finding's name, its explanation and the repair; `pqfs fsck --repair` does what that says, where
it is not left to a person. The words are templates: the facts of one finding fill them in.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

_JANITOR = "The janitor does so within seconds; or pqfs fsck --repair"


class _Entry(NamedTuple):
    name: str
    explanation: str
    repair: str
    is_mended: bool = True


class Flaw(Enum):
    """A kind of finding."""

    # the index alone
    INDEX_DAMAGED = _Entry("index damaged", "{problem}", "Stop pqfs, then: pqfs index rebuild", False)
    COUNTS_DIFFER = _Entry(
        "counts differ",
        "the counters say that queue {queue} has {told} {state} jobs, and it has {found}",
        "All jobs are counted anew: pqfs fsck --repair",
    )
    STATS_ODD = _Entry(
        "figures that can not be",
        "{count} figures of the statistics are negative, or of a time to come",
        "They are dropped: pqfs fsck --repair",
    )

    # rows against the tree
    PAYLOAD_MISSING = _Entry(
        "payload missing",
        "its row says {state}, and its payload is nowhere in the spool: {why}",
        "Nothing brings it back. A waiting job fails as lost, an ended one is noted as gone: pqfs fsck --repair",
    )
    PAYLOAD_RUN_AWAY = _Entry(
        "payload missing while it runs",
        "attempt {attempt} runs it, and its payload is nowhere in the spool",
        "It fails as lost when its attempt ends without an output",
        False,
    )
    PAYLOAD_EXCHANGED = _Entry(
        "payload exchanged",
        "it is not a regular file any more",
        "What lies there is put into rejected/, and the job is treated as one without a payload: pqfs fsck --repair",
    )
    SIZE_DIFFERS = _Entry(
        "size differs",
        "its row says {told} bytes, the file has {found}: somebody wrote it after it was accepted",
        "pqfs jobs cancel {job}; or let it run as it is now: pqfs fsck --repair",
    )
    OWNER_DEAD = _Entry("owner dead", "it is leased to {owner}, which is dead", f"It is given back. {_JANITOR}")
    NOT_IN_PLACE = _Entry(
        "not in place",
        "it became {state} {age:.0f} s ago, and nobody has put its payload in {place}/ since",
        f"It is moved there. {_JANITOR}",
    )
    NOT_PUBLISHED = _Entry(
        "not published",
        "it is completed, and its output {output} is not published yet",
        f"It is published under that name. {_JANITOR}",
    )

    # payloads against rows
    PAYLOAD_MISPLACED = _Entry(
        "payload misplaced",
        "its row says {state}, so its payload belongs in {expected}",
        "It is moved there: pqfs fsck --repair",
    )
    PAYLOAD_TWICE = _Entry(
        "payload in two places",
        "its row says {state}, and its payload is in {expected} too",
        "This one is put into rejected/ (removed, if the two are one file): pqfs fsck --repair",
    )
    PAYLOAD_KEPT = _Entry(
        "payload not removed",
        "its row says that it is gone",
        "It is put into rejected/: pqfs fsck --repair",
    )
    PAYLOAD_UNKNOWN = _Entry(
        "payload without a row",
        "the index does not know this job",
        "It is registered as the tree tells: pqfs fsck --repair",
    )

    # outputs
    OUTPUT_UNKNOWN = _Entry(
        "output without a row",
        "no completed job says that it published this",
        "Its job is registered as completed: pqfs fsck --repair",
    )
    OUTPUT_TWICE = _Entry(
        "second output",
        "its job is completed and published {output}",
        "This one is put into rejected/: pqfs fsck --repair",
    )
    OUTPUT_STRAY = _Entry(
        "output of another queue",
        "its job is of queue {queue}",
        "It is moved to that queue's folder of the outbox: pqfs fsck --repair",
    )
    OUTPUT_ALTERED = _Entry(
        "output altered",
        "{what}",
        "Take it away, and submit the input again if it is needed; an output that was taken away is no finding",
        False,
    )

    # what the dead leave
    LOCK_OF_DEAD = _Entry("lock of a dead owner", "{owner} is dead", f"What it left is taken over. {_JANITOR}")
    SCRATCH_OF_DEAD = _Entry(
        "scratch of a dead owner", "{owner} is dead and left {count} files", f"They are removed. {_JANITOR}"
    )
    RUN_LEFTOVER = _Entry(
        "left in run/", "{owner}, to whom it belongs, is not alive", "It is removed: pqfs fsck --repair"
    )

    # small files
    META_ORPHAN = _Entry(
        "meta file alone", "neither a row nor a payload is of this name", "It is removed: pqfs fsck --repair"
    )
    REASON_MISSING = _Entry(
        "no reason",
        "nothing says why it was rejected",
        "A reason is written that says so: pqfs fsck --repair",
    )
    REASON_ALONE = _Entry("reason alone", "what it speaks of is not here", "It is removed: pqfs fsck --repair")
    NAME_STRANGE = _Entry(
        "unexplained name", "pqfs did not make this", "Look at it, then move it away by hand", False
    )

    @property
    def is_mended(self) -> bool:
        """Whether `--repair` sees to it; else a person must."""
        return self.value.is_mended

    def found(self, path: str | None, job: str | None = None, **facts: object) -> Finding:
        """A finding of this kind. `facts` fill in its words."""
        said, repair = (text.format(job=job, **facts) for text in (self.value.explanation, self.value.repair))
        return Finding(self.value.name, path, job, said, repair, self.is_mended)

    @classmethod
    def named(cls, name: str) -> Flaw:
        """The kind of a finding."""
        return next(each for each in cls if each.value.name == name)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not agree: its kind's name, where, which job, what it means, and what repairs it.

    `is_mended`: `pqfs fsck --repair` does what `repair` says; else it is left to a person.
    """

    name: str
    path: str | None
    job: str | None
    explanation: str
    repair: str
    is_mended: bool

    @property
    def flaw(self) -> Flaw:
        """Its kind."""
        return Flaw.named(self.name)
