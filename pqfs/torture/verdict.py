"""What must be true when a storm is over, and every sentence that says where it is not. Pure: judges an Account.

Lost: a payload that was brought and is neither an output nor where its job's end puts it. Doubled: one payload, two
jobs or two outputs. Torn: an output or an input that is not, byte for byte, what it should be. Early: an output that
could be seen before its row was committed. Stuck: what had not ended by itself in time. Charged: a failure or a crash
that nobody of ours caused. Undone: an act that was acknowledged and is not true any more. Broken: what fsck found,
what was left running, what fell and should not have.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pqfs.model import State
from pqfs.naming import id12, output_id12
from pqfs.torture import charges, steering
from pqfs.torture.account import Account, Output, Sent
from pqfs.torture.plan import SPARING
from pqfs.torture.recoveries import Recovery, slowest_job, slowest_work

WORDS = ("lost", "doubled", "torn", "early", "stuck", "charged", "undone", "broken")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a storm. `wrong` has a list of sentences for each of WORDS; empty ones are as it should be.

    `small` is what came of its part on a small disk, or why there was none; None where none was asked for.
    """

    seed: int
    seconds: float
    sent: int
    out: int
    ends: Mapping[str, int]
    wrong: Mapping[str, list[str]]
    kills: Mapping[str, int]
    settled: float | None
    slowest_work: Recovery | None
    slowest_job: Recovery | None
    small: Mapping[str, Any] | None

    @property
    def exit_code(self) -> int:
        """0 all good, 1 something is wrong, 3 it did not end in time and nothing else is wrong."""
        others = sum(len(found) for word, found in self.wrong.items() if word != "stuck")
        return 1 if others or not self.sent else 3 if self.wrong["stuck"] else 0

    @property
    def survived(self) -> int:
        """Acts that ended processes with SIGKILL."""
        return sum(number for kind, number in self.kills.items() if kind not in SPARING)


def judge(account: Account) -> Verdict:
    """Hold everything against what was brought."""
    rules: dict[str, Callable[[Account], Iterator[str]]] = {
        "lost": _lost, "doubled": _doubled, "torn": _torn, "early": _early, "stuck": _stuck,
        "charged": charges.wrong, "undone": steering.undone, "broken": _broken,
    }  # fmt: skip
    ending = account.ending
    return Verdict(
        seed=ending["seed"],
        seconds=ending["raged"],
        sent=len(_arrived(account)),
        out=len({output.found.number for output in account.outputs}),
        ends=dict(Counter(str(job.state) for job in account.jobs.values())),
        wrong={word: [*rules[word](account), *_on_small_disk(account, word)] for word in WORDS},
        kills=_kills(account),
        settled=ending["settled"],
        slowest_work=slowest_work(account),
        slowest_job=slowest_job(account),
        small={name: value for name, value in account.small.items() if name != "wrong"} if account.small else None,
    )


def _on_small_disk(account: Account, word: str) -> Iterator[str]:
    found = (account.small or {}).get("wrong", {}).get(word, ())
    yield from (f"on the small disk: {sentence}" for sentence in found)


def _kills(account: Account) -> dict[str, int]:
    """Acts by kind: those of chaos, and the commands that were killed on their way."""
    verbs = sum(line["kind"] == "verb" for line in account.kills)
    return {**account.ending["counts"], "command": verbs}


def _arrived(account: Account) -> set[int]:
    """The payloads that were brought for certain, and those of killed submits that came nevertheless."""
    certain = {number for number, sent in account.sent.items() if sent.is_certain}
    return certain | (set(_jobs_by_number(account)) & set(account.sent))


def _jobs_by_number(account: Account) -> dict[int, set[str]]:
    """Which jobs each payload has become, as inputs and outputs tell."""
    found: dict[int, set[str]] = defaultdict(set)
    for each in account.inputs:
        if each.number is not None and each.job:
            found[each.number].add(each.job)
    for output in account.outputs:
        if output.found.number is not None and output.found.job:
            found[output.found.number].add(output.found.job)
    return found


# -------------------------------------------------------------------- lost


def _lost(account: Account) -> Iterator[str]:
    jobs = _jobs_by_number(account)
    deleted = {act.name for act in account.deleted().values()}
    waiting = {each.number for each in account.inputs if each.job is None}
    for number, sent in account.sent.items():
        if sent.is_certain and number not in jobs and sent.name not in deleted and number not in waiting:
            yield f"{_called(sent)} is nowhere"
        if sent.job and number in jobs and jobs[number] != {sent.job}:
            yield f"{_called(sent)} was submitted as job {sent.job} and is {', '.join(sorted(jobs[number]))}"
    yield from _lost_outputs(account)
    yield from _lost_inputs(account)


