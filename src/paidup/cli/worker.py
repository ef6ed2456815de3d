"""`paidup worker`: the worker in a process of its own."""

from __future__ import annotations

import os
import sys

import typer

from paidup.cli.host import App, opened
from paidup.cli.output import fail


def worker(
    app_path: str = App,
    threads: int = typer.Option(4, min=1, max=64, help="How many customers are synchronised side by side."),
    handler_threads: int = typer.Option(4, min=1, max=64, help="For how many owners handlers are called side by side."),
    once: bool = typer.Option(False, "--once", help="Process what there is, then end; exit code 1 if some is left."),
    timeout: float = typer.Option(30, min=0, help="With --once: seconds after which it ends all the same."),
) -> None:
    """
    Process webhooks: synchronise what they name, and hand changes to the app's handlers.

    Any number may run, on any machine. SIGTERM and Ctrl-C let what is under way finish, for PAIDUP_DRAIN_SECONDS, a
    second one ends at once; exit code 1 when something still ran, which is tried again. Without --app changes are left
    for a worker that knows the app's handlers.
    """
    with opened(app_path) as billing:
        found = billing.worker(threads=threads, handler_threads=handler_threads, deliver_changes=app_path is not None)
        if once:
            try:
                found.run_until_idle(timeout)
            except TimeoutError as error:
                raise fail(f"{error}; `paidup queue` shows it") from error
            return
        typer.echo("paidup worker is running")
        is_clean = found.run_forever()
        typer.echo("paidup worker has ended" if is_clean else "paidup worker has ended before its work")
        if not is_clean:
            # What still runs, such as a call without an answer, would hold the end of this process up.
            sys.stdout.flush()
            os._exit(1)
