"""How the command line talks: data on stdout, talk on stderr, colours on a terminal, plain text in a pipe.

Every listing has `--json`: one object {"schema": "pqfs.<thing>/1", "items": […]}.
"""

from __future__ import annotations

import getpass
import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pqfs.clock import utc
from pqfs.errors import Refused, Unconfirmed
from pqfs.naming import harmless, is_text, one_line

if TYPE_CHECKING:
    from pqfs.settings import Loaded
    from pqfs.wiring import App

Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done; change nothing.")]


def _kept(text: str | None) -> str | None:
    """A text that is to be kept; asked before anything is done."""
    if text is not None and not is_text(text):
        raise typer.BadParameter("it is kept as text in UTF-8, and is none.")
    return text


Reason = Annotated[str | None, typer.Option("--reason", help="Why; kept in the events.", callback=_kept)]

_COLOURS = {
    "completed": typer.colors.GREEN,
    "processing": typer.colors.CYAN,
    "failed": typer.colors.RED,
    "unprocessable": typer.colors.RED,
    "held": typer.colors.YELLOW,
    "cancelled": typer.colors.BRIGHT_BLACK,
}


class Declined(typer.Exit):
    """A person said no, or nobody was there to say yes."""


def loaded(context: typer.Context, **flags: object) -> Loaded:
    """The settings, with the global options and these flags (dotted keys, `__` for the dot) on top."""
    from pqfs.settings import load

    return load({**context.obj, **{key.replace("__", "."): value for key, value in flags.items()}})


def loaded_beside_spool(context: typer.Context) -> Loaded:
    """The settings of a spool that is there, for files that lie beside its index.

    Raises:
        Refused: there is none.
        Misconfigured: it is not root's, and this is root.
    """
    from pqfs.modes import refuse_root

    found = loaded(context)
    if not (found.settings.spool / "run").is_dir():
        raise Refused(f"There is no spool in {found.settings.spool}.", "Make it: pqfs init")
    refuse_root(found.settings.spool)
    return found


def opened(context: typer.Context, read_only: bool = False) -> App:
    """The spool that the options name, opened."""
    from pqfs.wiring import open_app

    return open_app(loaded(context), read_only, tell=say)


def actor() -> str:
    """Who acts, as the audit names it."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return f"cli:{os.getuid()}"  # a user without a name


def say(text: str) -> None:
    """Tell the person something; never mixed with data."""
    typer.echo(harmless(text), err=True)


def say_error(message: str, hint: str = "") -> None:
    """One clear sentence, and what to do about it."""
    typer.echo(f"{typer.style('pqfs:', fg=typer.colors.RED, bold=True)} {harmless(message)}", err=True)
    if hint:
        typer.echo(f"      {harmless(hint)}", err=True)


def put(text: str) -> None:
    """Write a line of data."""
    typer.echo(harmless(text))


def put_styled(text: str) -> None:
    """Write a line that carries our own colours; what comes from elsewhere is harmless by then."""
    typer.echo(text)


class JsonItems:
    """The same object, written item by item: for more of them than should be held in memory."""

    def __init__(self, thing: str, fields: Mapping[str, Any]) -> None:
        self._head = {"schema": f"pqfs.{thing}/1", **fields}
        self._is_first = True

    def begin(self) -> None:
        """Write what comes before the items."""
        typer.echo(_said(self._head)[:-1] + ', "items": [', nl=False)

    def add(self, item: Mapping[str, Any]) -> None:
        """Write one more item."""
        typer.echo(("" if self._is_first else ",") + "\n" + _said(item), nl=False)
        self._is_first = False

    def end(self) -> None:
        """Write what comes after them."""
        typer.echo("]}")


def put_json(thing: str, items: Sequence[Any] | None = None, **fields: Any) -> None:
    """Write one JSON object with its schema's name."""
    body: dict[str, Any] = {"schema": f"pqfs.{thing}/1", **fields}
    if items is not None:
        body["items"] = items
    typer.echo(_said(body, 2 if sys.stdout.isatty() else None))


def _said(body: Any, indent: int | None = None) -> str:
    try:
        text = _json(body, indent)
        text.encode()
    except ValueError:  # NaN, or half a surrogate pair, in what an older pqfs took in
        text = _json(_plain(body), indent)
    return text


def _json(body: Any, indent: int | None) -> str:
    text = json.dumps(body, indent=indent, ensure_ascii=False, allow_nan=False)
    return "".join(char if harmless(char) == char else json.dumps(char)[1:-1] for char in text)


def _plain(value: Any) -> Any:
    """The value without what JSON can not say."""
    match value:
        case dict():
            return {_plain(str(key)): _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case float() if not math.isfinite(value):
            return None
        case str():
            return value.encode(errors="backslashreplace").decode()
        case _:
            return value


def put_table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Write rows as columns, aligned; a state is coloured on a terminal."""
    table = [[_cell(row.get(column)) for column in columns] for row in rows]
    heads = [column.upper().replace("_", " ") for column in columns]
    widths = [max(len(line[at]) for line in [heads, *table]) for at in range(len(columns))]
    typer.echo(typer.style(_line(heads, widths), bold=True))
    for line in table:
        typer.echo(_line([coloured(cell, width) for cell, width in zip(line, widths, strict=True)], widths))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def coloured(word: str, width: int = 0) -> str:
    """A state in its colour; any other word as it is."""
    return typer.style(word.ljust(width), fg=_COLOURS[word]) if word in _COLOURS else one_line(word)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.1f}"
    return one_line(str(value))


def when(instant: float | None) -> str:
    """An instant for people: local time to the second."""
    if instant is None:
        return "-"
    return utc(instant).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def elapsed(seconds: float) -> str:
    """A time span for people: `0:00:07`, `3 d 4:05:06`."""
    days, rest = divmod(int(seconds), 86400)
    clock = f"{rest // 3600}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days} d {clock}" if days else clock


def confirm(question: str, yes: bool) -> None:
    """Ask on a terminal; without one `-y` is needed.

    Raises:
        Unconfirmed: there is nobody to ask.
        Declined: the person said no (exit code 3).
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise Unconfirmed(f"{question} This needs a yes.", "Say it beforehand with -y.")
    if not typer.confirm(question, err=True):
        say("Nothing was changed.")
        raise Declined(3)
