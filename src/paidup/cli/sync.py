"""`paidup sync`: bring one owner in step, now."""

from __future__ import annotations

import typer

from paidup.cli.host import App, opened
from paidup.cli.output import AsJson, say


def sync(
    who: str = typer.Argument(help="An owner (user:42) or a Stripe customer (cus_…)."),
    app_path: str = App,
    as_json: bool = AsJson,
) -> None:
    """Fetch a customer's subscriptions and invoices from Stripe and store them. Exit code 1 when that fails."""
    with opened(app_path) as billing:
        billing.sync(who)
    say(f"{who} is in step with Stripe", {"synchronised": who}, as_json=as_json)
