"""
The `paidup` command.

Exit codes: 0 done, 1 something failed or was not found, 2 wrong usage or settings. `--json` prints for machines.
"""

from __future__ import annotations

import logging

import typer

from paidup.cli import catalog, changes, credits, db, events, health, queue, reconcile, sync, worker
from paidup.cli.output import run_or_explain

app = typer.Typer(
    name="paidup",
    help=__doc__,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(db.app, name="db")
app.add_typer(catalog.app, name="catalog")
app.add_typer(events.app, name="events")
app.add_typer(changes.app, name="changes")
app.add_typer(credits.app, name="credits")
app.command("health")(health.health)
app.command("queue")(queue.queue)
app.command("reconcile")(reconcile.reconcile)
app.command("sync")(sync.sync)
app.command("worker")(worker.worker)


@app.callback()
def _setup(
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Log what is done, not only what fails."),
) -> None:
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )


def run() -> None:
    """The console script."""
    raise SystemExit(run_or_explain(app))
