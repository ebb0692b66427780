"""How an address, values and errors travel between PostgreSQL and pqfs. The only importer of psycopg."""

from __future__ import annotations

from typing import Any, cast

from pqfs.errors import DiskFull, IndexBusy, IndexDamaged, IndexGone, Misconfigured, Unavailable

try:
    import psycopg
    from psycopg import adapt as adapting
    from psycopg import conninfo
    from psycopg.types import string
except ImportError as missing:  # the extra is not installed, or libpq is not there
    raise Misconfigured(
        f"An index on PostgreSQL needs psycopg, which can not be loaded ({missing}).",
        "Install it: pip install 'pqfs[postgres]'",
    ) from missing

Error: Any = psycopg.Error
connect: Any = psycopg.connect
_NUL = "\uffff"  # PostgreSQL's text has no NUL; this is no character, and stands for it
# A server that is gone without a word is noticed after 10 s, by whoever waits for its answer or only listens.
_KEPT = {
    "connect_timeout": "5", "keepalives_idle": "5", "keepalives_interval": "2", "keepalives_count": "3",
    "tcp_user_timeout": "10000", "application_name": "pqfs",
}  # fmt: skip


def complete(address: str) -> str:
    """The address with what it leaves open.

    Raises:
        Misconfigured: it is none.
    """
    try:
        return str(conninfo.make_conninfo(**{**_KEPT, **conninfo.conninfo_to_dict(address)}))
    except psycopg.ProgrammingError as error:
        raise Misconfigured(
            f"The address of the index can not be read: {first_line(error)}.",
            "It looks so: postgresql://user@host/database",
        ) from None  # the cause would show the address, with its password


def is_pooled(connection: Any, pid: int) -> bool:
    """Whether a proxy stands between that shares sessions. `pid`: the process that has answered, by its own word.

    A proxy makes up the number that it tells at the beginning: it can not know who will answer later.
    """
    return bool(pid != connection.info.backend_pid)


def first_line(error: Exception) -> str:
    """What an error says, without the lines that explain it."""
    return (str(error).strip().splitlines() or ["no reason was given"])[0].rstrip(".")


def ours(error: Any) -> Exception:
    """What an answer of the server means to us; itself where it is a bug of ours."""
    said = first_line(error)
    match error.sqlstate:
        case "55P03" | "57014" | "40001" | "40P01":
            return IndexBusy(f"Another process holds the index's write lock ({said}).", "See: pqfs doctor")
        case "53100":
            return DiskFull(f"There is no room left for the index ({said}).", "Make room on the server's volume.")
        case "XX001" | "XX002":
            return IndexDamaged(said)
        case "42P01" | "42703":
            return IndexGone(f"The index is not what it was: {said}.", "Was it removed while it was open?")
        case "25006" | "42501":
            return Unavailable(f"The index can not be written by this user ({said}).")
        case "53000" | "53200" | "53300" | "58000" | "58030":
            return Unavailable(f"The index's server is in trouble ({said}).", "Look at the server's log.")
    return cast("Exception", error)


# -------------------------------------------------------------------- how values travel


class _Text(string.StrDumperUnknown):
    """Text, in which a NUL is written as what is no character."""

    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\0", _NUL) if "\0" in obj else obj)


class _TextBack(string.TextLoader):
    """The way back."""

    def load(self, data: Any) -> Any:
        found = super().load(data)
        return found.replace(_NUL, "\0") if _NUL in found else found


class _Sum(adapting.Loader):
    """A sum of whole numbers, which PostgreSQL tells as a decimal one."""

    def load(self, data: Any) -> int:
        return int(bytes(data))


def adapt(connection: Any) -> None:
    """Have values of this connection travel our way."""
    connection.adapters.register_dumper(str, _Text)
    connection.adapters.register_loader("text", _TextBack)
    connection.adapters.register_loader("numeric", _Sum)
