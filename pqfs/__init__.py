"""pqfs: a folder as a persistent job queue.

Handlers import what they need from here: the context they are given and the verdicts they may raise.
"""

from pqfs.errors import Permanent, PqfsError, RetryLater
from pqfs.handlers import JobContext
from pqfs.model import Job, State

__all__ = ["Job", "JobContext", "Permanent", "PqfsError", "RetryLater", "State"]
__version__ = "0.1.0"
