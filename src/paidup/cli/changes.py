"""`paidup changes`: what the app's handlers were told, and what they could not take."""

from __future__ import annotations

import typer

from paidup.cli.host import App, opened
from paidup.cli.output import AsJson, fail, say, show
from paidup.database.tables import StoredChange

app = typer.Typer(
    help="Look at the changes handed to the app's handlers, and hand them out again.", no_args_is_help=True
)

_STATES = ("pending", "done", "failed")


@app.command("list")
def list_changes(
    state: str | None = typer.Option(None, help=f"Only those that are {', '.join(_STATES)}."),
    owner: str | None = typer.Option(None, help="Only this owner's."),
    limit: int = typer.Option(50, min=1, max=1000, help="How many at most, newest first."),
    app_path: str = App,
    as_json: bool = AsJson,
) -> None:
    """List changes, newest first; with the last error of those that handlers could not take."""
    if state is not None and state not in _STATES:
        raise typer.BadParameter(f"choose one of: {', '.join(_STATES)}", param_hint="--state")
    with opened(app_path) as billing:
        rows = [_row(each) for each in billing.changes(state=state, owner=owner, limit=limit)]
    columns = ("id", "owner", "state", "attempts", "available_at", "last_error")
    show(rows, columns, as_json=as_json, empty="no such changes")


@app.command("retry")
def retry_changes(
    change_id: str | None = typer.Argument(None, help="As `paidup changes list` shows it."),
    everything: bool = typer.Option(False, "--all", help="Every change that was given up."),
    app_path: str = App,
    as_json: bool = AsJson,
) -> None:
    """
    Hand a change that was given up to its handlers again; a worker with the app's handlers does it.

    Handlers that have had it are left out. Exit code 1 when no such change was given up.
    """
    if (change_id is None) is not everything:
        raise typer.BadParameter("name a change, or say --all", param_hint="CHANGE_ID")
    with opened(app_path) as billing:
        count = billing.retry_changes(change_id)
    if change_id is not None and not count:
        raise fail(f"no change {change_id!r} was given up; `paidup changes list --state failed` shows those that were")
    say(f"{count} will be handed out again", {"retried": count}, as_json=as_json)


def _row(change: StoredChange) -> dict[str, object]:
    return {
        "id": change.id,
        "kind": change.kind,
        "owner": change.owner,
        "state": change.state,
        "attempts": change.attempts,
        "available_at": change.available_at,
        "lease_until": change.lease_until,
        "last_error": change.last_error,
        "handled": change.handled,
        "created": change.created,
        "customer": change.customer,
        "subscription": change.subscription,
        "invoice": change.invoice,
        "data": change.data,
    }
