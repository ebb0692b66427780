"""The stack of one spool: supervisord and what it keeps running. Starts it, stops it, says what runs.

Order of a start: refuse what can not work; then make the spool and the index; then the table; then supervisord;
then wait until every process holds its lock. What fails before supervisord leaves nothing running; what fails
after it shuts it down again.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from pqfs import kernel, wiring
from pqfs.errors import Misconfigured, NotRunning, Refused, Unavailable
from pqfs.index import Roster
from pqfs.index.sqlite import refuse_network
from pqfs.modes import mend, refuse_root
from pqfs.owners import Owners, ProgramLock
from pqfs.places import DIRECTORIES
from pqfs.runnerlink import check_confinement
from pqfs.spool import Spool
from pqfs.stack.configuration import Instance, check_paths, render
from pqfs.stack.lasting import refuse_vanished, remember
from pqfs.stack.shipped import lay_contract
from pqfs.stack.supervisor import Process, Stopping, Supervisor, wait_for_end

_PORT_PATIENCE = 3.0  # seconds that a console of ours, whose supervisord has died, may need to let its port go
_START_PATIENCE = 60.0  # above the 30 s that a process waits for the name of one that still drains
_LOOK_THROUGH = 1.0  # seconds for a look through the index for damage; the janitor looks through the rest
_LOOPBACK = "127.0.0.1"


class Stack:
    """One spool's processes. Methods that start and stop wait until it is done."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.replaced: Roster | None = None  # a wish of which a flag has taken the place
        self.supervisor = Supervisor(instance.socket)
        self._owners = Owners(instance.run)

    # ---------------------------------------------------------------- start

    def start(self) -> None:
        """Start everything in the background and return when it runs.

        Raises:
            Misconfigured, Refused: it can not start here; nothing was started.
            Unavailable: it did not come up; it was stopped again.
        """
        with self._prepared() as report:
            supervisord = self._spawn(report, detached=True)
            if supervisord.wait() != 0:
                raise Unavailable(f"supervisord did not start: {_last_line(report)}")
            self._wait_until_up()

    def start_here(self) -> subprocess.Popen[bytes]:
        """Start everything below this process, which it dies with, and return when it runs. Raises as `start`."""
        with self._prepared() as report:
            supervisord = self._spawn(report, detached=False)
            try:
                self._wait_until_up(supervisord)
            except BaseException:
                self.stop_here(supervisord)
                raise
            return supervisord

    def stop_here(self, supervisord: subprocess.Popen[bytes]) -> None:
        """Stop what `start_here` started, and wait until it has ended."""
        supervisord.terminate()
        wait_for_end(supervisord.pid, float("inf"))
        supervisord.wait()

    @contextmanager
    def _prepared(self) -> Iterator[Path]:
        """All that comes before supervisord, held against a second start at the same moment."""
        check_paths(self.instance)
        self._refuse_second()
        if self.instance.with_ui:
            _wait_for_port(self.instance.settings.ui_port)
        self._make_places()
        lock = ProgramLock(self.instance.run, "up")
        try:
            if not lock.acquire(0.0):
                raise Refused("Another pqfs up is starting on this spool just now.", "Look at it: pqfs ps")
            self._refuse_second()
            check_confinement(self.instance.settings)
            self._read_roster()
            remember(self.instance.settings)
            self.instance.table.write_text(render(self.instance))
            self.instance.socket.unlink(missing_ok=True)  # nobody listens there any more
            yield self.instance.run / "supervisord.out"
        finally:
            lock.release()

    def _read_roster(self) -> None:
        """Which consumers a person wants. A number on the command line takes the place of that, from now on."""
        app = wiring.open_app(self.instance.loaded, patience=_LOOK_THROUGH)
        try:
            found = app.index.roster()
            if found is not None and self.instance.loaded.origins.get("consumers") == "flag":
                with app.index.transaction():
                    app.index.write_roster(None)
                self.replaced, found = found, None
            wanted = any(map(app.jobqueue.notices.wants, [row.name for row in app.terms.look()]))
            self.instance = replace(self.instance, roster=found, with_courier=wanted)
        finally:
            app.close()

    def _refuse_second(self) -> None:
        if self.supervisor.is_listening():
            raise Refused(
                f"pqfs is running already on {self.instance.settings.spool}.",
                "Look at it: pqfs ps. Stop it: pqfs down",
            )

    def _make_places(self) -> None:
        settings = self.instance.settings
        if settings.index_server is None:
            refuse_network(settings.index_file.parent)
        refuse_root(settings.spool)
        refuse_vanished(settings)
        Spool.create(settings.spool)
        try:
            settings.logs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Misconfigured(f"The logs can not be written to {settings.logs}: {error.strerror}.") from error
        for path in (settings.spool, settings.logs, *(settings.spool / name for name in DIRECTORIES)):
            if not os.access(path, os.W_OK | os.X_OK):
                raise Misconfigured(f"This user may not write to {path}.", "Give it to the user that runs pqfs.")
        lay_contract(settings.spool)
        if not settings.index_file.exists() and settings.index_server is None:
            mend(settings)  # a fresh checkout has git's modes; later ones are the operator's, and doctor's to tell

    def _spawn(self, report: Path, detached: bool) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", "supervisor.supervisord", "-c", str(self.instance.table)]
        with report.open("wb") as output:
            return subprocess.Popen(
                command if detached else [*command, "--nodaemon", "--silent"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.instance.directory,
                start_new_session=True,  # Ctrl-C is for us: we pass it on as TERM, once
                preexec_fn=None if detached else partial(kernel.die_with_parent, signal.SIGTERM),
            )

    def _wait_until_up(self, supervisord: subprocess.Popen[bytes] | None = None) -> None:
        deadline = time.monotonic() + _START_PATIENCE
        while missing := self._missing():
            if supervisord is not None and supervisord.poll() is not None:
                report = self.instance.run / "supervisord.out"
                raise Unavailable(f"supervisord ended while it started: {_last_line(report)}")
            broken = self._broken()
            if broken or time.monotonic() > deadline:
                self._abandon()
                name = broken.name if broken else missing[0]
                reason = broken.trouble if broken else "it does not come up"
                raise Unavailable(f"{name} could not be started: {reason}.", f"See: pqfs logs {name}")
            time.sleep(0.05)

    def _missing(self) -> list[str]:
        living = {facts.program for facts in self._owners.living()}
        return [name for name in self.instance.programs() if name not in living]

    def _broken(self) -> Process | None:
        """A process that can not come up however often it is tried."""
        try:
            found = self.supervisor.processes()
        except (NotRunning, Stopping):
            return None  # not yet listening, or told to stop from elsewhere
        return next((each for each in found if each.state == "FATAL" or "can't find" in each.trouble), None)

    def _abandon(self) -> None:
        try:
            self.stop(_START_PATIENCE)
        except NotRunning:
            pass

    # ---------------------------------------------------------------- stop

    def stop(self, timeout: float) -> bool:
        """Ask everything to drain and end; whether it had ended after `timeout` seconds.

        Raises:
            NotRunning: nothing runs on this spool.
        """
        try:
            pid = self.supervisor.pid()
            self.supervisor.shut_down()
        except Stopping:
            pid = int((self.instance.run / "supervisord.pid").read_text())
        return wait_for_end(pid, time.monotonic() + timeout)


def _wait_for_port(port: int) -> None:
    """Refuse a port on which somebody else listens."""
    deadline = time.monotonic() + _PORT_PATIENCE
    while not _is_free(port):
        if time.monotonic() > deadline:
            raise Misconfigured(
                f"Port {port}, which the console needs, is taken.",
                f"Take another: pqfs up --ui-port {port + 1}; or none: pqfs up --no-ui",
            )
        time.sleep(0.05)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_LOOPBACK, port))
        except OSError:
            return False
    return True


def _last_line(report: Path) -> str:
    lines = report.read_text(errors="replace").split("\n") if report.exists() else []
    said = [line.strip() for line in lines if line.strip() and "For help" not in line]
    return said[-1].removeprefix("Error: ") if said else "it gave no reason"
