"""Settings: who wins, where a value came from, and what is refused before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pqfs.durations import format_duration, parse_duration
from pqfs.errors import Misconfigured
from pqfs.handlersettings import CommandHandler, PythonHandler
from pqfs.settings import Loaded, QueueSettings, Settings, load


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def loaded(toml: str = "", flags: Mapping[str, Any] | None = None, **environ: str) -> Loaded:
    """Settings of a pqfs.toml in the current folder."""
    if toml:
        Path("pqfs.toml").write_text(toml)
    return load(flags, environ)


def test_a_queues_jobs_are_given_some_time() -> None:
    with pytest.raises(Misconfigured, match="timeout"):
        loaded("[queues.mail]\ntimeout = 0\n")


# -------------------------------------------------------------------- precedence


def test_a_command_in_one_text_is_refused_with_the_words_that_it_would_be() -> None:
    with pytest.raises(Misconfigured, match=r'a list of words: \["gzip", "--stdout", "\{input\}"\]'):
        loaded('[defaults]\nhandler = { command = "gzip --stdout {input}" }')


def test_without_anything_the_defaults_hold_and_have_no_origin(tmp_path: Path) -> None:
    found = loaded()

    assert found.settings.spool == tmp_path / "spool"
    assert found.settings.durability == "strict"
    assert found.origins == {}
    assert found.config is None


def test_flag_beats_environment_beats_file_beats_default() -> None:
    toml = "consumers = 3\nui_port = 3333\nlow_water = 3333\n"
    flags = {"consumers": 5, "ui_port": None}

    found = loaded(toml, flags, PQFS_CONSUMERS="4", PQFS_UI_PORT="4444")

    assert (found.settings.consumers, found.settings.ui_port, found.settings.low_water) == (5, 4444, 3333)
    file = str(Path("pqfs.toml").absolute())
    assert found.origins == {"consumers": "flag", "ui_port": "PQFS_UI_PORT", "low_water": file}


def test_nested_settings_have_a_dotted_origin() -> None:
    toml = "[consume]\nlease = '1m'\n[queues.slow]\ntimeout = '2h'\n"

    found = loaded(toml, {"consume.drain": "10s"}, PQFS_CONSUME__POLL_EVERY="1s")

    assert found.settings.consume.lease == 60.0
    assert found.settings.consume.drain == 10.0
    assert found.settings.consume.poll_every == 1.0
    assert found.settings.queue("slow").timeout == 7200.0
    assert found.origins["consume.drain"] == "flag"
    assert found.origins["consume.poll_every"] == "PQFS_CONSUME__POLL_EVERY"
    assert found.origins["queues.slow.timeout"].endswith("pqfs.toml")


def test_a_config_named_by_flag_beats_one_named_by_the_environment(tmp_path: Path) -> None:
    one, other = tmp_path / "one.toml", tmp_path / "other.toml"
    one.write_text("consumers = 1")
    other.write_text("consumers = 2")

    assert load({"config": one}, {"PQFS_CONFIG": str(other)}).settings.consumers == 1
    assert load({}, {"PQFS_CONFIG": str(other)}).settings.consumers == 2
    assert load({}, {"PQFS_CONFIG": str(other)}).config == other


def test_paths_of_a_file_are_relative_to_the_file_all_others_to_the_current_folder(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "pqfs.toml").write_text("spool = 'data/spool'\nlogs = '/var/log/pqfs'\n")

    from_file = load({"config": folder / "pqfs.toml"}, {}).settings
    overridden = load({"config": folder / "pqfs.toml", "spool": "elsewhere"}, {"PQFS_LOGS": "here"}).settings

    assert (from_file.spool, from_file.logs) == (folder / "data/spool", Path("/var/log/pqfs"))
    assert (overridden.spool, overridden.logs) == (tmp_path / "elsewhere", tmp_path / "here")


# -------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("spol = 'x'", "There is no setting 'spol'"),
        ("[consume]\nleese = 1", "There is no setting 'consume.leese'"),
        ("[queues.a]\nretries = 1", "There is no setting 'queues.a.retries'"),
        ("[queues.a.handler]\ncommand = ['x']\nshell = true", "no setting 'queues.a.handler.shell'"),
        ("[queues.a]\nhandler = {comand = ['x']}", "'queues.a.handler'"),
        ("[queues.a]\nhandler = {comand = ['x']}", 'a handler is "timestamp", { command = ['),
        ("[defaults]\nhandler = 'timestmap'", 'a handler is "timestamp", { command = ['),
        ("[defaults]\nhandler = {command = 'ls'}", "'defaults.handler.command'"),
        ("[defaults]\nhandler = {command = ['cp', '{input}', '{outptu}']}", "{outptu} stands for nothing"),
        ("[defaults]\nhandler = {command = ['cp', '{input}', '{outptu}']}", "{input}, {output}, {output_dir}"),
        ("[defaults]\nhandler = {command = ['x'], environmnt = {}}", "did you mean 'environment'?"),
        ("[defaults]\nhandler = {command = ['x'], write = ['/tmp']}", "write is without effect unless confine"),
        ("[defaults]\nhandler = {command = ['x'], confine = 'landlock', write = ['tmp']}", "not an absolute path"),
        ("[defaults.limits]\nmemry = '1GiB'", "did you mean 'memory'?"),
        ("[queues.a.limits]\nmemory = 0", "'queues.a.limits.memory'"),
        ("[queues.a]\ntimout = 1", "did you mean 'timeout'?"),
        ("consumers = 'many'", "'consumers'"),
        ("consumers = -1", "'consumers'"),
        ("[consume]\nlease = 'soon'", "is not a duration"),
        ("durability = 'sometimes'", "'durability'"),
        ("[queues.Bad]\n", "can not name a queue"),
        ("[defaults]\nsidecar = 'maybe'", "is not one of none, wait:<time>, required"),
        ("[defaults]\nsidecar = 'wait:long'", "is not a duration"),
        ("[defaults]\nmax_failures = 0", "max_failures"),
        ("consumers = [", "is not TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_origin(toml: str, says: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        loaded(toml)

    assert says in caught.value.message
    assert caught.value.exit_code == 2


def test_a_wrong_value_in_the_environment_or_on_the_command_line_is_blamed_on_it() -> None:
    with pytest.raises(Misconfigured, match=r"PQFS_CONSUMERS"):
        loaded(PQFS_CONSUMERS="many")
    with pytest.raises(Misconfigured, match=r"from flag"):
        loaded(flags={"ui_port": 0})
    with pytest.raises(Misconfigured, match=r"no setting 'no_such' \(from PQFS_NO_SUCH\)"):
        loaded(PQFS_NO_SUCH="1")
    with pytest.raises(
        Misconfigured, match=r"no setting 'consum' \(from PQFS_CONSUM__LEASE\); did you mean 'consume'"
    ):
        loaded(PQFS_CONSUM__LEASE="1")


def test_a_value_that_is_used_as_a_section_is_refused() -> None:
    with pytest.raises(Misconfigured, match="is a value, not a section"):
        loaded("consumers = 3", PQFS_CONSUMERS__LEASE="3")


def test_what_pqfs_sets_for_its_children_is_no_setting() -> None:
    assert loaded(PQFS_OWNER="x", PQFS_JOB="y", PQFS_ATTEMPT="1", PQFS_PROGRAM="z").origins == {}
    assert loaded(PQFS_QUEUE="a", PQFS_NAME="b").origins == {}


def test_a_file_that_is_named_must_be_there() -> None:
    with pytest.raises(Misconfigured, match="is not there"):
        loaded(flags={"config": "nowhere.toml"})


def test_a_pqfs_toml_that_leads_nowhere_or_is_none_is_never_taken_for_no_settings() -> None:
    """The default handler would run on files that are meant for another."""
    Path("pqfs.toml").symlink_to("elsewhere.toml")
    with pytest.raises(Misconfigured, match=r"can not be read.*a link to elsewhere\.toml"):
        load()

    Path("pqfs.toml").unlink()
    Path("pqfs.toml").mkdir()
    with pytest.raises(Misconfigured, match="can not be read: Is a directory"):
        load()


@pytest.mark.parametrize(
    "toml",
    [
        "[consume]\nlease = '5s'\npoll_every = '2s'",
        "[consume]\nlease = '10s'\nkill_after = '6s'",
        "[consume]\ndrain = '51s'",
        "[keep]\nrows = '1d'\ndone = '2d'",
        "[keep]\nrows = '1d'\ndone = 'forever'",
    ],
)
def test_timers_that_contradict_each_other_are_refused(toml: str) -> None:
    with pytest.raises(Misconfigured):
        loaded(toml)


# -------------------------------------------------------------------- queues


def test_a_queue_inherits_from_the_defaults_and_an_unknown_one_is_them() -> None:
    toml = "[defaults]\nmax_failures = 7\nbackoff = '1s'\n[queues.a]\nmax_failures = 2\n"

    settings = loaded(toml).settings

    assert (settings.queue("a").max_failures, settings.queue("a").backoff) == (2, 1.0)
    assert settings.queue("unknown").max_failures == 7
    assert settings.queue_names() == ["a", "default"]


def test_the_older_name_of_max_failures_is_understood() -> None:
    assert loaded("[defaults]\nmax_attempts = 5").settings.defaults.max_failures == 5
    assert loaded("[queues.a]\nmax_attempts = 4").settings.queue("a").max_failures == 4


def test_a_queues_older_name_beats_the_limit_that_it_inherits() -> None:
    settings = loaded("[defaults]\nmax_failures = 7\n[queues.a]\nmax_attempts = 4\n").settings

    assert settings.queue("a").max_failures == 4


def test_both_names_of_one_limit_in_one_section_are_refused() -> None:
    for section in ("defaults", "queues.a"):
        with pytest.raises(
            Misconfigured, match=rf"'{section}' \(from .*pqfs.toml\): max_attempts is the older name of max_failures"
        ):
            loaded(f"[{section}]\nmax_attempts = 5\nmax_failures = 4")


def test_a_sidecar_may_ask_for_its_own_limit_of_failures() -> None:
    queue = QueueSettings(max_failures=3, max_crashes=4)

    assert queue.retry_policy({"max_failures": 9}).max_failures == 9
    assert queue.retry_policy({}).max_failures == queue.retry_policy(None).max_failures == 3
    assert queue.retry_policy({"max_failures": 9}).max_crashes == 4


@pytest.mark.parametrize(
    ("written", "seconds"), [("none", 0.0), ("required", float("inf")), ("wait:90s", 90.0), ("wait:5", 5.0)]
)
def test_how_long_a_payload_waits_for_its_sidecar(written: str, seconds: float) -> None:
    assert QueueSettings(sidecar=written).sidecar_wait() == seconds


def test_handlers_are_a_name_a_command_or_a_function() -> None:
    toml = """
    [queues.a]
    handler = "timestamp"
    [queues.b.handler]
    command = ["cp", "{input}", "{output}"]
    permanent = [3]
    [queues.c.handler]
    python = "package.module:function"
    """
    settings = loaded(toml).settings

    assert settings.queue("a").handler == "timestamp"
    assert settings.queue("b").handler == CommandHandler(command=("cp", "{input}", "{output}"), permanent=(3,))
    assert settings.queue("c").handler == PythonHandler(python="package.module:function")


@pytest.mark.parametrize("handler", ['"other"', "{command = []}", '{python = "no_function"}', '{python = "a:b c"}'])
def test_a_handler_that_is_none_of_these_is_refused(handler: str) -> None:
    with pytest.raises(Misconfigured, match="handler"):
        loaded(f"[defaults]\nhandler = {handler}\n")


def test_braces_of_a_programs_own_are_doubled() -> None:
    handler = CommandHandler(command=("awk", "{{print}}", "{ print $1 }", "{input}", "{}"))

    assert handler.command[1] == "{{print}}"


def test_a_queue_inherits_limits_one_by_one() -> None:
    toml = "[defaults.limits]\nmemory = '1GiB'\ncpu = '1m'\n[queues.a.limits]\ncpu = '5s'\n"

    limits = loaded(toml).settings.queue("a").limits

    assert (limits.memory, limits.cpu, limits.nice) == (2**30, 5.0, 0)


def test_settings_can_not_be_changed_after_they_were_checked() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().consumers = 9  # type: ignore[misc]


# -------------------------------------------------------------------- durations


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90", 90.0), (90, 90.0), (1.5, 1.5), ("90s", 90.0), ("5m", 300.0), ("1.5h", 5400.0), ("7d", 604800.0),
     ("2w", 1209600.0), ("250ms", 0.25), (" 3 s ", 3.0), ("0", 0.0)],
)  # fmt: skip
def test_durations_are_written_as_people_write_them(written: object, seconds: float) -> None:
    assert parse_duration(written) == seconds


@pytest.mark.parametrize("written", ["", "s", "-1s", "1y", "1s2m", "soon", "1,5h", "nan", "inf", None, True])
def test_what_is_no_duration_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(written)


@given(st.integers(0, 10**9))
def test_a_duration_is_shown_in_a_form_that_reads_back(seconds: int) -> None:
    assert parse_duration(format_duration(float(seconds))) == seconds


@pytest.mark.parametrize("seconds", [0.001, 0.05, 0.25, 1.5, 1e6 + 0.5, 123456.789, 2592000.25])
def test_fractions_are_shown_exactly(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


def test_forever_is_infinite_and_0_removes_at_once() -> None:
    keep = loaded("[keep]\ndone = '0'\ndead = 'forever'\nrows = 'forever'").settings.keep

    assert (keep.seconds("done"), keep.seconds("dead"), keep.seconds("rows")) == (0.0, float("inf"), float("inf"))
