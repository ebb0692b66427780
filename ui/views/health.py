"""Health: every rule that fires, the processes, their pulses, the disk, the index, the versions."""

from __future__ import annotations

from collections.abc import Iterator

import streamlit as st

from ui.parts import links
from ui.parts.live import live, taken, told
from ui.parts.table import table
from ui.parts.words import elapsed, plain, short, size, when
from ui.store import health, overview
from ui.store.health import Pulse
from ui.store.overview import Severity

_INSTANTS = ("alarms", "stepped", "idle_since")  # of a pulse, by boot time


def show() -> None:
    """The page."""
    st.title("Health", anchor=False)
    live(_live, at_least=2.0)
    links.command("pqfs doctor")


def _live() -> None:
    answer = overview.look()
    _rules()
    left, right = st.columns([3, 2], gap="large")
    with left:
        _processes()
        _pulses()
    with right:
        _machine()
    taken(answer)


def _rules() -> None:
    st.subheader("Rules", anchor=False)
    answer = overview.look()
    if not told(answer) or answer.value is None:
        return
    rows = [
        (
            ":red[✗ alarm]" if each.severity is Severity.ALARM else ":orange[! notice]", plain(each.name),
            when(each.since_at), plain(each.sentence), plain(each.hint),
        )
        for each in answer.value.findings
    ]  # fmt: skip
    table(("is", "rule", "since (UTC)", "what", "what to do"), rows, "✓ No rule fires.", "Rules of health that fire")


def _processes() -> None:
    st.subheader("Processes", anchor=False)
    rows = [
        (
            plain(each.program), plain(each.state), str(each.pid or ""), elapsed(each.uptime) if each.uptime else "",
            "pqfs.toml has changed since" if each.outdated else "",
        )
        for each in health.running().value or ()
    ]  # fmt: skip
    table(("program", "state", "pid", "up", "note"), rows, "Nothing runs on this spool.", "Processes of this spool")


def _pulses() -> None:
    st.subheader("Pulses", anchor=False)
    st.caption("When each program last did its work, and what it said of itself: the watch, alarms, quotas.")
    rows = [
        (plain(each.beat.program), f"{elapsed(each.ago)} ago", plain(_pulse(each)))
        for each in health.pulses().value or ()
    ]
    table(("program", "last beat", "says"), rows, "No program has run here yet.", "Pulses")


def _pulse(pulse: Pulse) -> str:
    beat = pulse.beat
    costs = ", ".join(f"{way} {milliseconds:.2g} ms" for way, milliseconds in beat.said.get("barriers", {}).items())
    figures = {name: each for name, each in beat.said.items() if name not in ("barriers", *_INSTANTS)}
    told = (
        f"does: {beat.doing}" if beat.doing else "",
        f"trouble: {short(beat.trouble)}" if beat.trouble else "",
        *_lasting(pulse),
        short(_said(figures), 300),
        f"makes durable by: {costs}" if costs else "",
    )
    return "; ".join(each for each in told if each)


def _lasting(pulse: Pulse) -> Iterator[str]:
    """What has an instant, with the time that has passed since."""
    said = pulse.beat.said
    if held := said.get("alarms"):
        yield "alarms: " + ", ".join(f"{name} for {elapsed(pulse.since(at))}" for name, at in held.items())
    if step := said.get("stepped"):
        by = f"{'-' if step['by'] < 0 else ''}{elapsed(abs(step['by']))}"
        yield f"clock set by {by} {elapsed(pulse.since(step['at']))} ago"
    if idle := said.get("idle_since"):
        yield f"idle for {elapsed(pulse.since(idle))}"


def _said(said: object) -> str:
    """What is not empty of it, as words: `footing: watch inotify; done: upkeep 1`."""
    match said:
        case float():
            return f"{said:.2f}"
        case dict():
            parts = {str(key): _said(value) for key, value in said.items() if value}
            nested = [key for key in parts if isinstance(said[key], dict)]
            return "; ".join(f"{key}{':' if key in nested else ''} {told}" for key, told in parts.items() if told)
        case list() | tuple():
            return ", ".join(map(_said, said))
        case _:
            return str(said or "")


def _machine() -> None:
    st.subheader("Disk and index", anchor=False)
    answer = health.machine()
    if not told(answer) or answer.value is None:
        return
    found = answer.value
    rows = [
        ("file system", plain(found.file_system)),
        ("room", f"{size(found.free)} of {size(found.total)}; work pauses below {size(found.low_water)}"),
        ("inodes", "not counted" if found.inodes is None else f"{found.inodes:,} free"),
        ("index", size(found.index)),
        ("its log (WAL)", size(found.log)),
        ("schema", str(found.schema)),
        ("spool", plain(found.identity)),
        ("durability", plain(found.durability)),
    ]
    if found.leader is not None:
        rows.append(("the janitor that leads", plain(f"on {found.leader}")))
    table(("what", "is"), rows, "", "Disk and index")
    st.subheader("Versions", anchor=False)
    table(("program", "version"), [(name, plain(text)) for name, text in found.versions], "", "Versions")
