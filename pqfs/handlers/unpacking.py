"""The files of a set, out of its tar file: regular files under plain names, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

from pqfs.errors import Permanent


def unpack(payload: Path, folder: Path) -> Path:
    """Unpack a set into a folder, which is there whole or not at all, and return it.

    Raises:
        Permanent: it is no tar file, or one that no set is made of: with links, folders, or names that lead away.
    """
    if folder.exists():
        return folder
    import shutil
    import tarfile

    half = folder.with_name(f"{folder.name}.part")
    half.mkdir(parents=True)
    try:
        with tarfile.open(payload) as tar:
            for head in tar:
                source = tar.extractfile(head) if head.isreg() and _is_plain(head.name) else None
                if source is None:
                    raise Permanent(f"{head.name!r} in its set is no regular file beside the others")
                with open(half / head.name, "xb") as target:
                    shutil.copyfileobj(source, target)
    except tarfile.TarError as error:
        raise Permanent(f"its input is not a set: {error}") from error
    os.rename(half, folder)
    return folder


def _is_plain(name: str) -> bool:
    return bool(name) and "/" not in name and name not in (".", "..")
