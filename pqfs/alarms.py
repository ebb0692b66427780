"""Which alarms hold and since when: logged once when one begins and once when it is over, never in between.

The janitor keeps them, and writes them into its pulse, from which the next janitor goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pqfs.errors import PqfsError
from pqfs.events import Word, emit, trouble
from pqfs.health import Finding, alarms, examine
from pqfs.pulse import Beat, Pulse
from pqfs.report import Source
from pqfs.vitals import Program, look

_ASK_SUPERVISOR_EVERY = 60.0
Programs = Callable[[], Sequence[Program] | None]


@dataclass(frozen=True, slots=True)
class Change:
    """An alarm that has begun, or is over."""

    rule: str
    sentence: str
    hint: str
    is_over: bool


class Alarms:
    """The alarms of one spool, as one who looks again and again sees them. `held`: name -> since (boot time)."""

    def __init__(self, held: dict[str, float] | None = None) -> None:
        self.held = dict(held or {})

    def note(self, findings: Sequence[Finding], now: float) -> list[Change]:
        """Take what was found at a look, `now` in boot time; say, and return, what has begun and what is over."""
        changes = []
        found = {each.name: each for each in alarms(list(findings))}
        for name, each in found.items():
            if name not in self.held:
                self.held[name] = now
                emit(Word.ALARM, rule=name, what=each.sentence, hint=each.hint)
                changes.append(Change(name, each.sentence, each.hint, False))
        for name in self.held.keys() - found.keys():
            emit(Word.ALARM_OVER, rule=name, lasted=now - self.held.pop(name))
            changes.append(Change(name, "It is over.", "", True))
        return changes


class Checkup:
    """What the janitor does after each look: gathers, examines, logs, beats."""

    def __init__(
        self, source: Source, pulse: Pulse, before: Beat | None, programs: Programs,
        tell: Callable[[Sequence[Change]], None] = lambda changes: None,
    ) -> None:  # fmt: skip
        self._source = source
        self._clock = source.clock
        self._pulse = pulse
        self._programs = programs
        self._tell = tell
        self._asked_at = 0.0
        self._answer: Sequence[Program] | None = None
        said = before.said if before else {}
        self._alarms = Alarms(said.get("alarms"))
        self._stepped: dict[str, float] | None = said.get("stepped")
        self._offset = before.wall - before.at if before else self._offset_now()

    def begin(self) -> None:
        """A look begins: it may take long, and says so."""
        self._beat("looking after the spool")

    def make(self, done: Mapping[str, int]) -> None:
        """A look has ended well: examine, say what has changed and what was done so far, beat."""
        self._pulse.note(done=dict(done))
        self._note_step()
        self._beat()
        self._examine()
        self._beat()

    def complain(self, error: Exception) -> None:
        """A look has failed: what is wrong may be known all the same."""
        self._pulse.complain(str(error))
        try:
            self._examine()
        except (PqfsError, OSError):
            pass  # nothing can be read now; that the looks fail is told by the pulse

    def _examine(self) -> None:
        vitals = look(self._source, self._asked())
        changes = self._alarms.note(examine(vitals), vitals.boottime)
        try:
            self._tell(changes)
        except (PqfsError, OSError):
            trouble("telling hooks of alarms")  # those about the index itself can not be kept in it

    def _beat(self, doing: str | None = None) -> None:
        self._pulse.beat(doing, alarms=dict(self._alarms.held), stepped=self._stepped)

    def _note_step(self) -> None:
        step, self._offset = self._offset_now() - self._offset, self._offset_now()
        if abs(step) > self._source.settings.health.clock_step:
            self._stepped = {"by": step, "at": self._clock.boottime()}

    def _offset_now(self) -> float:
        return self._clock.now() - self._clock.boottime()

    def _asked(self) -> Sequence[Program] | None:
        """What supervisor says: asked once a minute, because answering costs it more than all else here."""
        if self._clock.boottime() - self._asked_at >= _ASK_SUPERVISOR_EVERY:
            self._asked_at, self._answer = self._clock.boottime(), self._programs()
        return self._answer
