"""A person at a terminal: a command of ours in a pseudo-terminal, the keys that are pressed, what stands there."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from types import TracebackType
from typing import Self

_PATIENCE = 30.0
_CODE = re.compile(r"\x1b\[(\??[0-9;]*)([A-Za-z])")


class Seat:
    """`with Seat(folder, "monitor") as seat:` runs `pqfs monitor` there; it is killed when nobody has ended it."""

    def __init__(self, folder: Path, *arguments: object, columns: int = 100, lines: int = 30) -> None:
        self.columns, self.lines = columns, lines
        self.received = ""
        self._rows: list[str] = []
        self._row = self._column = 0
        self._master, slave = pty.openpty()
        self.before = termios.tcgetattr(slave)
        self._resize(slave)
        environment = {name: text for name, text in os.environ.items() if not name.startswith("PQFS_")}
        environment = {name: text for name, text in environment.items() if name not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pqfs", *map(str, arguments)], cwd=folder, stdin=slave, stdout=slave, stderr=slave,
            env={**environment, "TERM": "xterm-256color"}, start_new_session=True,
        )  # fmt: skip
        self._slave = slave

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(_PATIENCE)
        os.close(self._master)
        os.close(self._slave)

    def _resize(self, descriptor: int) -> None:
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", self.lines, self.columns, 0, 0))

    def resize(self, columns: int, lines: int) -> None:
        """Another size of the window."""
        self.columns, self.lines = columns, lines
        self._resize(self._master)
        self.process.send_signal(signal.SIGWINCH)

    def press(self, keys: str) -> None:
        """Type something."""
        os.write(self._master, keys.encode())

    def modes(self) -> list[object]:
        """How the terminal is set."""
        return list(termios.tcgetattr(self._slave))

    def screen(self) -> str:
        """What stands on it."""
        return "\n".join(row.rstrip() for row in self._rows)

    def shows(self, text: str) -> str:
        """Wait until a text stands on the screen; the screen."""
        deadline = time.monotonic() + _PATIENCE
        while text not in self.screen():
            assert time.monotonic() < deadline, f"{text!r} does not come:\n{self.screen()}"
            self.listen(0.05)
        return self.screen()

    def waits(self) -> None:
        """Wait until it sleeps: having shown its question, it reads.

        Race: of a signal between the question and the read Python takes no notice before the read has ended.
        """
        deadline = time.monotonic() + _PATIENCE
        stat = Path(f"/proc/{self.process.pid}/stat")
        while stat.read_text().rpartition(")")[2].split()[0] != "S":
            assert time.monotonic() < deadline, f"it does not wait:\n{self.screen()}"
            self.listen(0.01)

    def ends(self) -> int:
        """Wait for its end; its exit code."""
        deadline = time.monotonic() + _PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it does not end:\n{self.screen()}"
            self.listen(0.05)
        self.listen(0.0)
        return self.process.returncode

    def listen(self, seconds: float) -> str:
        """Take what is written within so many seconds at most, and draw it."""
        if not select.select([self._master], [], [], seconds)[0]:
            return ""
        text = os.read(self._master, 65536).decode(errors="replace")
        self.received += text
        self._draw(text)
        return text

    def _draw(self, text: str) -> None:
        at = 0
        while at < len(text):
            if found := _CODE.match(text, at):
                self._obey(found[1], found[2])
                at = found.end()
                continue
            if text[at] == "\n":
                self._row, self._column = self._row + 1, 0
            elif text[at] == "\r":
                self._column = 0
            else:
                self._put(text[at])
            at += 1

    def _put(self, char: str) -> None:
        self._rows += [""] * (self._row + 1 - len(self._rows))
        row = self._rows[self._row].ljust(self._column)
        self._rows[self._row] = row[: self._column] + char + row[self._column + 1 :]
        self._column += 1

    def _obey(self, numbers: str, letter: str) -> None:
        if letter == "H":
            row, _, column = numbers.partition(";")
            self._row, self._column = int(row or 1) - 1, int(column or 1) - 1
        elif letter == "K" and self._row < len(self._rows):
            self._rows[self._row] = self._rows[self._row][: self._column]
        elif letter == "J":
            self._rows = []
