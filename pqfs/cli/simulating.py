"""`pqfs simulate-crash`: see with your own eyes that a killed consumer loses nothing."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pqfs.cli import terminal
from pqfs.cli.terminal import Json, Yes

if TYPE_CHECKING:
    from pqfs.cli.drill import Target
    from pqfs.wiring import App


def register(app: typer.Typer) -> None:
    """Add `simulate-crash`."""
    app.command("simulate-crash", epilog="Examples: pqfs simulate-crash -y   pqfs simulate-crash 019ab3 --json -y")(
        simulate_crash
    )


def simulate_crash(
    context: typer.Context,
    job: Annotated[str | None, typer.Argument(metavar="[JOB]", help="The job in whose midst it happens.")] = None,
    timeout: Annotated[str, typer.Option(help="How long to wait for a job that runs.")] = "60s",
    patience: Annotated[str, typer.Option(help="How long to watch what comes of it.")] = "60s",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Kill a consumer in mid-job (SIGKILL), and tell what brings the job back, with times. The job pays one crash.

    Without JOB: a demo job where the built-in handler runs, else whatever runs next. Exit code 3 when the job has
    neither ended nor runs again within --patience.
    """
    from pqfs.cli import drill
    from pqfs.durations import parse_duration

    waits, watches = parse_duration(timeout), parse_duration(patience)
    app = terminal.opened(context)
    try:
        drill.check_crew(app)
        named = app.jobqueue.job(job).id if job else None
        target = _target(app, named, waits, yes)
        raise typer.Exit(_perform(app, target, watches, as_json))
    finally:
        app.close()


def _target(app: App, job: str | None, timeout: float, yes: bool) -> Target:
    """What is to be interrupted, once the person has agreed."""
    from pqfs.cli import drill

    queue = None if job or drill.running_now(app, None) else drill.demo_queue(app)
    if queue:
        terminal.confirm(f"Submit a demo job to queue {queue} and kill the consumer that runs it?", yes)
        return drill.await_running(app, drill.submit_demo(app, queue), timeout, drill.CATCH_EVERY)
    target = drill.await_running(app, job, timeout)
    it = f"{target.consumer.program} (pid {target.consumer.pid}) while it runs {target.running.name}"
    terminal.confirm(f"{drill.cost(app, target)}. Kill {it} ({target.running.job})?", yes)
    return drill.await_running(app, target.running.job, timeout)


def _perform(app: App, target: Target, patience: float, as_json: bool) -> int:
    from pqfs.cli import drill
    from pqfs.story import tell

    paid = drill.cost(app, target)
    at, died_at = drill.kill(app, target)
    _note(app, target, at)
    if not as_json:
        terminal.say(f"{paid}.")
        terminal.put(f"{0.0:8.3f} s  killed {target.consumer.program}, pid {target.consumer.pid}, in mid-job")
    aftermath = drill.Aftermath(app, target, at, died_at)
    steps: list[dict[str, Any]] = []
    for step in aftermath.steps(patience):
        steps.append(asdict(step))
        if not as_json:
            drill.tell(step)
    if as_json:
        facts = {"job": target.running.job, "name": target.running.name, "attempt": target.running.attempt}
        who = {"consumer": target.consumer.program, "pid": target.consumer.pid}
        terminal.put_json("crash", steps, **facts, **who, state=str(aftermath.state), is_well=aftermath.is_well)
    elif not aftermath.is_well:
        terminal.say_error("The job does not run again yet.")
        for sentence in tell(app, app.jobqueue.job(target.running.job)):
            terminal.say(f"      {sentence}")
    return 0 if aftermath.is_well else 3


def _note(app: App, target: Target, at: float) -> None:
    from pqfs.cli.recording import Act, note

    killed = f"{target.consumer.owner} in job {target.running.job}"
    note(app.index, [Act("simulate-crash", reason="a drill", before=killed)], at)
