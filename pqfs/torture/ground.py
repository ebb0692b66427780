"""The scratch folder of one storm: settings, handlers, spool and books, and how its stack is spoken to.

    ROOT/pqfs.toml  trial.py  spool/  logs/
    ROOT/drop/      where producers write before they move
    ROOT/taken/     outputs that readers took away
    ROOT/books/     what was sent, killed, asked and seen
    ROOT/disk/      where a small disk is mounted for it: spool/ and drop/ are in there

It lies on the disk of the user's own spool. Nothing outside it is written, and it is removed only if this storm
made it, or found it empty.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pqfs.errors import Misconfigured
from pqfs.index import Index
from pqfs.settings import Loaded, load
from pqfs.torture import trial
from pqfs.wiring import open_index

QUEUES = ("default", "orders", "tools", "hard")
LEASE = 4.0
DRAIN = 2.0

# Kills at random hit some jobs often: what they cost must not quarantine them, and is checked one by one instead.
_SETTINGS = """\
# Made by `pqfs torture`.
spool = {spool}
logs = "logs"
consumers = {consumers}

[ingest]
sweep_every = "1s"

[consume]
lease = "{lease}s"
poll_every = "500ms"
kill_after = "500ms"
drain = "{drain}s"

[keep]
done = "forever"
cancelled = "forever"
rows = "forever"

[defaults]
handler = {{ python = "trial:handle" }}
timeout = "30s"
backoff = "200ms"
backoff_cap = "1s"
max_failures = 1000
max_crashes = 1000
max_losses = 1000

[queues.orders]

[queues.tools]
handler = {{ command = [{python}, "-I", "-S", {trial}, "{{input}}", "{{output}}"] }}

[queues.hard]
max_failures = 3
max_crashes = 3
"""


@dataclass(frozen=True, slots=True)
class Ground:
    """The folder of one storm."""

    root: Path
    is_small: bool = False

    @property
    def disk(self) -> Path:
        """The folder on the file system under torture."""
        return self.root / "disk" if self.is_small else self.root

    @property
    def config(self) -> Path:
        """The scratch settings."""
        return self.root / "pqfs.toml"

    @property
    def spool(self) -> Path:
        """The spool under torture."""
        return self.disk / "spool"

    @property
    def run(self) -> Path:
        """Where its locks and sockets lie."""
        return self.spool / "run"

    @property
    def books(self) -> Path:
        """What is written down."""
        return self.root / "books"

    @property
    def drop(self) -> Path:
        """Where producers prepare what they move into the inbox."""
        return self.disk / "drop"

    @property
    def taken(self) -> Path:
        """Outputs that were taken away."""
        return self.root / "taken"

    def inbox(self, queue: str) -> Path:
        """Where files for a queue are dropped."""
        return self.spool / "inbox" if queue == "default" else self.spool / "inbox" / queue

    def outboxes(self) -> dict[str, Path]:
        """Where each queue's outputs appear."""
        outbox = self.spool / "outbox"
        return {queue: outbox if queue == "default" else outbox / queue for queue in QUEUES}

    def prepare(self, consumers: int) -> None:
        """Write settings and handlers, and make the folders."""
        for folder in (self.books, self.drop, self.taken):
            folder.mkdir()
        shutil.copyfile(trial.__file__, self.root / "trial.py")
        text = _SETTINGS.format(
            spool=_quoted(str(self.spool)), consumers=consumers, lease=LEASE, drain=DRAIN,
            python=_quoted(sys.executable), trial=_quoted(str(self.root / "trial.py")),
        )  # fmt: skip
        self.config.write_text(text)

    def loaded(self) -> Loaded:
        """The scratch settings, whatever the environment says of another spool."""
        return load({"config": str(self.config)}, {})

    def index(self) -> Index:
        """The index, for questions."""
        return open_index(self.loaded().settings, read_only=True)

    def environment(self) -> dict[str, str]:
        """The environment without what it says of another spool."""
        return {name: value for name, value in os.environ.items() if not name.startswith("PQFS_")}

    def speak(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start `pqfs …` on this ground; what it answers can be read, what it talks goes to books/storm.log."""
        return self._start(["pqfs", "--config", str(self.config), *arguments], subprocess.PIPE)

    def start(self, module: str, seed: int) -> subprocess.Popen[bytes]:
        """Start one of our actors; it is told whose it is."""
        more = ["small"] if self.is_small else []
        return self._start([module, str(self.root), str(seed), str(os.getpid()), *more], None)

    def _start(self, module: Sequence[str], answers: int | None) -> subprocess.Popen[bytes]:
        with (self.books / "storm.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", *module], cwd=self.root, env=self.environment(),
                stdin=subprocess.DEVNULL, stdout=answers or log, stderr=log,
            )  # fmt: skip

    def remove(self, is_ours: bool) -> None:
        """Remove everything; the folder itself only if it was made for this storm."""
        for entry in self.root.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        if is_ours:
            self.root.rmdir()


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def choose(folder: Path | None, spool: Path) -> tuple[Ground, bool]:
    """The folder that was asked for, or a new one beside the configured spool; and whether it was made now.

    Raises:
        Misconfigured: it is not empty, or can not be made.
    """
    try:
        if folder is None:
            spool.parent.mkdir(parents=True, exist_ok=True)
            return Ground(Path(tempfile.mkdtemp(prefix="pqfs-torture-", dir=spool.parent)).absolute()), True
        is_new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise Misconfigured(f"{folder} is not empty.", "Name a folder that is empty or not there yet.")
    except OSError as error:
        where = folder or spool.parent
        raise Misconfigured(f"{where} can not be used: {error.strerror}.", "Name another: --in DIR") from error
    return Ground(folder.absolute()), is_new
