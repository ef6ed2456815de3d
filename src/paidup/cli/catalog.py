"""`paidup catalog`: the plans file and Stripe."""

from __future__ import annotations

import typer

from paidup.billing import Billing
from paidup.catalog.apply import Step
from paidup.cli.output import AsJson, show, show_json

app = typer.Typer(help="Show the plans, and create them at Stripe.", no_args_is_help=True)


@app.command("push")
def push_plans(as_json: bool = AsJson) -> None:
    """
    Create or update products, prices and the portal's configuration at Stripe, as the plans file says.

    Safe to repeat: a second run does nothing. A changed amount makes a new price; subscribers of the old one keep it.
    """
    billing = Billing.from_env()
    steps = billing.push_catalog(on_step=None if as_json else _tell)
    if as_json:
        show_json([{"action": each.action, "kind": each.kind, "subject": each.subject} for each in steps])
    elif not steps:
        typer.echo("Stripe has everything already")


@app.command("show")
def show_plans(as_json: bool = AsJson) -> None:
    """Show the plans as they are read from the plans file."""
    rows: list[dict[str, object]] = [
        {
            "plan": plan.key,
            "name": plan.name,
            "group": plan.group,
            "prices": ", ".join(f"{p.amount} {p.currency}/{p.interval}" for p in plan.prices) or "free",
            "features": ", ".join(sorted(plan.features)) or None,
            "limits": ", ".join(f"{k}={'unlimited' if v is None else v}" for k, v in plan.limits.items()) or None,
            "trial_days": plan.trial_days,
        }
        for plan in Billing.from_env().catalog.plans
    ]
    columns = ("plan", "name", "group", "prices", "features", "limits", "trial_days")
    show(rows, columns, as_json=as_json, empty="no plans")


def _tell(step: Step) -> None:
    typer.echo(f"{step.action:>8}  {step.kind:<8} {step.subject}: {step.detail}")
