"""`paidup events`: what Stripe sent, and what became of it."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime

import typer

from paidup import inbox
from paidup.cli.host import App, opened
from paidup.cli.output import AsJson, fail, progress_bars, say, show, show_json
from paidup.database.tables import StoredEvent

app = typer.Typer(help="Look at received webhooks, and process them again.", no_args_is_help=True)

_STATES = ("pending", "done", "ignored", "failed")


def _checked(state: str | None) -> str | None:
    if state is not None and state not in _STATES:
        raise typer.BadParameter(f"choose one of: {', '.join(_STATES)}")
    return state


State = typer.Option(None, callback=_checked, help=f"Only those that are {', '.join(_STATES)}.")
Type = typer.Option(None, help="Only this type; invoice.* for all of a kind.")
OfCustomer = typer.Option(None, help="Only those that lead to this customer, given by cus_… or by the owner.")
Reason = typer.Option(None, help="Only those ignored for this reason, such as unknown_type.")
Since = typer.Option(None, help="Only those received since then (UTC).")
Before = typer.Option(None, help="Only those received before then (UTC).")


@app.command("list")
def list_events(
    state: str | None = State,
    type: str | None = Type,
    customer: str | None = OfCustomer,
    reason: str | None = Reason,
    since: datetime | None = Since,
    before: datetime | None = Before,
    limit: int = typer.Option(50, min=1, max=1000, help="How many at most, newest first; --before pages back."),
    app_path: str = App,
    as_json: bool = AsJson,
) -> None:
    """List received events, newest first."""
    with opened(app_path) as billing:
        found = billing.events(
            state=state,
            type=type,
            customer=customer,
            reason=reason,
            since=_in_utc(since),
            before=_in_utc(before),
            limit=limit,
        )
    columns = ("id", "type", "state", "reason", "target", "received_at", "deliveries")
    show([_row(each) for each in found], columns, as_json=as_json, empty="no such events")


@app.command("show")
def show_event(event_id: str = typer.Argument(help="evt_…"), app_path: str = App, as_json: bool = AsJson) -> None:
    """Show one event with its payload, if that is kept. Exit code 1 when there is no such event."""
    with opened(app_path) as billing:
        found, asked_in = billing.event(event_id), billing.gateway.api_version
    is_signed = found.secret != inbox.FROM_API
    row = _row(found) | {"error": found.error, "api_version": found.api_version, "asked_in": asked_in}
    payload = json.loads(found.payload) if found.payload else None
    if as_json:
        show_json(row | {"secret": found.secret if is_signed else None, "payload": payload})
        return
    row["secret"] = found.secret if is_signed else "from the API"
    for name, value in row.items():
        typer.echo(f"{name:>12}  {'-' if value is None else value}")
    typer.echo(json.dumps(payload, indent=2) if payload else "(payloads are not kept)")


@app.command("replay")
def replay_events(
    event_id: str | None = typer.Argument(None, help="evt_…; without it, all that the options describe."),
    state: str | None = State,
    type: str | None = Type,
    customer: str | None = OfCustomer,
    reason: str | None = Reason,
    since: datetime | None = Since,
    before: datetime | None = Before,
    app_path: str = App,
    as_json: bool = AsJson,
) -> None:
    """
    Process an event again, or many: what they name is fetched from Stripe and stored anew. A worker does it.

    Exit code 1 when there is no such event, or when it names nothing to fetch.
    """
    described = (state, type, customer, reason, since, before)
    if (event_id is None) is (not any(described)):
        raise fail("name an event, or describe some with --state, --type, --customer, --reason or a time", code=2)
    with opened(app_path) as billing:
        if event_id is None:
            count = billing.replay_events(
                state=state,
                type=type,
                customer=customer,
                reason=reason,
                since=_in_utc(since),
                before=_in_utc(before),
            )
            say(f"{count} events will be processed again", {"replayed": count}, as_json=as_json)
            return
        if billing.event(event_id).target is None:
            raise fail(f"{event_id} was ignored and names nothing to fetch")
        billing.replay(event_id)
    say(f"{event_id} will be processed again", {"replayed": event_id}, as_json=as_json)


@app.command("fill")
def fill_events(app_path: str = App, as_json: bool = AsJson) -> None:
    """
    Fetch the events that never came from Stripe, which lists them for 30 days. A worker processes them.

    It is safe to repeat. Exit code 1 when Stripe or the database fails; the next fill begins where this one began.
    """
    with opened(app_path) as billing:
        if as_json:
            filled = billing.fill_missed_events()
        else:
            with progress_bars() as tell:
                filled = billing.fill_missed_events(on_progress=lambda each: tell(each.phase, each.done, each.expected))
    said = f"{filled.stored} of {filled.found} events had never come"
    if filled.window_exceeded:
        said += "; there may be older ones than Stripe lists, so run `paidup reconcile --fix`"
    say(said, asdict(filled), as_json=as_json)


def _row(event: StoredEvent) -> dict[str, object]:
    return {
        "id": event.id,
        "type": event.type,
        "state": event.state,
        "reason": event.reason,
        "target": event.target,
        "created": event.created,
        "received_at": event.received_at,
        "processed_at": event.processed_at,
        "deliveries": event.deliveries,
        "source": "api" if event.secret == inbox.FROM_API else "webhook",
    }


def _in_utc(given: datetime | None) -> datetime | None:
    return given.replace(tzinfo=UTC) if given else None
