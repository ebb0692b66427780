"""Who may do what in a spool: one table of directories and files, their modes and groups, and why.

A spool is its owner's. Producers of other users get one right, to drop: `producers` names their group, and inbox/
is then 3730: they may write and search, not list (so nobody learns another's names), new files belong to their group
(setgid), and nobody but their owner may move or remove them (sticky), the service excepted, since it owns the
directory. Readers of other users get `readers`: they may list and read outbox/, and what is written in work/ is
their group's from the start. Everything else is closed to both.

`init` sets these modes; `up` sets them in a spool that has never run, such as a fresh checkout; `doctor` compares,
and says what to run. What another user owns is left alone, and root leaves nothing in a spool that is not its own.
"""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pqfs.errors import Misconfigured
from pqfs.settings import Settings

_DROP_ONLY = 0o3730


@dataclass(frozen=True, slots=True)
class Rule:
    """What one path below the spool should be, at most; `exact`: at least, too.

    `group` names the setting that gives it another group.
    """

    path: str
    mode: int
    why: str
    exact: bool = False
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """One path that is not as its rule says: what it is, and the command that mends it."""

    path: Path
    rule: Rule
    found: int
    group: str | None
    command: str


def rules(settings: Settings, queues: Iterable[str] = ()) -> list[Rule]:
    """The table, for these settings; `queues` are those that are made by command."""
    inbox = _inbox_rule(settings)
    is_shared = inbox.mode == _DROP_ONLY or settings.readers is not None
    closed = ("ready", "claimed", "done", "dead", "cancelled", "rejected", "meta")
    return [
        Rule(".", 0o751 if is_shared else 0o750, "who may drop or read passes through, and lists nothing", is_shared),
        inbox,
        *(replace(inbox, path=f"inbox/{name}") for name in sorted({*settings.queues, *queues})),
        *_output_rules(settings),
        *_receipt_rules(settings, queues),
        *(Rule(name, 0o750, "no producer reaches what has been accepted") for name in closed),
        Rule("run", 0o700, "who may write to bells, locks and sockets may steer pqfs"),
        *(
            Rule(name, 0o600, "who may write the index decides what happens to every file")
            for name in _index_files(settings)
        ),
        Rule("keys.json", 0o600, "hashes of keys; who may write it may use the REST API"),
        Rule("users.json", 0o600, "hashes of passwords; who may write it may sign in to the console"),
        Rule("secrets.toml", 0o600, "who may read it may sign in to the console as anybody"),
    ]


def _index_files(settings: Settings) -> list[str]:
    """Below the spool, or as whole paths where the index lies elsewhere."""
    file = settings.index_file
    path = str(file.relative_to(settings.spool) if file.is_relative_to(settings.spool) else file)
    return [path, f"{path}-wal", f"{path}-shm"]


def _inbox_rule(settings: Settings) -> Rule:
    """By the setting or, where there is none, as `pqfs init --producers` has left it."""
    group = "producers" if settings.producers is not None else None
    if group or _mode(settings.spool / "inbox") == _DROP_ONLY:
        return Rule(
            "inbox", _DROP_ONLY, "producers drop files, list nothing, and can not touch each other's", True, group
        )
    return Rule("inbox", 0o750, "only the owner drops files; the setting `producers` names a group that may, too")


def _receipt_rules(settings: Settings, queues: Iterable[str]) -> list[Rule]:
    """Only the folders of queues that have receipts are there."""
    paths = ["receipts", *(f"receipts/{name}" for name in sorted({*settings.queues, *queues}))]
    if settings.producers is None:
        return [Rule(path, 0o750, "the setting `producers` names a group that may read receipts") for path in paths]
    why = "producers read the receipts of names that they know, and list nothing"
    return [Rule(path, 0o2710, why, True, "producers") for path in paths]


