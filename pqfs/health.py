"""The rules of health: silence is an alarm. Each has a name, tells what is wrong in sentences, and what to do.

`examine` holds one frozen look (`vitals`) against the table below and returns what it finds; nothing is asked or
changed here. An *alarm* needs a person and makes `pqfs status --check` and `pqfs doctor` leave with 6; a *notice*
is only told. What runs long, waits for its time, or was put aside on purpose is no alarm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from pqfs import symptoms
from pqfs.vitals import Vitals

NOT_RUNNING = "not-running"
INDEX_MISSING = "index-missing"
SETTINGS_CHANGED = "settings-changed"


class Severity(StrEnum):
    """How much a rule asks of a person."""

    ALARM = "alarm"
    NOTICE = "notice"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule. `touches`: what it holds up, `inbox`, `jobs` or both; `sentences`: what is wrong, if anything."""

    name: str
    severity: Severity
    touches: str
    sentences: Callable[[Vitals], Iterator[str]]
    hint: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule has found. `since_at`: when the janitor first saw it; None when it has not."""

    name: str
    severity: Severity
    sentence: str
    hint: str
    touches: str
    since_at: float | None = None


def examine(vitals: Vitals) -> list[Finding]:
    """What is wrong, and what is worth knowing, in the order of the table."""
    held = _held(vitals)
    found = []
    for rule in RULES:
        sentence = " ".join(rule.sentences(vitals))
        if sentence:
            hint = _advice(rule, vitals)
            found.append(Finding(rule.name, rule.severity, sentence, hint, rule.touches, held.get(rule.name)))
    return found


def _advice(rule: Rule, vitals: Vitals) -> str:
    """What to do: of an index that can not be opened, who was refused knows best (moved, barred, its server away)."""
    told = vitals.index_trouble.hint if vitals.index_trouble and rule.name == INDEX_MISSING else ""
    return told or rule.hint


def alarms(findings: list[Finding]) -> list[Finding]:
    """Those that need a person."""
    return [each for each in findings if each.severity is Severity.ALARM]


def exit_code(findings: list[Finding]) -> int:
    """0 when no alarm holds, 5 when all that is wrong is that nothing runs, else 6."""
    names = {each.name for each in alarms(findings)}
    return 0 if not names else 5 if names == {NOT_RUNNING} else 6


def _held(vitals: Vitals) -> dict[str, float]:
    """Since when alarms hold (Unix seconds), as the janitor has noted it."""
    beat = vitals.pulse("janitor")
    noted: dict[str, float] = beat.said.get("alarms", {}) if beat else {}
    return {name: vitals.at - (vitals.boottime - since) for name, since in noted.items()}


_ALARM, _NOTICE = Severity.ALARM, Severity.NOTICE

RULES = (
    Rule(NOT_RUNNING, _ALARM, "inbox jobs", symptoms.not_running, "Start it: pqfs up"),
    Rule(INDEX_MISSING, _ALARM, "inbox jobs", symptoms.index_missing,
         "Stop pqfs (pqfs down), make it again from the spool: pqfs index rebuild"),
    Rule("index-damaged", _ALARM, "inbox jobs", symptoms.index_damaged,
         "Stop pqfs (pqfs down), make it again from the spool: pqfs index rebuild"),
    Rule("volume-alarm", _ALARM, "inbox jobs", symptoms.volume_alarm,
         "Look at the kernel's log (dmesg), replace the disk, then remove that file."),
    Rule("disk-low", _ALARM, "inbox jobs", symptoms.disk_low,
         "Make room: work goes on by itself. Inputs of completed jobs go by: pqfs jobs delete --state completed"
         " --files-only"),
    Rule("inodes-low", _ALARM, "inbox jobs", symptoms.inodes_low,
         "Remove small files from the volume, or keep fewer: keep.done, pqfs cleanup."),
    Rule("program-fatal", _ALARM, "inbox jobs", symptoms.program_fatal, "See: pqfs logs"),
    Rule("ingester-missing", _ALARM, "inbox", symptoms.ingester_missing,
         "See: pqfs ps; pqfs logs ingester. Start one: pqfs up"),
    Rule("ingester-blind", _ALARM, "inbox", symptoms.ingester_blind, "See: pqfs logs ingester; pqfs doctor"),
    Rule("inbox-waiting", _ALARM, "inbox", symptoms.inbox_waiting, "See: pqfs why spool/inbox/FILE"),
    Rule("no-consumer", _ALARM, "jobs", symptoms.no_consumer,
         "See: pqfs ps; pqfs logs consumer. Start one: pqfs up, or pqfs consume"),
    Rule("backlog-stuck", _ALARM, "jobs", symptoms.backlog_stuck, "See: pqfs logs consumer; pqfs why JOB"),
    Rule("no-progress", _ALARM, "jobs", symptoms.no_progress,
         "See: pqfs ps; pqfs logs consumer. Ending that process is safe."),
    Rule("handler-unfit", _ALARM, "jobs", symptoms.handler_unfit,
         "No job is charged for it, and it is tried every minute. Once it is mended: pqfs consumers restart"),
    Rule("janitor-overdue", _ALARM, "jobs", symptoms.janitor_overdue,
         "See: pqfs ps; pqfs logs janitor. Ending that process is safe."),
    Rule("rows-unconfirmed", _ALARM, "jobs", symptoms.rows_unconfirmed,
         "See: pqfs logs janitor; repair now: pqfs fsck --repair"),
    Rule("courier-missing", _ALARM, "", symptoms.courier_missing,
         "See: pqfs ps; pqfs logs courier. Start it: pqfs up"),
    Rule("not-told", _ALARM, "", symptoms.not_told,
         "See: pqfs notices list. Tell them once more: pqfs notices retry"),
    Rule("log-growing", _ALARM, "", symptoms.log_growing,
         "Which process holds it: lsof index.db-wal. A backup or a fsck that hangs?"),
    Rule("clock-stepped", _ALARM, "", symptoms.clock_stepped,
         "Is NTP running? Delayed jobs and retries follow the clock; leases do not."),
    Rule("index-ahead", _NOTICE, "", symptoms.index_ahead, "The clock was wrong for a while, or is now: see date."),
    Rule("index-moving", _NOTICE, "", symptoms.index_moving,
         "Was it cut off? The same pqfs index move again goes on; or the index stays: pqfs index move --abandon"),
    Rule("quota-reached", _NOTICE, "inbox", symptoms.quota_reached,
         "They are taken as room appears. See: pqfs why FILE"),
    Rule("footing-changed", _NOTICE, "inbox", symptoms.footing_changed,
         "Is everything mounted? See: pqfs doctor --mount"),
    Rule("dead-letters", _NOTICE, "", symptoms.dead_letters, "See: pqfs jobs list --state failed; pqfs why JOB"),
    Rule(SETTINGS_CHANGED, _NOTICE, "inbox jobs", symptoms.settings_changed,
         "Restart to apply: pqfs consumers restart"),
    Rule("paused", _NOTICE, "jobs", symptoms.paused, "It goes on when the queue is resumed: pqfs queue resume NAME"),
)  # fmt: skip
