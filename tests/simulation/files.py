"""The file operations of one simulated world: real ones on a real directory, known to a model of its disk.

pqfs reads the tree by itself, so the tree must be there; what a loss of power would leave of it is kept beside it,
in a `Disk`, and `lose_power` makes the tree look like that. Every change waits at the gate before it happens.
run/ is not modelled: locks and slots go past the seam, and a loss of power keeps any of them.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path

from pqfs.files import Files, SyncFailed
from tests.simulation.disk import Choose, Disk, Node
from tests.simulation.gate import Gate
from tests.world import SettableClock

NOT_MODELLED = "run"


class SimulatedFiles(Files):
    """Changes the tree below `root`, tells the disk, and lets the gate decide when and whether."""

    def __init__(self, root: Path, disk: Disk, gate: Gate, clock: SettableClock) -> None:
        self.root = root
        self.disk = disk
        self._gate = gate
        self._clock = clock
        self._errors = 0  # that the volume has had
        self._told: dict[object, int] = {}  # how many of them each process has been told by a syncfs

    # ---------------------------------------------------------------- changes

    def rename(self, source_dir: int, source: bytes, target_dir: int, target: bytes) -> None:
        """One rename; a server may say that it did not happen when it did."""
        old, new = self._path(source_dir, source), self._path(target_dir, target)
        lies = self._gate.effect(f"R {_top(old)} {_top(new)}")
        super().rename(source_dir, source, target_dir, target)
        self._move(old, new)
        if lies:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory, says the server")

    def replace(self, directory: int, source: bytes, target: bytes) -> None:
        """A rename over what is there."""
        old, new = self._path(directory, source), self._path(directory, target)
        self._gate.effect(f"R {_top(old)} {_top(new)}")
        super().replace(directory, source, target)
        self._move(old, new)

    def unlink(self, directory: int, path: bytes) -> None:
        """One name less; here, too, a server may lie."""
        whole = self._path(directory, path)
        lies = self._gate.effect(f"U {_top(whole)}")
        super().unlink(directory, path)
        self._remove(whole)
        if lies:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory, says the server")

    def rmdir(self, directory: int, path: bytes) -> None:
        """One empty directory less."""
        whole = self._path(directory, path)
        self._gate.effect(f"X {_top(whole)}")
        super().rmdir(directory, path)
        self._remove(whole)

    def mkdir(self, directory: int, path: bytes, mode: int = 0o750) -> None:
        """One directory more."""
        whole = self._path(directory, path)
        self._gate.effect(f"M {_top(whole)}")
        super().mkdir(directory, path, mode)
        self._find(whole)

    def write(self, directory: int, path: bytes, data: bytes, mode: int = 0o640) -> None:
        """A new file; where the disk is full, half of one."""
        whole = self._path(directory, path)
        try:
            self._gate.effect(f"W {_top(whole)}")
        except OSError:
            self._write(directory, path, whole, data[: len(data) // 2], mode)
            raise
        self._write(directory, path, whole, data, mode)

    def _write(self, directory: int, path: bytes, whole: bytes, data: bytes, mode: int) -> None:
        super().write(directory, path, data, mode)
        modified = self._instant()
        os.utime(path, ns=(modified, modified), dir_fd=directory)
        self._add(whole, Node(data=data, modified=modified))

    def _instant(self) -> int:
        return int(self._clock.now() * 1e9)

    # ---------------------------------------------------------------- syncs

    def fsync(self, directory: int, path: bytes) -> None:
        """The bytes of a file, or the entries of a directory, become durable; after an error they never do."""
        whole = self._path(directory, path)
        os.close(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory))
        node = self._find(whole)
        try:
            self._gate.effect(f"F {_top(whole)}")
        except OSError as error:
            if node and not node.is_directory:
                node.is_told = True
                self._fail(node)
            raise SyncFailed(error.errno, error.strerror) from error
        if node and node.is_directory:
            self._discover(whole, node)
            self.disk.sync_directory(node)
        elif node:
            if node.spoiled and not node.is_told:
                node.is_told = True
                raise SyncFailed(errno.EIO, "what was written before is lost")
            self.disk.sync_file(node)

    def syncfs(self, descriptor: int) -> None:
        """Everything becomes durable. An earlier error is told once to each process that ran before it."""
        try:
            self._gate.effect("S")
        except OSError as error:
            self._fail(None)
            self._told[self._gate.actor] = self._errors
            raise SyncFailed(error.errno, error.strerror) from error
        if self._told.get(self._gate.actor, self._errors) < self._errors:
            self._told[self._gate.actor] = self._errors
            raise SyncFailed(errno.EIO, "what was written before is lost")
        self.disk.sync_all()

    def _fail(self, node: Node | None) -> None:
        for actor in self._gate.actors():
            self._told.setdefault(actor, self._errors)
        self._errors += 1
        self.disk.spoil(node)

    # ---------------------------------------------------------------- what goes past the seam

    def wrote(self, descriptor: int, data: bytes) -> None:
        """A producer has written into a file that it had made, wherever that is by now."""
        modified = self._instant()
        os.utime(descriptor, ns=(modified, modified))
        path = self._path(descriptor, b"").rstrip(b"/")
        node = None if path.endswith(b" (deleted)") else self._find(path)
        if node is not None:
            node.data, node.synced, node.modified = data, False, modified

    def learn_tree(self) -> None:
        """Everything that lies there is durable."""
        self._discover_all(b"", self.disk.root)
        self.disk.sync_all()

    # ---------------------------------------------------------------- the model

    def _path(self, directory: int, path: bytes) -> bytes:
        """A path below the root."""
        above = os.readlink(f"/proc/self/fd/{directory}")
        whole = os.fsencode(f"{above}/".removeprefix(f"{self.root}/")) + path
        return whole.removesuffix(b"/.")  # a directory that is given by its descriptor

    def _parent(self, whole: bytes) -> tuple[Node, bytes]:
        above, _, name = whole.rpartition(b"/")
        node = self._find(above) if above else self.disk.root
        assert node is not None, whole
        return node, name

    def _find(self, whole: bytes) -> Node | None:
        """The node of a path; one that was made past the seam is learnt now."""
        if whole in (b"", b"."):
            return self.disk.root
        if whole.split(b"/")[0] == NOT_MODELLED.encode():
            return None
        directory, name = self._parent(whole)
        if name not in directory.entries:
            self.disk.create(directory, name, self._learn(whole))
        return directory.entries[name]

    def _learn(self, whole: bytes) -> Node:
        path = os.path.join(os.fsencode(self.root), whole)
        found = os.lstat(path)
        if stat.S_ISDIR(found.st_mode):
            return Node(is_directory=True)
        if stat.S_ISLNK(found.st_mode):
            return Node(link=os.readlink(path))
        with open(path, "rb") as file:
            return Node(data=file.read(), modified=found.st_mtime_ns)

    def _discover(self, whole: bytes, node: Node) -> None:
        for name in os.listdir(os.path.join(os.fsencode(self.root), whole)):
            if name not in node.entries:
                self._find(whole + b"/" + name if whole else name)

    def _discover_all(self, whole: bytes, node: Node) -> None:
        self._discover(whole, node)
        for name, below in node.entries.items():
            if below.is_directory:
                self._discover_all(whole + b"/" + name if whole else name, below)

    def _add(self, whole: bytes, node: Node) -> None:
        if whole.split(b"/")[0] != NOT_MODELLED.encode():
            directory, name = self._parent(whole)
            self.disk.create(directory, name, node)

    def _remove(self, whole: bytes) -> None:
        if whole.split(b"/")[0] == NOT_MODELLED.encode():
            return
        directory, name = self._parent(whole)
        if name in directory.entries:
            self.disk.remove(directory, name)

    def _move(self, old: bytes, new: bytes) -> None:
        source, name = self._parent(old)
        target, new_name = self._parent(new)
        if name not in source.entries:
            self.disk.create(source, name, self._learn(new))
        if source.entries[name] is not target.entries.get(new_name):
            self.disk.move(source, name, target, new_name)

    # ---------------------------------------------------------------- loss of power

    def lose_power(self, choose: Choose) -> None:
        """Leave in the tree what the disk remembers; of run/ any files, or none."""
        self.disk.lose_power(choose)
        for name in os.listdir(self.root):
            if name != NOT_MODELLED:
                _erase(self.root / name)
        for path in sorted((self.root / NOT_MODELLED).iterdir()):
            if choose(2):
                path.unlink()
        self._rebuild(self.disk.root, os.fsencode(self.root), {})

    def _rebuild(self, node: Node, path: bytes, made: dict[int, bytes]) -> None:
        for name, below in node.entries.items():
            whole = path + b"/" + name
            if below.is_directory:
                if name != NOT_MODELLED.encode() or path != os.fsencode(self.root):
                    os.mkdir(whole, 0o750)
                self._rebuild(below, whole, made)
            elif below.link is not None:
                os.symlink(below.link, whole)
            elif id(below) in made:
                os.link(made[id(below)], whole)
            else:
                made[id(below)] = whole
                with open(whole, "wb") as file:
                    file.write(below.data)
                os.utime(whole, ns=(below.modified, below.modified))

    def differences(self) -> list[str]:
        """Where the tree is not what the model says processes see: a fault of the model."""
        return sorted(_differences(self.disk.root, self.root, self.root))


def _differences(node: Node, path: Path, root: Path) -> list[str]:
    there = {os.fsencode(name) for name in os.listdir(path) if path != root or name != NOT_MODELLED}
    found = [f"{path / os.fsdecode(name)}" for name in there ^ set(node.entries)]
    for name, below in node.entries.items():
        inner = path / os.fsdecode(name)
        if name in there and below.is_directory and inner != root / NOT_MODELLED:
            found += _differences(below, inner, root)
        elif name in there and not below.is_directory and below.link is None and inner.read_bytes() != below.data:
            found.append(f"{inner} has other bytes")
    return found


def _erase(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _top(path: bytes) -> str:
    """The directory of the spool that a path is in: enough to read a trace."""
    return os.fsdecode(path.partition(b"/")[0])