def _output_rules(settings: Settings) -> list[Rule]:
    if settings.readers is None:
        return [
            Rule("outbox", 0o750, "the setting `readers` names a group that may take outputs"),
            Rule("work", 0o750, "private to the process that writes"),
        ]
    return [
        Rule("outbox", 0o750, "readers list and read outputs", True, "readers"),
        Rule("work", 0o2700, "what is written here is the readers' group's once it is published", True, "readers"),
    ]


def differences(settings: Settings, queues: Iterable[str] = ()) -> Iterator[Difference]:
    """Every path that is not as the table says; what is not there is left out. `queues` as for `rules`.

    Raises:
        Misconfigured: a setting names a group that there is not.
    """
    places = [(settings.spool / rule.path, rule) for rule in rules(settings, queues)]
    for path, rule in [*places, (settings.logs, Rule("logs", 0o750, "logs tell names of files"))]:
        if found := _compare(path, rule, settings):
            yield found


def _compare(path: Path, rule: Rule, settings: Settings) -> Difference | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    group = getattr(settings, rule.group) if rule.group else None
    has_group = group is None or status.st_gid == _group_id(group)
    mode = stat.S_IMODE(status.st_mode)
    is_right = mode == rule.mode if rule.exact else not mode & ~rule.mode
    if stat.S_ISLNK(status.st_mode) or (is_right and has_group):
        return None
    commands = [] if has_group else [f"chgrp {group} {shlex.quote(str(path))}"]
    commands.append(f"chmod {rule.mode:04o} {shlex.quote(str(path))}")
    return Difference(path, rule, mode, group, " && ".join(commands))


def _mode(path: Path) -> int | None:
    try:
        return stat.S_IMODE(os.lstat(path).st_mode)
    except OSError:
        return None


def _group_id(name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise Misconfigured(f"There is no group {name}.", f"Make it: groupadd {name}") from None


def mend(settings: Settings, only: Path | None = None, queues: Iterable[str] = ()) -> list[Path]:
    """Give everything that this user owns (or one path) its mode and its group; what was changed.

    `queues` as for `rules`.

    Raises:
        Misconfigured: there is no such group, or this user may not give files to it.
    """
    found = [each for each in differences(settings, queues) if only in (None, each.path)]
    mine = [each for each in found if os.geteuid() in (0, os.lstat(each.path).st_uid)]
    for each in mine:
        try:
            _set(each)
        except PermissionError as error:
            raise Misconfigured(
                f"This user may not do this: {each.command}", "Be a member of the group, or have root do it."
            ) from error
    return [each.path for each in mine]


def refuse_root(spool: Path) -> None:
    """Refuse root in a spool of another user, who could neither read nor move what root makes there.

    Raises:
        Misconfigured: naming whose spool it is.
    """
    if (owner := other_owner(spool)) is not None:
        raise Misconfigured(
            f"The spool {spool} belongs to {owner}, who could neither read nor move what root makes in it.",
            f"Do it as that user: sudo -u {shlex.quote(owner)} pqfs …",
        )


def other_owner(spool: Path) -> str | None:
    """Whose spool it is, where this is root and what root makes there is not that user's; else None."""
    if os.geteuid() != 0:
        return None
    try:
        owner = os.lstat(spool / "ready").st_uid
        return _user_name(owner) if owner != 0 and _maker(spool / "ready") == 0 else None
    except OSError:
        return None  # no spool, which is another trouble; or a share whose server decides whose a file is


def _maker(directory: Path) -> int:
    """Whose a file is that this process makes there; tried with one that never has a name."""
    descriptor = os.open(directory, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        return os.fstat(descriptor).st_uid
    finally:
        os.close(descriptor)


def _user_name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"#{number}"  # as sudo takes it


def _set(difference: Difference) -> None:
    """Through a descriptor, since below inbox/ a name may mean another at any time.

    One of the path only: closing any other of the index would drop the locks that this process has on it.
    """
    descriptor = os.open(difference.path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if difference.group is not None:
            os.chown(f"/proc/self/fd/{descriptor}", -1, _group_id(difference.group))
        os.chmod(f"/proc/self/fd/{descriptor}", difference.rule.mode)
    finally:
        os.close(descriptor)
