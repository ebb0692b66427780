"""What is printed for more hosts can be read by what it is for, and a backup made in the right order restores all."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from pqfs.model import Job, State
from pqfs.settings import load
from pqfs.stack.configuration import Instance
from pqfs.stack.deployment import Sizing
from pqfs.stack.unit import unit
from pqfs.wiring import App, open_app
from tests.shell import Shell
from tests.world import invariants

GIB = 2**30


def test_the_compose_file_is_one_and_is_sized_by_what_is_asked(shell: Shell) -> None:
    assert shell("deploy", "compose", "--memory", "4GiB", "--hosts", "3", "--consumers", "16") == 0

    found = yaml.safe_load(shell.out)
    postgres = found["services"]["postgres"]
    given = dict(word.removeprefix("-c").split("=") for word in postgres["command"][1:])
    assert (given["shared_buffers"], given["effective_cache_size"]) == ("1024MB", "3072MB")
    assert int(given["max_connections"]) == Sizing(4 * GIB, 3, 16).connections == 210
    assert postgres["volumes"][0].partition(":")[0] in found["volumes"]
    assert postgres["secrets"] == list(found["secrets"])
    assert not {"fsync", "full_page_writes", "synchronous_commit"} & given.keys()


def test_few_hosts_get_what_postgresql_gives_everybody() -> None:
    assert Sizing(GIB, 1, 2).connections == 100


@pytest.mark.parametrize(("memory", "code"), [("100MiB", 2), ("much", 2)])
def test_a_memory_that_is_none_or_too_little_is_refused(shell: Shell, memory: str, code: int) -> None:
    assert shell("deploy", "compose", "--memory", memory) == code


@pytest.mark.parametrize(
    ("source", "kind", "needed"),
    [("nas:/export/pqfs", "nfs4", {"hard", "_netdev", "lookupcache=positive"}), ("p@.fs=/", "ceph", {"_netdev"})],
)
def test_a_share_is_mounted_by_one_line_that_findmnt_reads(
    shell: Shell, tmp_path: Path, source: str, kind: str, needed: set[str]
) -> None:
    assert shell("deploy", "mount", source, tmp_path, "--kind", kind) == 0

    (tmp_path / "fstab").write_text(f"{shell.out}\n")
    (line,) = [line for line in shell.out.splitlines() if not line.startswith("#")]
    fields = line.split()
    assert (fields[:3], fields[4:]) == ([source, str(tmp_path), kind], ["0", "0"])
    assert needed <= set(fields[3].split(","))
    if shutil.which("findmnt"):
        command = ["findmnt", "-F", str(tmp_path / "fstab"), "-n", "-o", "SOURCE,FSTYPE"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        assert done.stdout.split() == [source, kind]


@pytest.mark.parametrize("arguments", [("no-share",), ("nas:/a b",), ("nas:/x", "/srv", "--kind", "smb")])
def test_what_is_no_share_is_refused(shell: Shell, arguments: tuple[str, ...]) -> None:
    assert shell("deploy", "mount", *arguments) == 2


@pytest.mark.parametrize(("index", "waits"), [("sqlite", False), ("sqlite:////var/lib/index.db", False)])
def test_the_unit_of_one_host_waits_for_no_network(tmp_path: Path, index: str, waits: bool) -> None:
    loaded = load({"spool": str(tmp_path / "spool"), "logs": str(tmp_path / "logs")}, {})
    text = unit(Instance(replace(loaded, settings=replace(loaded.settings, index=index)), tmp_path), [])

    assert ("network-online.target" in text) is waits


def test_the_unit_of_a_share_waits_for_network_and_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pqfs.kernel.file_system", lambda path: "nfs4")

    text = unit(Instance(load({"spool": str(tmp_path / "spool")}, {}), tmp_path), [])

    assert "Wants=network-online.target" in text
    assert "After=network-online.target remote-fs.target" in text
    assert f"RequiresMountsFor={tmp_path}/spool" in text


# -------------------------------------------------------------------- backup and restore


@contextmanager
def opened(shell: Shell) -> Iterator[App]:
    app = open_app(load({"spool": str(shell.spool)}))
    try:
        yield app
    finally:
        app.close()


def by_name(shell: Shell) -> dict[str, Job]:
    with opened(shell) as app:
        return {job.name.decode(): job for job in app.index.jobs(None, None, "~", 100)}


def copy_tree(shell: Shell, to: Path) -> None:
    """As the README says: without the index and what belongs to this host."""
    left_out = shutil.ignore_patterns("index.db*", "run")
    shutil.copytree(shell.spool, to, ignore=left_out)


def lose_all_and_restore(shell: Shell, copy: Path) -> None:
    """The disk is lost; a new one gets the copy of the tree, then the copy of the index."""
    shutil.rmtree(shell.spool)
    copy.rename(shell.spool)
    assert shell("index", "restore", "copy.db", "-y") == 0, shell.err


@pytest.mark.slow
def test_the_index_is_copied_first_then_the_tree_and_what_came_in_between_is_there(shell: Shell) -> None:
    for name in ("done.txt", "held.txt", "waits.txt"):
        shell.submit(name)
    assert shell("index", "backup", "copy.db") == 0
    held = by_name(shell)["held.txt"].id
    assert shell("jobs", "hold", held, "-y") == 0
    assert shell.process("consume", "--drain").returncode == 0
    shell.submit("later.txt")
    copy_tree(shell, shell.root / "copy")
    before = {name: job.state for name, job in by_name(shell).items()}

    lose_all_and_restore(shell, shell.root / "copy")

    assert {name: job.state for name, job in by_name(shell).items()} == before
    assert before["done.txt"] is State.COMPLETED and before["later.txt"] is State.PENDING
    assert shell.process("consume", "--drain").returncode == 0
    with opened(shell) as app:
        invariants(app.spool, app.index)
    assert len(list((shell.spool / "outbox").iterdir())) == 3


def test_copied_the_other_way_round_what_came_in_between_is_missed(shell: Shell) -> None:
    """Why the order matters: rows of which the tree knows nothing have lost their payloads and outputs."""
    shell.submit("done.txt")
    copy_tree(shell, shell.root / "copy")
    shell.submit("later.txt")
    assert shell("index", "backup", "copy.db") == 0

    lose_all_and_restore(shell, shell.root / "copy")

    found = by_name(shell)
    assert found["done.txt"].state is State.PENDING
    assert (found["later.txt"].state, "lost" in str(found["later.txt"].error)) == (State.FAILED, True)
