"""`paidup queue`: what is not in step with Stripe."""

from __future__ import annotations

import typer

from paidup.cli.host import App, opened
from paidup.cli.output import AsJson, say, show


def queue(
    limit: int = typer.Option(50, min=1, max=1000, help="How many at most, the longest waiting first."),
    kind: str | None = typer.Option(None, help="Only this kind of object, such as customer, product or price."),
    failed: bool = typer.Option(False, "--failed", help="Only what was given up on."),
    retry: bool = typer.Option(False, "--retry", help="Start everything again that was given up on; a worker does it."),
    app_path: str = App,
    as_json: bool = AsJson,
) -> None:
    """List what waits to be synchronised, and what was given up on. Exit code 1 when something was given up on."""
    with opened(app_path) as billing:
        if retry:
            count = billing.retry_queue()
            say(f"{count} will be synchronised again", {"retried": count}, as_json=as_json)
            return
        targets = billing.queue(limit=limit, kind=kind, only_failed=failed)
    rows: list[dict[str, object]] = [
        {
            "target": each.target,
            "behind": each.requested - each.applied,
            "attempts": each.attempts,
            "available_at": each.available_at,
            "gave_up_at": each.gave_up_at,
            "last_error": each.last_error,
        }
        for each in targets
    ]
    columns = ("target", "behind", "attempts", "available_at", "gave_up_at", "last_error")
    show(rows, columns, as_json=as_json, empty="everything is in step")
    if any(row["gave_up_at"] for row in rows):
        raise typer.Exit(1)
