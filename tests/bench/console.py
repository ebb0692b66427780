"""How fast the console answers, while the index holds very many jobs and the tree very many files.

    python -m tests.bench.console [--jobs 1000000] [--files 100000] [--rounds 15] [--spool DIR] [--no-browser]

The rows are those of `answers`, the files waiting jobs of `backlog`. Each page is asked for by a plain client of the
console's websocket: from another page (*switch*), and the parts of it that refresh by themselves, one after the other
(*refresh*: the slowest), with the processor time that the server spent. Then a real Chromium, where there is one: the
first paint of a window, a switch by a click (the first one loads the program that draws grids), a job opened by a
click, each until it can be read. The middle counts. With `--spool` the spool is made there, and stays; one that is
there is taken as it is.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.util import calc_hash
from websockets.sync.client import connect

from pqfs.settings import Loaded, Settings
from pqfs.wiring import open_app
from tests.bench import answers, arena, backlog, figures, usage
from tests.bench.arena import Room
from tests.bench.figures import Figures, Target, Value, median
from tests.bench.viewers import console

PAGES = ("", "jobs", "spool", "queues", "consumers", "dead", "rejected", "logs", "health")
_SWITCH, _REFRESH, _PAINT, _OPEN = 0.5, 0.3, 1.5, 0.5  # seconds, at most
_SETTLED = "document.querySelector('[data-test-script-state]')?.dataset.testScriptState === 'notRunning'"


class Client:
    """A session of the console without a browser, which goes from page to page."""

    def __init__(self, port: int) -> None:
        self._stay = ExitStack()
        self._connection = self._stay.enter_context(connect(f"ws://127.0.0.1:{port}/_stcore/stream", max_size=None))
        self._fragments: list[str] = []
        self._page = ""

    def open(self, page: str, query: str = "") -> None:
        """Go to a page, and wait until it is whole."""
        self._page, self._fragments = page, []
        asked = BackMsg()
        asked.rerun_script.page_script_hash, asked.rerun_script.query_string = calc_hash(page), query
        self._send(asked)

    @property
    def parts(self) -> list[str]:
        """Those of the page that refresh by themselves."""
        return list(self._fragments)

    def refresh(self, part: str) -> None:
        """Have one of them drawn."""
        asked = BackMsg()
        asked.rerun_script.page_script_hash = calc_hash(self._page)
        asked.rerun_script.fragment_id, asked.rerun_script.is_auto_rerun = part, True
        self._send(asked)

    def _send(self, asked: BackMsg) -> None:
        self._connection.send(asked.SerializeToString())
        while True:
            told = ForwardMsg()
            told.ParseFromString(bytes(self._connection.recv(timeout=60, decode=False)))
            kind = told.WhichOneof("type")
            if kind == "auto_rerun" and told.auto_rerun.fragment_id not in self._fragments:
                self._fragments.append(told.auto_rerun.fragment_id)
            if kind == "script_finished":
                return

    def close(self) -> None:
        """Leave."""
        self._stay.close()


def build(settings: Settings, jobs: int, files: int) -> None:
    """A spool with so many rows, and so many files more."""
    answers.build(settings, jobs)
    backlog.add(settings, files)


@contextmanager
def _spool(at: Path | None, given: Path | None, jobs: int, files: int) -> Iterator[Settings]:
    """The spool to be looked at, made where there is none."""
    if given is None:
        with arena.ground(at, Room(files + 1000, jobs * 1500)) as base:
            settings = Settings(spool=base, logs=base.parent / "logs")
            build(settings, jobs, files)
            yield settings
        return
    settings = Settings(spool=given, logs=given.parent / "logs")
    if not given.exists():
        build(settings, jobs, files)
    yield settings


def _timed(act: Callable[[], object], pid: int) -> tuple[float, float]:
    """Seconds that it takes, and of the server's processor."""
    began, before = time.perf_counter(), usage.of_process(pid).cpu
    act()
    return time.perf_counter() - began, usage.of_process(pid).cpu - before


def answered(port: int, pid: int, rounds: int, job: str) -> list[dict[str, Value]]:
    """Each page, switched to and refreshed."""
    client, rows = Client(port), list[dict[str, Value]]()
    for page, query in [*((page, "") for page in PAGES), ("jobs", "state=completed"), ("jobs", f"job={job}")]:
        switches, refreshes = [], []
        for _ in range(rounds + 1):
            client.open("consumers" if page != "consumers" else "logs")
            switches.append(_timed(lambda page=page, query=query: client.open(page, query), pid))  # type: ignore[misc]
            refreshes.append(max(_timed(lambda part=part: client.refresh(part), pid) for part in client.parts))  # type: ignore[misc]
        name = "a job" if query.startswith("job=") else f"{page or 'overview'}{f', {query}' if query else ''}"
        rows.append({"page": name, **_told("switch", switches[1:]), **_told("refresh", refreshes[1:])})
        print(rows[-1], file=sys.stderr, flush=True)
    client.close()
    return rows


