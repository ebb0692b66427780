"""What there is once in this process, made when it is first asked for.

Not one of Streamlit's resources: any page's browser may have it forget those, and with them what is under way.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Thing = TypeVar("Thing")


class Once(Generic[Thing]):
    """Who asks while it is made waits, so that there are never two; a failure is not kept."""

    def __init__(self, make: Callable[[], Thing]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: list[Thing] = []

    def __call__(self) -> Thing:
        """The thing, made now if it is not yet."""
        with self._lock:
            if not self._made:
                self._made.append(self._make())
            return self._made[0]

    def forget(self) -> None:
        """Have it made anew, for a spool that is another."""
        with self._lock:
            self._made.clear()
