"""`paidup sync`: bring one owner in step, now."""

from __future__ import annotations

import typer

from paidup.cli.host import App, billing_of


def sync(
    who: str = typer.Argument(help="An owner (user:42) or a Stripe customer (cus_…)."),
    app_path: str = App,
) -> None:
    """Fetch a customer's subscriptions and invoices from Stripe and store them. Exit code 1 when that fails."""
    billing_of(app_path).sync(who)
    typer.echo(f"{who} is in step with Stripe")
