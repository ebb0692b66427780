"""The grammar of names: whatever a producer calls a file, it can be shown, stored and turned back."""

from __future__ import annotations

import os
import re
import unicodedata
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pqfs import naming
from pqfs.errors import Refused
from pqfs.model import Job, Place, State
from pqfs.naming import NAME_BYTES, Claimed, JobIds, Parked, Scratch
from pqfs.spool import Spool

ID = "01890a5d-ac96-774b-bcce-b302099a8057"
LONGEST_QUEUE = "q" * 32
LONGEST_ATTEMPT = 9_999_999_999

# What the kernel accepts as a name: up to 255 bytes without '/' and NUL. A flattened directory adds '/'.
names = st.binary(min_size=1, max_size=255).filter(lambda name: b"\0" not in name)
nasty = st.lists(
    st.sampled_from([b"%", b".", b"-", b"/", b"\n", b"\x1b[2J", b"\xff", b"\xe2\x80\xae", "é".encode(), b"a", b" "]),
    min_size=1, max_size=120,
).map(b"".join)  # fmt: skip
queues = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,31}", fullmatch=True)
ids = st.integers(0, 2**48 - 1).map(lambda milliseconds: JobIds().next(milliseconds / 1000))


# -------------------------------------------------------------------- names of files


@given(names | nasty)
def test_any_name_is_printable_and_turns_back_into_the_same_bytes(name: bytes) -> None:
    shown = naming.printable(name)

    assert naming.original(shown) == name
    assert not any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in shown)
    assert "/" not in shown
    assert not shown.startswith(("-", "."))
    shown.encode("utf-8")


@given(names | nasty, names | nasty)
def test_two_names_never_look_alike_unless_they_are_alike(one: bytes, other: bytes) -> None:
    assert (naming.printable(one) == naming.printable(other)) == (one == other)


@given(names | nasty)
def test_a_disk_name_fits_every_grammar_of_the_spool(name: bytes) -> None:
    short = naming.disk_name(name)
    longest = [
        str(Parked(ID, LONGEST_QUEUE, short)),
        str(Claimed(ID, LONGEST_ATTEMPT, LONGEST_QUEUE, short)),
        naming.output_name(1.8e9, ID, name),
        f"{naming.id12(ID)}.{short}",
    ]

    assert 0 < len(short.encode()) <= NAME_BYTES
    assert all(len(each.encode()) <= 255 for each in longest)
    assert naming.parse_parked(longest[0]) == Parked(ID, LONGEST_QUEUE, short)
    assert naming.parse_claimed(longest[1]) == Claimed(ID, LONGEST_ATTEMPT, LONGEST_QUEUE, short)
    assert naming.output_id12(longest[2]) == naming.id12(ID)


@given(names | nasty)
def test_a_disk_name_is_the_whole_name_or_a_cut_one_without_half_an_escape(name: bytes) -> None:
    short, whole = naming.disk_name(name), naming.printable(name)

    if naming.is_whole(name):
        assert short == whole
    else:
        stem, _, extension = short.rpartition(".")
        assert whole.startswith(short) or (whole.startswith(stem) and whole.endswith(f".{extension}"))
    assert re.search(r"%(?![0-9A-F]{2})", short) is None


@pytest.mark.parametrize("extra", range(8))
def test_cutting_never_splits_an_escape_or_a_character(extra: int) -> None:
    for unit in (b"\n", "é".encode(), "🙂".encode(), b"\xff"):
        name = b"x" * (NAME_BYTES - 12 + extra) + unit * 20 + b".txt"

        short = naming.disk_name(name)

        assert short.endswith(".txt")
        stem = naming.original(short).removesuffix(b".txt")
        assert name.startswith(stem)
        assert NAME_BYTES - 4 <= len(short.encode()) + 3 <= NAME_BYTES + 3


def test_a_very_long_extension_is_not_one() -> None:
    name = b"a." + b"e" * 240

    assert naming.disk_name(name) == "a." + "e" * (NAME_BYTES - 2)
    assert not naming.is_whole(name)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"plain name.txt", "plain name.txt"),
        (b"-rf", "%2Drf"),
        (b".hidden", "%2Ehidden"),
        (b"..", "%2E."),
        (b"100%", "100%25"),
        (b"dir/file", "dir%2Ffile"),
        (b"a\nb", "a%0Ab"),
        (b"\x1b[2J", "%1B[2J"),
        ("\u202egpj.exe".encode(), "%E2%80%AEgpj.exe"),
        ("a\u2028b".encode(), "a%E2%80%A8b"),
        (b"\xff\xfe", "%FF%FE"),
        ("Übung.txt".encode(), "Übung.txt"),
        (b"%0A", "%250A"),
    ],
)
def test_hostile_names_are_shown_escaped(name: bytes, shown: str) -> None:
    assert naming.printable(name) == shown
    assert naming.original(shown) == name


@given(names | nasty)
def test_the_kernel_accepts_every_disk_name(name: bytes) -> None:
    """No name leaves its directory: it has no slash, and is neither '.' nor '..'."""
    parked = str(Parked(ID, "default", naming.disk_name(name)))

    assert os.path.basename(parked) == parked
    assert parked not in (".", "..")
    assert "\0" not in parked


# -------------------------------------------------------------------- names of queues


@given(queues)
def test_a_valid_queue_name_stays_as_it_is(queue: str) -> None:
    assert naming.check_queue(queue) == queue
    assert naming.parse_parked(str(Parked(ID, queue, "x"))) == Parked(ID, queue, "x")