def _told(what: str, found: list[tuple[float, float]]) -> dict[str, Value]:
    walls, spent = ([each[at] for each in found] for at in (0, 1))
    return {f"{what} ms": median(walls) * 1e3, f"{what}, server CPU ms": sum(spent) / len(spent) * 1e3}


# -------------------------------------------------------------------- a real browser


def painted(port: int, rounds: int) -> list[dict[str, Value]]:
    """What a person waits for; nothing where there is no browser."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        return []
    from playwright.sync_api import sync_playwright

    address, seconds = f"http://127.0.0.1:{port}/", dict[str, list[float]]()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for number in range(rounds + 1):
            found = _walk(browser, address)
            if number:
                for name, took in found.items():
                    seconds.setdefault(name, []).append(took)
        browser.close()
    return [{"in Chromium": name, "s": median(took)} for name, took in seconds.items()]


def _walk(browser: Any, address: str) -> Mapping[str, float]:
    """A window of its own: the first page, another by a click, a job by a click, and back."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    page = context.new_page()
    found = {"first paint": _until(lambda: page.goto(address), lambda: _figures(page).wait_for())}
    page.wait_for_function(_SETTLED)
    jobs = _link(page, "Jobs")
    found["the first page with a grid"] = _until(jobs.click, lambda: _grid(page).wait_for())
    page.wait_for_function(_SETTLED)
    found["page switch, to the overview"] = _until(_link(page, "Overview").click, lambda: _figures(page).wait_for())
    page.wait_for_function(_SETTLED)
    found["page switch"] = _until(jobs.click, lambda: _grid(page).wait_for())
    page.get_by_test_id("glide-cell-2-0").first.wait_for(state="attached")
    page.wait_for_function(_SETTLED)
    box = _grid(page).bounding_box()
    heading = page.get_by_role("heading", name="scan-")
    found["open a job"] = _until(lambda: page.mouse.click(box["x"] + 300, box["y"] + 52), lambda: heading.wait_for())
    back = page.get_by_role("button", name="Back to the list")
    found["back to the list"] = _until(back.click, lambda: _grid(page).wait_for())
    context.close()
    return found


def _link(page: Any, name: str) -> Any:
    return page.get_by_test_id("stSidebar").get_by_role("link", name=name, exact=True)


def _figures(page: Any) -> Any:
    return page.get_by_text("Oldest wait")


def _grid(page: Any) -> Any:
    return page.get_by_test_id("stDataFrame").first


def _until(act: Callable[[], object], seen: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    seen()
    return time.perf_counter() - began


# -------------------------------------------------------------------- the table


def targets(pages: list[dict[str, Value]], painted: list[dict[str, Value]]) -> list[Target]:
    """What was promised."""
    slowest = {name: max(float(row[f"{name} ms"] or 0) for row in pages) / 1e3 for name in ("switch", "refresh")}
    bounds = {"first paint": _PAINT, "page switch": _SWITCH, "open a job": _OPEN}
    return [
        Target("the slowest switch of a page, s", slowest["switch"], _SWITCH),
        Target("the slowest refresh, s", slowest["refresh"], _REFRESH),
        *(
            Target(f"{row['in Chromium']}, in Chromium, s", float(row["s"] or 0), bounds[str(row["in Chromium"])])
            for row in painted
            if row["in Chromium"] in bounds
        ),
    ]


def main() -> None:
    parser = arena.arguments(__doc__)
    for name, usual in (("jobs", 1_000_000), ("files", 100_000), ("rounds", 15)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--spool", type=Path, help="where the spool is, or is made, and stays")
    parser.add_argument("--no-browser", action="store_true", help="leave out what is seen in Chromium")
    options = parser.parse_args()
    arena.interruptible()
    with _spool(options.at, options.spool, options.jobs, options.files) as settings:
        app = open_app(Loaded(settings, {}, None))  # for writing: an older spool is brought up to date
        job = app.index.jobs(None, None, "~", 1)[0].id
        app.close()
        with console(settings.spool) as (port, pid):
            pages = answered(port, pid, options.rounds, job)
            seen = [] if options.no_browser else painted(port, options.rounds)
        kind = arena.kind_of(settings.spool)
    facts = {"file system": kind, "jobs": f"{options.jobs:,}", "files": f"{options.files:,}"}
    whole = Figures("console", arena.command_line(), pages, targets(pages, seen), facts=facts, details=seen)
    figures.publish(whole, options.json)


if __name__ == "__main__":
    main()
