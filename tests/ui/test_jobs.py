"""The pages of jobs: found, paged and opened by their address; hostile names are names."""

from __future__ import annotations

import re

from pqfs.index.filters import Filters
from pqfs.model import State
from pqfs.naming import printable
from pqfs.wiring import App
from tests.hostile.names import harm_of, names
from tests.ui.conftest import Fill
from tests.ui.pages import again, column, open_page, words


def test_an_empty_spool_says_where_to_begin(app: App) -> None:
    assert "There is no job yet" in words(open_page("jobs"))


def test_ten_thousand_jobs_are_shown_fifty_at_a_time_newest_first(app: App, ten_thousand: list[str]) -> None:
    page = open_page("jobs")

    assert column(page, "id") == ten_thousand[:-51:-1]
    assert "50 of 10,000 jobs" in words(page)


def test_older_jobs_are_a_page_of_their_own_with_an_address(app: App, ten_thousand: list[str]) -> None:
    page = open_page("jobs")
    page.button("older").click()
    again(page)

    assert column(page, "id") == ten_thousand[-51:-101:-1]
    before = page.query_params["before"]
    assert column(open_page("jobs", before=before), "id") == ten_thousand[-51:-101:-1]
    page.button("newest").click()
    assert column(again(page), "id") == ten_thousand[:-51:-1]
    assert "before" not in page.query_params


def test_the_address_filters_and_what_is_filtered_is_in_the_address(app: App, ten_thousand: list[str]) -> None:
    page = open_page("jobs", name="report-0012?.pdf")
    assert column(page, "id") == ten_thousand[129:119:-1]
    assert page.text_input("filter-jobs-name").value == "report-0012?.pdf"

    page.text_input("filter-jobs-name").input("report-00005*")
    assert column(again(page), "id") == [ten_thousand[5]]
    assert page.query_params["name"] == "report-00005*"
    page.selectbox("filter-jobs-state").select("completed")
    assert "No job fits" in words(again(page))
    assert page.query_params["state"] == "completed"


def test_a_filter_that_can_not_be_is_told_in_words(app: App) -> None:
    assert "is no instant" in words(open_page("jobs", since="soon"))
    odd = words(open_page("jobs", before="x' OR 1; $(reboot)"))
    assert "0 of 0 jobs" in odd
    assert """--before 'x'"'"' OR 1; $(reboot)'""" in odd, "what is to be copied into a shell is quoted"
    assert "There is no job yet" in words(open_page("jobs", size="-1"))
    assert "is no state" in words(open_page("jobs", state="<b>"))


def test_hostile_names_and_errors_are_text(app: App, job: Fill) -> None:
    wanted = list(names(3, 40, lambda name: False))
    for name in wanted:
        job(name, State.FAILED, f"**no** :red[x] <img src=x onerror=alert(1)> {printable(name)}")

    page = open_page("jobs", state="failed", size="100")
    assert sorted(map(str, column(page, "name"))) == sorted(map(printable, wanted))
    assert [harm_of(str(name)) for name in column(page, "name")] == [None] * 40
    for each in app.index.jobs(State.FAILED, None, "~", 40)[:8]:
        said = open_page("job", job=each.id)
        assert not [text.value for text in said.markdown if re.search(r"(?<!\\)(\*\*no|<img|:red\[)", text.value)]


def test_a_job_tells_where_it_stands_and_why_and_what_to_do(app: App, job: Fill) -> None:
    failed = job(b"bill.pdf", State.FAILED, "line 7: not a number")

    said = words(open_page("job", job=failed.id)).replace("\\", "")
    assert "bill.pdf" in said
    assert "line 7: not a number" in said
    assert "pqfs jobs retry" in said
    assert f"pqfs explain {failed.id}" in said
    assert "payload" in said, "the beginning of its input"


def test_a_job_is_found_by_the_beginning_of_its_id_and_nonsense_is_told(app: App, job: Fill) -> None:
    made = job()

    assert made.id in words(open_page("job", job=made.id[:13]))
    for nonsense in ("nonsense", "../../etc", made.id[:-1] + "g"):
        assert "no job" in words(open_page("job", job=nonsense)).lower()
    assert "Which one?" in words(open_page("job"))


def test_jobs_of_an_error_are_found_through_dead_letters(app: App, job: Fill) -> None:
    made = [job(b"%d.txt" % n, State.FAILED, f"line {n}: not a number") for n in range(3)]
    job(b"other.txt", State.FAILED, "no room")

    assert column(open_page("dead"), "jobs") == [3, 1]
    group = Filters(app.index).groups(None, 1)[0].fingerprint
    page = open_page("jobs", group=group)
    assert set(column(page, "id")) == {each.id for each in made}
    assert f"pqfs dead show {group}" in words(page)
