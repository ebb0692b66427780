"""init, status, why, fsck, cleanup, doctor; `index`, `config` and `rejected`: looking after a spool."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pqfs.cli import terminal
from pqfs.cli.terminal import DryRun, Json, Yes

Numbers = Annotated[list[str] | None, typer.Argument(help="Numbers from `pqfs rejected list`.")]
Restart = Annotated[
    bool, typer.Option("--restart", help="Have what runs finish first, wait meanwhile, and go on afterwards.")
]
AllRejected = Annotated[bool, typer.Option("--all", help="Everything in rejected/.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(epilog="Examples: pqfs init --with-config   pqfs init --spool /srv/pqfs/spool")(init)
    app.command(epilog="Example: pqfs status --check || mail -s 'pqfs is unwell' me")(status)
    app.command(epilog="Examples: pqfs why spool/inbox/report.pdf   pqfs why 019ab3")(why)
    app.command(epilog="Example: pqfs fsck --repair")(fsck)
    app.command(epilog="Example: pqfs cleanup --dry-run")(cleanup)
    app.command(epilog="Examples: pqfs doctor   pqfs doctor --mount /mnt/share --json")(doctor)
    for name, group in (("index", index), ("config", config), ("rejected", rejected)):
        app.add_typer(group, name=name)


def _group(help_: str) -> typer.Typer:
    settings = {"help_option_names": ["-h", "--help"]}
    return typer.Typer(no_args_is_help=True, rich_markup_mode=None, context_settings=settings, help=help_)


index = _group("The index: make it again from the spool, copy it, look at it.")
config = _group("The settings.")
rejected = _group("What ingestion refused.")


def init(
    context: typer.Context,
    producers: Annotated[
        str | None, typer.Option(help="A group whose members may drop files into the inbox, and nothing else.")
    ] = None,
    with_config: Annotated[
        bool,
        typer.Option("--with-config", help="And ./pqfs.toml, with the settings that are changed most, commented."),
    ] = False,
) -> None:
    """Make the spool, its index and the folder for logs, where they are missing, and set who may do what in them.

    What is there stays. Says of each part whether it was.
    """
    from pqfs.cli import beginning

    beginning.init(context, producers, with_config)


def status(
    context: typer.Context,
    as_json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", help="Again every two seconds, until Ctrl-C.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Exit code 6 when an alarm holds, 5 when pqfs does not run.")
    ] = False,
) -> None:
    """Alarms, counts, rates, consumers and room, at one look."""
    from pqfs.cli import glance
    from pqfs.errors import PqfsError

    try:
        app = terminal.opened(context, read_only=True)
    except PqfsError as error:
        if not check:
            raise
        raise typer.Exit(glance.show_without_index(terminal.loaded(context), error, as_json)) from None
    try:
        code = glance.watch(app, as_json) if watch else glance.show(app, as_json)
    finally:
        app.close()
    raise typer.Exit(code if check else 0)


def why(
    context: typer.Context,
    target: Annotated[str, typer.Argument(metavar="PATH-or-JOB", help="A file, a job id, an output or a name.")],
    as_json: Json = False,
) -> None:
    """Explain in words what becomes of a file or a job, and what it waits for."""
    from pqfs.report import to_json
    from pqfs.why import why as explain

    app = terminal.opened(context, read_only=True)
    try:
        answer = explain(app, target)
    finally:
        app.close()
    if as_json:
        terminal.put_json("why", [to_json(answer)])
    else:
        for sentence in answer.sentences:
            terminal.put(sentence)
    raise typer.Exit(0 if answer.is_known else 4)


def fsck(
    context: typer.Context,
    repair: Annotated[bool, typer.Option("--repair", help="Repair what can be repaired, then look again.")] = False,
    deep: Annotated[bool, typer.Option("--deep", help="Read the outputs that are still there, too.")] = False,
    as_json: Json = False,
) -> None:
    """Hold the spool against its index. Safe while everything runs; exit code 6 with findings."""
    from pqfs.cli import checking

    raise typer.Exit(checking.fsck(context, repair, deep, as_json))


def cleanup(context: typer.Context, dry_run: DryRun = False, yes: Yes = False) -> None:
    """Remove now what the settings (keep.…) no longer keep, as the janitor does each minute."""
    from pqfs.cli import checking

    checking.cleanup(context, dry_run, yes)


def doctor(
    context: typer.Context,
    directory: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="With --mount: a directory of the mount [the spool].")
    ] = None,
    mount: Annotated[
        bool, typer.Option("--mount", help="Only what is mounted there: what it can do, and how pqfs will use it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Examine machine, settings and spool; exit code 6 when something is bad."""
    from pqfs.cli import examining

    if directory is not None and not mount:
        raise typer.BadParameter("A directory is examined with: pqfs doctor --mount DIR")
    loaded = terminal.loaded(context)
    if mount:
        raise typer.Exit(examining.show_mount(directory or loaded.settings.spool, loaded.settings, as_json))
    raise typer.Exit(examining.show(loaded, as_json))


