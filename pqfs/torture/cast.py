"""The processes of a storm that are not the stack's: producers, operators, readers. Started, looked after, ended."""

from __future__ import annotations

import signal
import subprocess

from pqfs.torture.ground import Ground

_PATIENCE = 30.0


class Cast:
    """All actors of one storm. `troubles` are sentences on those that fell without having been killed by chaos."""

    def __init__(self, ground: Ground, seed: int) -> None:
        self._ground, self._seed = ground, seed
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.troubles: list[str] = []

    def enter(self, *names: str) -> None:
        """Start actors."""
        for name in names:
            self._processes[name] = self._ground.start(f"pqfs.torture.{name}", self._seed)

    def kill(self, name: str) -> None:
        """End an actor in the middle of whatever it does, and put another in its place."""
        self._processes[name].kill()
        self._processes[name].wait()
        self.enter(name)

    def look_after(self) -> None:
        """Put another in the place of whoever fell, and remember it: an error of ours, or of pqfs."""
        for name, process in list(self._processes.items()):
            if process.poll() is not None:
                self._mourn(name, process.returncode)
                self.enter(name)

    def leave(self, name: str) -> None:
        """Ask an actor to finish what it is doing, and wait for its end."""
        process = self._processes.pop(name, None)
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        if code not in (0, -signal.SIGTERM):  # by the signal itself: it had not begun to listen yet
            self._mourn(name, code)

    def _mourn(self, name: str, code: int) -> None:
        self.troubles.append(f"{name} ended with code {code}: see books/storm.log")

    def end(self) -> None:
        """End whoever is left, whatever it does."""
        for process in self._processes.values():
            process.kill()
            process.wait()
        self._processes.clear()
