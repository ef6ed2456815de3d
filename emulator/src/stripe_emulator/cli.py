"""The `stripe-emulator` command."""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from stripe_emulator.bank_accounts import CURRENCIES
from stripe_emulator.engine import Engine
from stripe_emulator.ids import new_id
from stripe_emulator.rate_limits import MODES
from stripe_emulator.resources import webhook_endpoints
from stripe_emulator.server import build_app
from stripe_emulator.serving import server_of
from stripe_emulator.settings import DAY, Settings
from stripe_emulator.state import StateError, Store

HOST = "127.0.0.1"
DunningEnd = Literal["cancel", "unpaid", "past_due"]

app = typer.Typer(add_completion=False)


@app.command()
def serve(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.")] = 8100,
    state: Annotated[Path | None, typer.Option(help="File that keeps everything; without it, memory.")] = None,
    forward_to: Annotated[str | None, typer.Option(help="URL to deliver webhooks to.")] = None,
    webhook_secret: Annotated[str | None, typer.Option(help="Secret that signs them (whsec_...).")] = None,
    events: Annotated[str, typer.Option(help="Event types to deliver, comma separated.")] = "*",
    seed: Annotated[int | None, typer.Option(help="The same ids in every run, and a clock that stands still.")] = None,
    wait_for_webhooks: Annotated[bool, typer.Option(help="Finalise a draft only once its event was taken.")] = False,
    rate_limits: Annotated[str | None, typer.Option(help="Stripe's rate limits: live or sandbox.")] = None,
    search_lag: Annotated[int, typer.Option(help="Seconds until search sees what was written.", min=0)] = 0,
    payment_methods: Annotated[str, typer.Option(help="What Checkout offers, comma separated.")] = "card",
    debit_days: Annotated[float, typer.Option(help="Days until a bank answers a debit.", min=0)] = 4,
    dunning_end: Annotated[str, typer.Option(help="After the last retry: cancel, unpaid or past_due.")] = "cancel",
) -> None:
    """Serve an emulated Stripe until interrupted."""
    if dunning_end not in ("cancel", "unpaid", "past_due"):
        raise typer.BadParameter("cancel, unpaid or past_due", param_hint="--dunning-end")
    if rate_limits is not None and rate_limits not in MODES:
        raise typer.BadParameter("live or sandbox", param_hint="--rate-limits")
    if webhook_secret is not None and not webhook_secret.startswith("whsec_"):
        raise typer.BadParameter("a signing secret begins with whsec_", param_hint="--webhook-secret")
    end: DunningEnd = dunning_end  # type: ignore[assignment]  # one of the three, checked above
    offered = tuple(type.strip() for type in payment_methods.split(","))
    if not set(offered) <= {"card", *CURRENCIES}:
        raise typer.BadParameter(f"card, {', '.join(CURRENCIES)}", param_hint="--payment-methods")
    listener = _listen(port)
    limits = MODES.get(rate_limits or "")
    settings = Settings(
        dunning_end=end,
        wait_for_webhooks=wait_for_webhooks,
        rate_limits=limits,
        search_lag=search_lag,
        payment_method_types=offered,
        debit_settles_after=round(debit_days * DAY),
    )
    engine = Engine(_store(state), settings=settings, seed=seed)
    engine.base_url = f"http://{HOST}:{listener.getsockname()[1]}"
    if forward_to is not None:
        secret = _forward(engine, forward_to, webhook_secret, events.split(","))
        typer.echo(f"webhooks go to {forward_to}, signed with {secret}")
    typer.echo(f"Stripe is emulated at {engine.base_url}" + (f", kept in {state}" if state else ", in memory"))
    typer.echo(f"Workbench: {engine.base_url}/workbench")
    try:
        server_of(build_app(engine)).run(sockets=[listener])
    finally:
        engine.store.close()


def run() -> None:
    """The entry point; SIGTERM ends as Ctrl-C does, without a traceback."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(0)


def _listen(port: int) -> socket.socket:
    # The protocol is named, because asyncio turns Nagle's algorithm off only then; it costs 40 ms an answer.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        typer.echo(f"port {port} is taken ({error.strerror}); choose another with --port", err=True)
        raise typer.Exit(1) from error
    return listener


def _store(path: Path | None) -> Store:
    try:
        return Store(path)
    except StateError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


def _forward(engine: Engine, url: str, secret: str | None, enabled_events: list[str]) -> str:
    with engine.transaction():
        for found in list(engine.store.scan("webhook_endpoint")):
            if found["url"] == url:
                endpoint = engine.find("webhook_endpoint", found["id"])
                endpoint["enabled_events"] = enabled_events
                if secret is not None:
                    endpoint["_secrets"] = [secret]
                return str(endpoint["_secrets"][0])
        made = webhook_endpoints.make(engine, url, secret=secret or new_id("whsec"), enabled_events=enabled_events)
        return str(made["_secrets"][0])


__all__ = ["app", "run"]
