"""pqfs: a folder as a persistent job queue.

Handlers import what they need from here: the context they are given and the verdicts they may raise.
Producers find `drop`: a file into an inbox, whole or not at all.
"""

from pqfs.delivery import Dropped, drop
from pqfs.errors import Permanent, PqfsError, RetryLater
from pqfs.handlers import JobContext
from pqfs.model import Job, State

__all__ = ["Dropped", "Job", "JobContext", "Permanent", "PqfsError", "RetryLater", "State", "drop"]
__version__ = "0.1.0"
