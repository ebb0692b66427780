"""Every promise that is taken out.

Left out, because taken out alone they change nothing that anybody could see: what stands behind another guard.

- `JobQueue.revoke` wins the payload's rename before it changes the row. On one host its owner is dead, its runner
  with it; the name in claimed/ carries the attempt, and a late rename is brought home. It is for other hosts' owners.
- `Recovery._put_in_place` reads a row again before it moves the payload: what it would move wrongly in the instant
  that is left is moved back by `JobQueue.confirm`. It makes that rare.
- `claimable` and `claim` both ask whether a job waits and its payload is confirmed: elsewhere than on SQLite others
  may write between the two.
"""

from __future__ import annotations

from tests.mutants import (
    access,
    arrival,
    attempts,
    fleet,
    hosts,
    moving,
    notices,
    outside,
    queues,
    recovering,
    sets,
    steering,
    telling,
)

TABLES = (
    arrival, attempts, steering, recovering, queues, fleet, hosts, moving, notices, outside, telling, access, sets,
)  # fmt: skip
MUTANTS = tuple(mutant for table in TABLES for mutant in table.MUTANTS)
