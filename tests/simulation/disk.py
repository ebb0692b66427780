"""What a disk remembers: a model of one directory tree under POSIX's weakest promises, with losses of power.

A process sees every change at once. The disk knows less: the bytes of a file only after an `fsync` of that file or
a `syncfs`; the entries of a directory only after an `fsync` of that directory or a `syncfs`. Every other change is
*pending*. A loss of power keeps what is durable and any subset of what is pending, in these bounds:

- an fsync of a file saves its bytes and not its name; an fsync of a directory saves its entries and not its own name
  (fsync(2); Linux file systems do more, none is obliged to);
- a rename inside one directory happens or does not; one between two directories may come apart, but only so that
  *both* names are there: the removal is never kept without the arrival, nor without the directories that lead to it.
  (btrfs shows both names after an fsync of the target alone; no file system was ever seen with neither.)
- what becomes of one name is kept in its order;
- a directory's removal is not kept without the removals inside it;
- bytes that were not synced are whole, missing, cut short, or zeros;
- after a failed sync they are never durable any more, whatever later syncs report (ext4, xfs, btrfs).

Sources: the measurements behind DESIGN section 4, and the anomalies that CrashMonkey (OSDI 2018) and ALICE (OSDI
2014) list. Not modelled: lost commits of the index, other writers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Choose = Callable[[int], int]  # a number below the argument; 0 is what happens when nothing goes wrong


@dataclass(eq=False, slots=True)
class Node:
    """A file or a directory, whatever names it has."""

    is_directory: bool = False
    data: bytes = b""
    modified: int = 0  # nanoseconds since 1970
    link: bytes | None = None  # where a symbolic link points to
    synced: bool = False
    spoiled: bool = False  # writing its bytes has failed
    is_told: bool = False  # and a sync of this file has said so
    entries: dict[bytes, Node] = field(default_factory=dict)  # as processes see it
    durable: dict[bytes, Node] = field(default_factory=dict)  # as the disk knows it
    born: Change | None = None  # of a directory: the change that gave it its name


@dataclass(eq=False, slots=True)
class Change:
    """One pending change of a directory: an entry less, an entry more, or both at once."""

    directory: Node
    removed: tuple[bytes, Node] | None = None
    added: tuple[bytes, Node] | None = None
    needs: list[Change] = field(default_factory=list)  # what must be durable when this is
    is_durable: bool = False

    def save(self) -> None:
        """Make it durable, with all that it needs."""
        if self.is_durable:
            return
        self.is_durable = True
        for need in self.needs:
            need.save()
        known = self.directory.durable
        if self.removed and known.get(self.removed[0]) is self.removed[1]:
            del known[self.removed[0]]
        if self.added:
            known[self.added[0]] = self.added[1]


class Disk:
    """One volume. Paths are (directory, name); what they name is found by the caller."""

    def __init__(self) -> None:
        self.root = Node(is_directory=True)
        self._pending: list[Change] = []
        self._latest: dict[tuple[int, bytes], Change] = {}  # by directory and name

    @property
    def pending(self) -> int:
        """How many changes of directories are not durable."""
        return len(self._pending)

    # ---------------------------------------------------------------- what processes do

    def create(self, directory: Node, name: bytes, node: Node) -> None:
        """A new name of a new file or directory."""
        change = Change(directory, added=(name, node))
        directory.entries[name] = node
        if node.is_directory:
            node.born = change
        self._note(change)

    def remove(self, directory: Node, name: bytes) -> None:
        """A name less: unlink, rmdir."""
        node = directory.entries.pop(name)
        inside = [each for each in self._pending if each.directory is node and each.removed]
        self._note(Change(directory, removed=(name, node), needs=inside))

    def move(self, source: Node, name: bytes, target: Node, new_name: bytes) -> None:
        """Rename, over what is there."""
        node = source.entries.pop(name)
        target.entries[new_name] = node
        if source is target:
            change = Change(source, removed=(name, node), added=(new_name, node))
            self._note(change)
        else:
            change = Change(target, added=(new_name, node))
            self._note(change)
            self._note(Change(source, removed=(name, node), needs=[change, *_leading_to(target)]))
        if node.is_directory:
            node.born = change

    def _note(self, change: Change) -> None:
        """A change is pending. What became of the same name before it is durable when it is."""
        for each in (change.removed, change.added):
            if each is not None:
                key = id(change.directory), each[0]
                if (before := self._latest.get(key)) is not None:
                    change.needs.append(before)
                self._latest[key] = change
        self._pending.append(change)

    # ---------------------------------------------------------------- syncs

    def sync_file(self, node: Node) -> None:
        """An fsync of a file that succeeded."""
        node.synced = not node.spoiled

    def sync_directory(self, directory: Node) -> None:
        """An fsync of a directory that succeeded."""
        self._save([each for each in self._pending if each.directory is directory])

    def sync_all(self) -> None:
        """A syncfs that succeeded."""
        for node in walk(self.root):
            self.sync_file(node)
        self._save(self._pending)

    def spoil(self, node: Node | None = None) -> None:
        """A sync of a file (None: of everything) that failed: what was not durable never will be."""
        for each in walk(self.root) if node is None else (node,):
            each.spoiled = each.spoiled or not each.synced

    def _save(self, changes: list[Change]) -> None:
        for each in changes:
            each.save()
        self._pending = [each for each in self._pending if not each.is_durable]

    # ---------------------------------------------------------------- loss of power

    def lose_power(self, choose: Choose) -> None:
        """Keep what is durable and a legal choice of the rest; processes see that from now on."""
        self._save(self._survivors(choose))
        self._pending, self._latest = [], {}
        torn: dict[int, Node] = {}
        for node in walk(self.root, durable=True):
            if not node.is_directory and node.link is None and not node.synced and id(node) not in torn:
                torn[id(node)] = node
                node.data = _torn(node, choose)
        for node in walk(self.root, durable=True):
            node.entries, node.synced, node.spoiled, node.born = dict(node.durable), True, False, None

    def _survivors(self, choose: Choose) -> list[Change]:
        """The pending changes that happened to be written: all, none, the first, arrivals only, or any."""
        changes = self._pending
        match choose(5):
            case 0:
                return changes
            case 1:
                return []
            case 2:
                return changes[: choose(len(changes) + 1)]
            case 3:
                return [each for each in changes if each.added]
            case _:
                return [each for each in changes if choose(2)]


def walk(node: Node, durable: bool = False) -> Iterator[Node]:
    """A node and everything below it; what has two names comes twice."""
    yield node
    for below in list((node.durable if durable else node.entries).values()):
        yield from walk(below, durable)


def _leading_to(directory: Node) -> list[Change]:
    """The changes without which a directory can not be reached."""
    found = []
    born = directory.born
    while born is not None:
        found.append(born)
        born = born.directory.born
    return found


def _torn(node: Node, choose: Choose) -> bytes:
    """What a disk gives back of bytes that were never synced."""
    kind = 1 + choose(3) if node.spoiled else choose(4)
    size = len(node.data)
    return (node.data, b"", node.data[: choose(size + 1)], b"\0" * size)[kind]