@pytest.mark.parametrize("name", ["", ".", "..", "A", "a.b", "a/b", "-a", "_a", "a b", "a\n", "ä", "q" * 33, "%2E"])
def test_what_can_not_name_a_queue_is_refused(name: str) -> None:
    with pytest.raises(Refused):
        naming.check_queue(name)


# -------------------------------------------------------------------- names in the spool


@given(ids, queues, names | nasty, st.integers(1, LONGEST_ATTEMPT))
def test_every_name_form_is_read_back_as_it_was_written(job: str, queue: str, name: bytes, attempt: int) -> None:
    short = naming.disk_name(name)

    for form, parse in (
        (Parked(job, queue, short), naming.parse_parked),
        (Claimed(job, attempt, queue, short), naming.parse_claimed),
        (Scratch(job, attempt, "part"), naming.parse_scratch),
        (Scratch(job, attempt, "parts"), naming.parse_scratch),
        (Scratch(job, attempt, "out"), naming.parse_scratch),
    ):
        assert parse(str(form)) == form
    assert naming.parse_meta(f"{job}.json") == job


@pytest.mark.parametrize(
    "text",
    [
        "", "x", ID, f"{ID}.", f"{ID}.default", f"{ID}.default.", f"{ID}.Default.x", f"x{ID}.default.x",
        f"{ID.upper()}.default.x", f"{ID[:-1]}.default.x", f"{ID.replace('-7', '-4')}.default.x",
        f"../{ID}.default.x", f" {ID}.default.x",
    ],
)  # fmt: skip
def test_what_is_not_a_parked_name_is_not_read_as_one(text: str) -> None:
    assert naming.parse_parked(text) is None
    assert naming.parse_claimed(text) is None


@pytest.mark.parametrize(
    "text",
    [f"{ID}.0.part", f"{ID}.01.part", f"{ID}.1.tmp", f"{ID}.1.part.x", f"{ID}.-1.out", f"{ID}.1", f"{ID}.1.out\n"],
)
def test_what_is_not_a_scratch_name_is_not_read_as_one(text: str) -> None:
    assert naming.parse_scratch(text) is None


@pytest.mark.parametrize("text", ["x", "20270115T080000.000000Z_x", "20270115T080000.000000Z_0123456789ab_", "a_b_c"])
def test_a_foreign_file_in_the_outbox_is_not_taken_for_an_output(text: str) -> None:
    assert naming.output_id12(text) is None


def test_a_meta_name_is_only_that_of_a_job() -> None:
    assert naming.parse_meta(f".{ID}.json") is None
    assert naming.parse_meta(f"{ID}.json.tmp") is None
    assert naming.parse_meta("x.json") is None


@given(names | nasty, queues, st.integers(1, 10**6))
def test_no_two_places_share_a_path(name: bytes, queue: str, attempt: int) -> None:
    job = Job(
        ID, queue, name, "someone", State.PROCESSING, Place.CLAIMED, False, 0, attempt, 0, 0, 0, "me", 1, 0, 0, 0
    )
    places = [place for place in Place if place is not Place.GONE]

    paths = [Spool.payload_path(_PATHS, job, place) for place in places]

    assert len(set(paths)) == len(places)
    assert all(len(os.fsencode(os.path.basename(path))) <= 255 for path in paths)


_PATHS = Spool.__new__(Spool)  # the grammar of paths needs no tree
_PATHS.root = Path("/nowhere")


# -------------------------------------------------------------------- ids


@given(st.lists(st.floats(0, 4e9), min_size=2, max_size=50))
def test_ids_never_fall_whatever_the_clock_does(instants: list[float]) -> None:
    source = JobIds()

    made = [source.next(now) for now in instants]

    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert all(naming.is_job_id(each) for each in made)


@given(st.floats(0, 4e9))
def test_an_id_is_a_uuid_of_version_7_that_tells_its_time(now: float) -> None:
    job = JobIds().next(now)

    assert uuid.UUID(job).version == 7
    assert uuid.UUID(job).variant == uuid.RFC_4122
    assert abs(naming.id_time(job) - now) <= 0.002


def test_more_ids_than_fit_a_millisecond_go_on_into_the_next() -> None:
    source = JobIds()

    made = [source.next(1000.0) for _ in range(10_000)]

    assert made == sorted(set(made))
    assert naming.id_time(made[-1]) - 1000.0 < 0.005


@given(st.floats(1, 4e9), st.floats(0.002, 1e6))
def test_the_floor_of_an_instant_parts_older_ids_from_younger(now: float, later: float) -> None:
    assert JobIds().next(now) >= naming.id_floor(now)
    assert JobIds().next(now) < naming.id_floor(now + later + 0.002)


def test_outputs_of_one_name_differ_and_sort_by_the_time_of_completion() -> None:
    source = JobIds()
    first, second = source.next(5.0), source.next(1.0)

    outputs = [naming.output_name(10.0, first, b"x"), naming.output_name(10.000001, second, b"x")]

    assert outputs == sorted(outputs)
    assert outputs[0] == f"19700101T000010.000000Z_{first[-12:]}_x"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("plain words", "plain words"),
        ("50% of a/b\nsecond\tline", "50% of a/b\nsecond\tline"),
        ("\x1b[2J\x07 \x9b31m \r over", "%1B[2J%07 %C2%9B31m %0D over"),
        ("abc\u202egpj.exe", "abc%E2%80%AEgpj.exe"),
        ("résumé 日本語", "résumé 日本語"),
    ],
)
def test_the_words_of_others_can_not_act_on_a_terminal(said: str, shown: str) -> None:
    assert naming.harmless(said) == shown


def test_what_has_room_for_one_line_is_one_line_and_harmless() -> None:
    assert naming.one_line("two\nlines,\ta tab and \x1b[2J") == "two lines, a tab and %1B[2J"
