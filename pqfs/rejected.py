"""What ingestion refused: each object in rejected/, with its reason beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass

from pqfs import naming
from pqfs.errors import JobNotFound, Refused
from pqfs.files import open_directory
from pqfs.model import DEFAULT_QUEUE
from pqfs.spool import Spool


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refused object. `number` names it, `name` is what it was called in its queue's inbox, printable."""

    number: str
    name: str
    queue: str
    reason: str
    at: float
    size: int
    job: str | None
    path: str | None

    @property
    def original(self) -> bytes:
        """The name that the producer gave it, with the folders that it lay in."""
        return naming.original(self.name)


def refusals(spool: Spool) -> Iterator[Refusal]:
    """Everything that was refused and is still kept, in order of number."""
    names = spool.entries("rejected")
    objects = {name[:12]: name for name in names if not name.endswith(".reason.json")}
    for name in names:
        if name.endswith(".reason.json") and (found := _read(spool, name[:12], objects.get(name[:12]))):
            yield found


def page(spool: Spool, after: str, limit: int) -> tuple[list[Refusal], int]:
    """The next refusals in order of number, and how many there are in all. Only these are read."""
    names = spool.entries("rejected")
    objects = {name[:12]: name for name in names if not name.endswith(".reason.json")}
    reasons = [name[:12] for name in names if name.endswith(".reason.json")]
    wanted = [number for number in reasons if number > after][:limit]
    return [found for number in wanted if (found := _read(spool, number, objects.get(number)))], len(reasons)


def refusal(spool: Spool, number: str) -> Refusal:
    """One refusal by its number.

    Raises:
        NoSuchRefusal: there is none.
    """
    for found in refusals(spool):
        if found.number == number[:12]:
            return found
    raise NoSuchRefusal(number)


def _read(spool: Spool, number: str, name: str | None) -> Refusal | None:
    try:
        said = json.loads(spool.path(f"rejected/{number}.reason.json").read_bytes())
        return Refusal(
            number, said["name"], said["queue"], said["reason"], said["at"], said["size"], said.get("job"),
            f"rejected/{name}" if name else None,
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):
        return None


def readmit(spool: Spool, found: Refusal) -> str:
    """Move a refused object back into the inbox under its original name, and return its path.

    Never over something that is there, and never through a link: the inbox belongs to strangers. The object
    moves first. Crash here: a reason without its object, which `pqfs fsck` explains.

    Raises:
        Refused: the name is taken, or its folder can not be had.
    """
    if found.path is None:
        raise Refused(f"The object of {found.number} is not in rejected/ any more.")
    parts = [*([] if found.queue == DEFAULT_QUEUE else [os.fsencode(found.queue)]), *found.original.split(b"/")]
    if any(part in (b"", b".", b"..") for part in parts):
        raise Refused(f"{found.name} can not be a name in the inbox.")
    directory = _open_folder(spool, parts[:-1])
    try:
        spool.readmit(found.path, directory, parts[-1])
    except FileExistsError as error:
        raise Refused(f"{found.name} is in the inbox already.", "Try again when that has been taken.") from error
    finally:
        os.close(directory)
    spool.remove(f"rejected/{found.number}.reason.json")
    return f"inbox/{os.fsdecode(b'/'.join(parts))}"


def _open_folder(spool: Spool, parts: list[bytes]) -> int:
    directory = open_directory(os.fsencode(spool.path("inbox")))
    for part in parts:
        outer = directory
        try:
            try:
                os.mkdir(part, 0o750, dir_fd=outer)
            except FileExistsError:
                pass
            directory = open_directory(part, outer)
        except OSError as error:
            raise Refused(f"Its folder in the inbox can not be opened: {error.strerror}.") from error
        finally:
            os.close(outer)
    return directory


def purge(spool: Spool, found: Refusal) -> None:
    """Remove a refused object and its reason for good."""
    if found.path is not None:
        spool.remove_tree(found.path)
    spool.remove(f"rejected/{found.number}.reason.json")


class NoSuchRefusal(JobNotFound):
    """Nothing in rejected/ has this number."""

    def __init__(self, number: str) -> None:
        super().__init__(number)
        self.message = f"Nothing in rejected/ has the number {number}."
        self.hint = "List them with: pqfs rejected list"
