"""`paidup worker`: the worker in a process of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import prometheus_client
import typer

from paidup.billing import Billing
from paidup.cli.host import App, opened
from paidup.cli.output import fail


def worker(
    app_path: str = App,
    threads: int = typer.Option(4, min=1, max=64, help="How many customers are synchronised side by side."),
    handler_threads: int = typer.Option(4, min=1, max=64, help="For how many owners handlers are called side by side."),
    once: bool = typer.Option(False, "--once", help="Process what there is, then end; exit code 1 if some is left."),
    metrics: str | None = typer.Option(
        None, help="Serve Prometheus metrics at this address, such as 127.0.0.1:9464; to whom is your network's task."
    ),
    timeout: float = typer.Option(30, min=0, help="With --once: seconds after which it ends all the same."),
) -> None:
    """
    Process webhooks: synchronise what they name, and hand changes to the app's handlers.

    Any number may run, on any machine. SIGTERM and Ctrl-C let what is under way finish, for PAIDUP_DRAIN_SECONDS, a
    second one ends at once; exit code 1 when something still ran, which is tried again. Without --app changes are left
    for a worker that knows the app's handlers.
    """
    if once and metrics is not None:
        raise fail("--metrics is for a worker that stays, not for --once", code=2)
    with opened(app_path) as billing:
        found = billing.worker(threads=threads, handler_threads=handler_threads, deliver_changes=app_path is not None)
        if once:
            try:
                found.run_until_idle(timeout)
            except TimeoutError as error:
                raise fail(f"{error}; `paidup queue` shows it") from error
            return
        with _served(billing, metrics):
            typer.echo("paidup worker is running")
            is_clean = found.run_forever()
        typer.echo("paidup worker has ended" if is_clean else "paidup worker has ended before its work")
        if not is_clean:
            # What still runs, such as a call without an answer, would hold the end of this process up.
            sys.stdout.flush()
            os._exit(1)


@contextmanager
def _served(billing: Billing, address: str | None) -> Iterator[None]:
    """Metrics at `host:port`, of this process and of the database."""
    if address is None:
        yield
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
        raise fail(f"--metrics {address!r} is not of the form host:port", code=2)
    collector = billing.health_metrics()
    prometheus_client.REGISTRY.register(collector)
    try:
        server, thread = prometheus_client.start_http_server(int(port), host)
    except OSError as error:
        raise fail(f"metrics cannot be served at {address}: {error.strerror}", code=2) from error
    typer.echo(f"metrics at http://{address}/metrics")
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        prometheus_client.REGISTRY.unregister(collector)
