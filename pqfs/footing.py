"""How pqfs stands on a file system: what it may trust there, chosen by what is mounted, before anything is tried.

On a disk of this host the kernel sees every writer and tells of every arrival. On a file system that other hosts
write to as well it does not: there the inbox is polled, and a file is complete once it has not changed for a while.
Each process chooses at its start; nothing that was chosen before is believed. What the ingester has chosen is told in
its pulse.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pqfs import kernel
from pqfs.durations import format_duration
from pqfs.settings import IngestSettings

# Local file systems on which a read lease sees every writer (measured: ext4, xfs, btrfs, tmpfs, overlay).
LOCAL = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "tmpfs", "overlay", "f2fs", "zfs"})
# What other hosts may write to, or the host of this virtual machine.
_SHARED = frozenset({
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "ceph", "lustre", "glusterfs", "gpfs", "beegfs",
    "orangefs", "pvfs2", "afs", "coda", "ocfs2", "gfs2", "vboxsf", "vmhgfs", "prl_fs", "fakeowner", "fuse",
})  # fmt: skip
_FUSE_OF_ITS_OWN = frozenset({"fuse.fuse-overlayfs"})  # what containers without root stand on

Watching = Literal["inotify", "polling"]
Completeness = Literal["lease", "both", "settle"]


@dataclass(frozen=True, slots=True)
class Footing:
    """What is trusted on a file system of this type.

    `watch`: whether events say when to look. `complete`: what proves that nobody writes a file any more: a lease of
    the kernel, that it stays unchanged (`settle`), or both.
    """

    file_system: str
    watch: Watching
    complete: Completeness

    @property
    def asks_leases(self) -> bool:
        """Whether the kernel is asked who writes a file.

        Source: NFS version 4 and SMB refuse a lease with EAGAIN, as for a file that somebody writes, whenever the
        server has not delegated the file (nfs4_setlease, cifs_setlease of Linux): what is asked there waits for ever.
        """
        return self.complete != "settle"

    @property
    def settles(self) -> bool:
        """Whether a file must stay unchanged for a while, whatever the kernel says."""
        return self.complete != "lease"

    @property
    def is_usual(self) -> bool:
        """Whether it is what every disk of this host gets."""
        return (self.watch, self.complete) == ("inotify", "lease")

    def told(self, asked: IngestSettings) -> str:
        """In words: `nfs4: the inbox is polled every 1s; a file is complete once it has not changed for 2s`."""
        every, settle = format_duration(asked.poll_every), format_duration(asked.settle)
        watch = f"polled every {every}" if self.watch == "polling" else "watched"
        proof = {
            "lease": "when nobody has it open for writing",
            "settle": f"once it has not changed for {settle}",
            "both": f"when nobody has it open for writing, and it has not changed for {settle}",
        }[self.complete]
        return f"{self.file_system}: the inbox is {watch}; a file is complete {proof}"


def is_shared(kind: str) -> bool:
    """Whether hosts that this kernel knows nothing of may change files of such a file system."""
    return kind in _SHARED or (kind.startswith("fuse.") and kind not in _FUSE_OF_ITS_OWN)


def footing(path: Path, asked: IngestSettings | None = None) -> Footing:
    """How to stand on what is mounted at a path; `asked` has the last word."""
    asked = asked or IngestSettings()
    kind = kernel.file_system(os.fsencode(path))
    return Footing(
        kind,
        _watching(kind) if asked.watch == "auto" else asked.watch,
        _completeness(kind) if asked.complete == "auto" else asked.complete,
    )


def _watching(kind: str) -> Watching:
    return "inotify" if kind in LOCAL or kind == "unknown" else "polling"


def _completeness(kind: str) -> Completeness:
    if kind in LOCAL:
        return "lease"
    return "settle" if is_shared(kind) else "both"
