"""`pqfs metrics`: figures for Prometheus, once or to whoever scrapes; a dashboard and alert rules that read them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pqfs.cli import terminal

_SHIPPED = Path(__file__).resolve().parent.parent / "dashboards"


def register(app: typer.Typer) -> None:
    """Add `metrics`."""
    app.command(
        epilog="Examples: pqfs metrics   pqfs metrics --listen 127.0.0.1:9477   pqfs metrics --alerts > pqfs.yml"
    )(metrics)


def metrics(
    context: typer.Context,
    listen: Annotated[
        str | None,
        typer.Option("--listen", help="Answer at http://HOST:PORT/metrics until stopped (127.0.0.1:9477)."),
    ] = None,
    openmetrics: Annotated[bool, typer.Option("--openmetrics", help="Print OpenMetrics instead.")] = False,
    dashboard: Annotated[bool, typer.Option("--dashboard", help="Print a dashboard for Grafana.")] = False,
    alerts: Annotated[bool, typer.Option("--alerts", help="Print alert rules for Prometheus.")] = False,
) -> None:
    """Depth, age, rates, failures, leases, recoveries, room and alarms as text for Prometheus."""
    if dashboard or alerts:
        name = "grafana.json" if dashboard else "alerts.yml"
        terminal.put((_SHIPPED / name).read_text("utf-8").rstrip())
        return
    from pqfs import scrape

    loaded = terminal.loaded(context)
    if listen is None:
        typer.echo(scrape.text(loaded, openmetrics), nl=False)
        return
    from pqfs.scrapeserver import ScrapeServer, address

    host, port = address(listen)
    with ScrapeServer(loaded, host, port) as server:
        terminal.say(f"Metrics at http://{listen_name(host)}:{server.server_address[1]}/metrics; Ctrl-C stops.")
        server.serve_forever()


def listen_name(host: str) -> str:
    """A host as it stands in an address."""
    return f"[{host}]" if ":" in host else host
