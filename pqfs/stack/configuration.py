"""The shipped supervisord.conf, filled in for one spool and written to <spool>/run/supervisord.conf.

The shipped file stays the truth about what runs and how; only paths, the number of consumers and what starts
by itself are changed. supervisor expands `%` in every value and cuts values at ` ;` and ` #`, so `%` is doubled
and paths that can not be written are refused.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Sequence
from configparser import RawConfigParser
from dataclasses import dataclass
from io import StringIO
from itertools import groupby
from pathlib import Path

from pqfs.errors import Misconfigured
from pqfs.index import Roster
from pqfs.settings import Loaded, Settings
from pqfs.stack.shipped import shipped

SLOTS = 64  # consumers that can run at once; each is a named slot, because numprocs can not change while it runs
SLOT_NAMES = [f"consumer-{number:02d}" for number in range(SLOTS)]
SOCKET = "run/supervisor.sock"
_SOCKET_LIMIT = 107  # bytes of sockaddr_un.sun_path, without the closing 0
_PID_SUFFIX = len(".4194304")  # supervisor binds <socket>.<pid> first and links it to its name
_EXPANDED_TWICE = ("stdout_logfile",)  # by supervisor 4.3, as in the environment of [supervisord]
_UNWRITABLE = (" ;", " #", '"', "%(here)s")


@dataclass(frozen=True, slots=True)
class Instance:
    """What is to run on which spool."""

    loaded: Loaded
    directory: Path
    with_ui: bool = True
    demo: bool = False
    with_courier: bool = False  # whether any queue keeps receipts or has hooks
    roster: Roster | None = None  # the consumers that a person wants; None: as many as the settings say

    @property
    def settings(self) -> Settings:
        """The settings of this spool."""
        return self.loaded.settings

    @property
    def run(self) -> Path:
        """Where locks, sockets and the rendered table lie."""
        return self.settings.spool / "run"

    @property
    def socket(self) -> Path:
        """The socket through which supervisord is spoken to."""
        return self.settings.spool / SOCKET

    @property
    def table(self) -> Path:
        """The rendered supervisord.conf."""
        return self.run / "supervisord.conf"

    def programs(self) -> list[str]:
        """The processes that must run before the stack counts as up."""
        return ["janitor", *self.consumers(), "ingester", *(["courier"] if self.with_courier else [])]

    def consumers(self) -> list[str]:
        """The consumers that start with the stack."""
        if self.roster is None:
            return SLOT_NAMES[: self.settings.consumers]
        return [name for name in SLOT_NAMES if name in self.roster]


def check_paths(instance: Instance) -> None:
    """Refuse paths that supervisor can not take. Nothing has happened yet.

    Raises:
        Misconfigured: the socket's path is too long, or a path can not be written into the table.
    """
    length = len(os.fsencode(instance.socket)) + _PID_SUFFIX
    if length > _SOCKET_LIMIT:
        raise Misconfigured(
            f"The path of the spool is {length - _SOCKET_LIMIT} bytes too long: {instance.settings.spool}.",
            f"A unix socket's path has at most {_SOCKET_LIMIT} bytes. Use a shorter path: pqfs up --spool …",
        )
    for path in filter(None, _paths(instance)):
        if any(mark in str(path) for mark in _UNWRITABLE) or not str(path).isprintable():
            raise Misconfigured(
                f"supervisor can not be told the path {str(path)!r}.",
                'Use one without quotes, line ends, " ;" and " #".',
            )


def _paths(instance: Instance) -> list[Path | None]:
    settings = instance.settings
    return [settings.spool, settings.logs, instance.loaded.config, instance.directory, Path(sys.executable)]


def render(instance: Instance) -> str:
    """The table of processes for this instance, as text."""
    parser = RawConfigParser(inline_comment_prefixes=(";", "#"), delimiters=("=",))
    parser.read_string(shipped("supervisord.conf").read_text())
    _fill_in_paths(parser, instance)
    _set_environment(parser, environment(instance))
    if os.geteuid() == 0:
        parser["supervisord"]["user"] = getpass.getuser()  # said aloud, else supervisor warns
    _share_slots(parser, instance.consumers())
    if not instance.with_ui:
        parser.remove_section("program:ui")
    parser["program:produce"]["autostart"] = str(instance.demo).lower()
    parser["program:courier"]["autostart"] = str(instance.with_courier).lower()
    parser["group:pqfs"]["programs"] = ",".join(_programs(parser))
    text = StringIO()
    parser.write(text, space_around_delimiters=False)
    return f"; Made by `pqfs up` from {shipped('supervisord.conf')}; made again at each start.\n\n{text.getvalue()}"


def _fill_in_paths(parser: RawConfigParser, instance: Instance) -> None:
    settings = instance.settings
    places = {
        "%(here)s/spool": settings.spool,
        "%(here)s/logs": settings.logs,
        "%(here)s": instance.directory,
    }
    for section in parser.sections():
        for key, value in parser.items(section):
            for mark, path in places.items():
                text = _doubled(path)
                value = value.replace(mark, _doubled(text) if key in _EXPANDED_TWICE else text)
            parser[section][key] = value


def _doubled(path: Path | str) -> str:
    return str(path).replace("%", "%%")


def environment(instance: Instance) -> str:
    """The environment of every process: absolute paths, and this Python's programs first."""
    settings = instance.settings
    variables = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PQFS_SPOOL": str(settings.spool),
        "PQFS_LOGS": str(settings.logs),
        "PQFS_UI_PORT": str(settings.ui_port),
        "PQFS_CONSUMERS": str(settings.consumers),
    }
    if instance.loaded.config:
        variables["PQFS_CONFIG"] = str(instance.loaded.config)
    return ",".join(f'{name}="{_doubled(value)}"' for name, value in variables.items())


def _set_environment(parser: RawConfigParser, text: str) -> None:
    """Give it to each program instead of to [supervisord], where `%` is expanded twice."""
    del parser["supervisord"]["environment"]
    for name in _programs(parser):
        parser[f"program:{name}"]["environment"] = text


def _programs(parser: RawConfigParser) -> list[str]:
    return [name.removeprefix("program:") for name in parser.sections() if name.startswith("program:")]


def _share_slots(parser: RawConfigParser, wanted: Sequence[str]) -> None:
    """The slots that are wanted start by themselves, the rest is spare. Neighbours share a section."""
    sections = {True: dict(parser["program:consumer"]), False: dict(parser["program:consumer-spare"])}
    for name in ("consumer", "consumer-spare"):
        parser.remove_section(f"program:{name}")
    for starts, run in groupby(range(SLOTS), key=lambda number: SLOT_NAMES[number] in wanted):
        numbers = list(run)
        parser[f"program:consumer-{numbers[0]:02d}-to-{numbers[-1]:02d}"] = {
            **sections[starts], "numprocs": str(len(numbers)), "numprocs_start": str(numbers[0]),
        }  # fmt: skip