@index.command(epilog="Example: pqfs down && pqfs index rebuild")
def rebuild(
    context: typer.Context,
    fresh: Annotated[bool, typer.Option("--fresh", help="Put a sound index aside, too, and begin anew.")] = False,
    restart: Restart = False,
    yes: Yes = False,
) -> None:
    """Make the index again from the spool alone. A damaged one is put aside, never removed."""
    from pqfs.cli import rebuilding

    rebuilding.rebuild(context, fresh, restart, yes)


@index.command(epilog="Example: pqfs index backup /backup/index-$(date +%F).db")
def backup(
    context: typer.Context, file: Annotated[Path, typer.Argument(help="A file that is not there yet.")]
) -> None:  # fmt: skip
    """Copy the index, consistent, while it is in use."""
    from pqfs.cli import rebuilding

    rebuilding.backup(context, file)


@index.command(epilog="Example: pqfs index restore /backup/index-2026-11-22.db --restart -y")
def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A file that `pqfs index backup` made.")],
    restart: Restart = False,
    yes: Yes = False,
) -> None:
    """Put a copy of the index back: what the spool tells of later is added, what was completed never runs again."""
    from pqfs.cli import rebuilding

    rebuilding.restore(context, file, restart, yes)


@index.command(
    epilog="Examples: pqfs index move sqlite postgresql://pqfs@db.example/pqfs · "
    "pqfs index move postgresql://pqfs@db.example/pqfs sqlite · pqfs index move --abandon"
)
def move(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="Its present address, as in the settings.")] = "",
    target: Annotated[
        str, typer.Argument(help="Its new one: an empty database, or a file that is not there yet.")
    ] = "",
    abandon: Annotated[bool, typer.Option("--abandon", help="Forget a move that was cut off: it stays.")] = False,
    yes: Yes = False,
) -> None:
    """Carry the index to another engine, whole, while pqfs works; only for the last changes it pauses.

    Cut off, it goes on where it was.
    """
    from pqfs.cli import moving

    if abandon:
        moving.abandon(context)
    elif source and target:
        moving.move(context, source, target, yes)
    else:
        raise typer.BadParameter("two addresses are needed: where the index is, and where it shall be.")


@index.command(epilog="Example: pqfs index version --json")
def version(context: typer.Context, as_json: Json = False) -> None:
    """The index's schema, its library and its size."""
    from pqfs.cli import rebuilding

    rebuilding.version(context, as_json)


@config.command("show", epilog="Example: pqfs config show --json | jq '.items[] | select(.origin != \"default\")'")
def show_config(context: typer.Context, as_json: Json = False) -> None:
    """Every setting with its value and where that came from."""
    from pqfs import origins

    items = origins.rows(origins.in_force(terminal.loaded(context)))
    if as_json:
        terminal.put_json("config", items)
    else:
        terminal.put_table(items, ("setting", "value", "origin"))


@rejected.command("list", epilog="Example: pqfs rejected list --json | jq -r .items[].reason")
def list_rejected(context: typer.Context, as_json: Json = False) -> None:
    """What was refused, and why."""
    from pqfs.cli import refused

    refused.show_all(context, as_json)


@rejected.command("show", epilog="Example: pqfs rejected show 3f9a0c1b2d4e")
def show_rejected(
    context: typer.Context,
    number: Annotated[str, typer.Argument(help="As `pqfs rejected list` shows it.")],
    as_json: Json = False,
) -> None:
    """One refused file with its reason."""
    from pqfs.cli import refused

    refused.show(context, number, as_json)


@rejected.command("retry", epilog="Example: pqfs rejected retry 3f9a0c1b2d4e")
def retry_rejected(
    context: typer.Context, numbers: Numbers = None, everything: AllRejected = False, dry_run: DryRun = False,
    yes: Yes = False,
) -> None:  # fmt: skip
    """Put refused files back into the inbox under their own names."""
    from pqfs.cli import refused

    raise typer.Exit(refused.act(context, "retry", refused.Choice(numbers or [], everything, dry_run, yes)))


@rejected.command("purge", epilog="Example: pqfs rejected purge --all")
def purge_rejected(
    context: typer.Context, numbers: Numbers = None, everything: AllRejected = False, dry_run: DryRun = False,
    yes: Yes = False,
) -> None:  # fmt: skip
    """Remove refused files for good."""
    from pqfs.cli import refused

    raise typer.Exit(refused.act(context, "purge", refused.Choice(numbers or [], everything, dry_run, yes)))
