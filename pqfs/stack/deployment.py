"""Texts for more than one host: PostgreSQL in a container, sized for what uses it, and how a share is mounted.

Nothing here is run by pqfs; a person reads it, and puts it where it belongs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pqfs.errors import Misconfigured

_MIB = 2**20
_LEAST = 512 * _MIB
_FEW = 100  # connections, PostgreSQL's own default
_OF_A_HOST = 20  # ingester, janitor, courier, API, console and people, with room
_OF_A_CONSUMER = 3

_COMPOSE = """\
# PostgreSQL for the index of pqfs: {hosts} hosts of {consumers} consumers, {memory} MiB of memory.
# Install: pqfs deploy compose > compose.yml; openssl rand -hex 24 > pqfs.password; docker compose up -d
# On each host: index = "postgresql://pqfs@SERVER/pqfs" in pqfs.toml, the password in ~/.pgpass (0600) of its user.
services:
  postgres:
    image: postgres:17
    restart: unless-stopped
    stop_grace_period: 2m
    shm_size: 256mb
    mem_limit: {memory}m
    ports: ["5432:5432"]
    environment:
      POSTGRES_USER: pqfs
      POSTGRES_DB: pqfs
      POSTGRES_PASSWORD_FILE: /run/secrets/password
      POSTGRES_INITDB_ARGS: --data-checksums --encoding=UTF8 --locale=C.UTF-8
    secrets: [password]
    # fsync, full_page_writes and synchronous_commit stay as they are (on): what was acknowledged must be durable.
    command:
      - postgres
      - -cshared_buffers={shared_buffers}MB
      - -ceffective_cache_size={cache}MB
      - -cmaintenance_work_mem={maintenance}MB
      - -cwork_mem=8MB
      - -cmax_connections={connections}
      - -cmax_wal_size=4GB
      - -ccheckpoint_timeout=15min
      - -cwal_compression=on
      - -crandom_page_cost=1.1
      # Rows of jobs change several times in their lives: tidied up early, each round is short.
      - -cautovacuum_naptime=15s
      - -cautovacuum_vacuum_scale_factor=0.05
      # A host that has gone is noticed within a minute.
      - -ctcp_keepalives_idle=30
      - -ctcp_keepalives_interval=10
      - -ctcp_keepalives_count=3
    volumes: ["data:/var/lib/postgresql/data"]
    healthcheck:
      test: [CMD, pg_isready, -U, pqfs, -d, pqfs]
      interval: 10s
      timeout: 5s
      retries: 6
volumes:
  data: {{}}
secrets:
  password:
    file: ./pqfs.password
"""

_OPTIONS = {
    "nfs4": ("vers=4.2,hard,noatime,lookupcache=positive,actimeo=1", (
        "hard: a server that is slow is waited for; soft makes errors of it, and loses what was written.",
        "lookupcache, actimeo: what another host has made, moved or removed is seen within a second.",
    )),
    "ceph": ("name=pqfs,secretfile=/etc/ceph/pqfs.secret,noatime", (
        "name, secretfile: a client that may read and write this directory alone.",
    )),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sizing:
    """For what PostgreSQL is sized: bytes of memory that it may use, and who connects to it."""

    memory: int
    hosts: int = 2
    consumers: int = 4

    @property
    def connections(self) -> int:
        """How many may be open at once: a consumer has one for work, one for its beats, one to listen."""
        needed = self.hosts * (self.consumers * _OF_A_CONSUMER + _OF_A_HOST)
        return max(_FEW, -(-needed // 10) * 10)


def compose(sizing: Sizing) -> str:
    """A compose file for the database.

    Raises:
        Misconfigured: that is too little memory.
    """
    if sizing.memory < _LEAST:
        raise Misconfigured(f"PostgreSQL needs at least {_LEAST // _MIB} MiB of memory.")
    memory = sizing.memory // _MIB
    return _COMPOSE.format(
        hosts=sizing.hosts, consumers=sizing.consumers, memory=memory, shared_buffers=memory // 4,
        cache=memory * 3 // 4, maintenance=min(memory // 16, 1024), connections=sizing.connections,
    )  # fmt: skip


def mounted(source: str, directory: Path, kind: str) -> str:
    """Lines of an fstab that mount a share (`nfs4` or `ceph`) where the spool is to lie.

    Raises:
        Misconfigured: the source names no share, or the kind is none of these.
    """
    if kind not in _OPTIONS:
        raise Misconfigured(
            f"{kind!r} is none of {', '.join(_OPTIONS)}.", "Others: see what pqfs doctor --mount says."
        )
    if "/" not in source or any(mark.isspace() for mark in f"{source}{directory}"):
        raise Misconfigured(f"{source} on {directory} is no share.", "As: nas:/export/pqfs /srv/pqfs")
    options, reasons = _OPTIONS[kind]
    told = [f"# {reason}" for reason in (*reasons, "_netdev: after the network is there. Then: pqfs doctor --mount")]
    return "\n".join([*told, f"{source} {directory} {kind} {options},_netdev 0 0", ""])