def _called(sent: Sent) -> str:
    return f"payload {sent.number} ({sent.name}, brought by {sent.way} for {sent.queue}, {sent.behaviour})"


def _lost_outputs(account: Account) -> Iterator[str]:
    there = {output.name for output in account.outputs}
    for job in account.jobs.values():
        if job.state is State.COMPLETED and job.output not in there:
            yield f"job {job.id} is completed, and its output {job.output} is nowhere"
    for line in account.seen:
        if line["output"] not in there:
            yield f"the output {line['output']} was seen, and is nowhere any more"


def _lost_inputs(account: Account) -> Iterator[str]:
    there = {each.job for each in account.inputs}
    for job in account.jobs.values():
        if job.id not in there and job.id not in account.deleted():
            yield f"the payload of job {job.id} ({job.state}) is nowhere"
    for each in account.inputs:
        if each.path.startswith("rejected/"):
            yield f"{each.path} was refused, and nothing was wrong with it"


# -------------------------------------------------------------------- doubled, torn, early


def _doubled(account: Account) -> Iterator[str]:
    for number, jobs in _jobs_by_number(account).items():
        if len(jobs) > 1:
            yield f"payload {number} has become {len(jobs)} jobs: {', '.join(sorted(jobs))}"
    for what, names in (("payload", _by_number(account)), ("job", _by_job(account))):
        for key, found in names.items():
            if len(found) > 1:
                yield f"{what} {key} has {len(found)} outputs: {', '.join(sorted(found))}"
    inputs = Counter(each.job for each in account.inputs if each.job)
    yield from (f"the payload of job {job} lies in {number} places" for job, number in inputs.items() if number > 1)


def _by_number(account: Account) -> dict[int, list[str]]:
    found: dict[int, list[str]] = defaultdict(list)
    for output in account.outputs:
        if output.found.number is not None:
            found[output.found.number].append(output.name)
    return found


def _by_job(account: Account) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for output in account.outputs:
        found[output_id12(output.name) or ""].append(output.name)
    return found


def _torn(account: Account) -> Iterator[str]:
    rows = {job.output: job for job in account.jobs.values() if job.output}
    first = {line["output"]: line["sha256"] for line in account.seen if line["what"] == "seen"}
    for output in account.outputs:
        yield from (f"the output {output.name}: {flaw}" for flaw in _flaws(account, output))
        row = rows.get(output.name)
        if row and row.output_sha256 != output.sha256:
            yield f"the output {output.name} is not what its row's hash says"
        if first.get(output.name, output.sha256) != output.sha256:
            yield f"the output {output.name} has changed since it was first seen"
    for each in account.inputs:
        sent = account.sent.get(each.number) if each.number is not None else None
        if sent is None or sent.sha256 != each.sha256:
            yield f"{each.path} is not what was brought"


def _flaws(account: Account, output: Output) -> Iterator[str]:
    found = output.found
    sent = account.sent.get(found.number) if found.number is not None else None
    if found.flaw or sent is None:
        yield found.flaw or "nothing like its payload was brought"
        return
    if found.sha256 != sent.sha256:
        yield f"its payload is not the one that was brought as number {sent.number}"
    if sent.way == "sidecar" and found.metadata != sent.number:
        yield f"the sidecar of payload {sent.number} has not counted"
    if found.job is None or id12(found.job) != output_id12(output.name):
        yield f"it is named for another job than {found.job}, which made it"


def _early(account: Account) -> Iterator[str]:
    deleted = {id12(job) for job in account.deleted()}
    for line in account.seen:
        for flaw in line.get("wrong", ()):
            if flaw != "no row" or output_id12(line["output"]) not in deleted:
                yield f"the output {line['output']}, when it was first seen: {flaw}"


# -------------------------------------------------------------------- stuck, broken


def _stuck(account: Account) -> Iterator[str]:
    yield from account.ending["stuck"]


def _broken(account: Account) -> Iterator[str]:
    ending = account.ending
    yield from (f"fsck: {finding}" for finding in ending["fsck"])
    yield from ending["troubles"]
    if ending["left_running"]:
        yield f"{ending['left_running']} processes of the stack were left running after `pqfs down`"
    for job in account.jobs.values():
        done = [each.attempt for each in account.attempts[job.id] if each.outcome == "done"]
        if len(done) > 1 or bool(done) != (job.state is State.COMPLETED):
            yield f"job {job.id} is {job.state}, and its attempts {done} are told to have completed it"
