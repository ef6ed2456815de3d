"""`paidup catalog`: the plans file and Stripe."""

from __future__ import annotations

import typer

from paidup.catalog.apply import Step, preview
from paidup.cli.host import App, opened
from paidup.cli.output import AsJson, show, show_json

app = typer.Typer(help="Show the plans, compare them with Stripe, and create them there.", no_args_is_help=True)


@app.command("push")
def push_plans(app_path: str = App, as_json: bool = AsJson) -> None:
    """
    Create or update products, prices and the portal's configuration at Stripe, as the plans file says.

    Safe to repeat: a second run does nothing. A changed amount makes a new price; subscribers of the old one keep it.
    """
    with opened(app_path) as billing:
        steps = billing.push_catalog(on_step=None if as_json else _tell)
    if as_json:
        show_json([_row(each) for each in steps])
    elif not steps:
        typer.echo("Stripe has everything already")


@app.command("diff")
def diff_plans(app_path: str = App, as_json: bool = AsJson) -> None:
    """Say what `push` would do, without doing it. Exit code 1 when Stripe differs from the plans file."""
    with opened(app_path) as billing:
        steps = preview(billing.catalog, billing.gateway)
    if as_json:
        show_json([_row(each) for each in steps])
    elif not steps:
        typer.echo("Stripe has everything already")
    for step in [] if as_json else steps:
        _tell(step)
    if steps:
        raise typer.Exit(1)


@app.command("show")
def show_plans(app_path: str = App, as_json: bool = AsJson) -> None:
    """Show the plans as they are read from the plans file."""
    with opened(app_path) as billing:
        plans = billing.catalog.plans
    rows: list[dict[str, object]] = [
        {
            "plan": plan.key,
            "name": plan.name,
            "group": plan.group,
            "prices": ", ".join(
                f"{amount} {currency}/{price.interval}"
                for price in plan.prices
                for currency, amount in price.amounts.items()
            )
            or "free",
            "features": ", ".join(sorted(plan.features)) or None,
            "limits": ", ".join(f"{k}={'unlimited' if v is None else v}" for k, v in plan.limits.items()) or None,
            "trial_days": plan.trial_days,
        }
        for plan in plans
    ]
    columns = ("plan", "name", "group", "prices", "features", "limits", "trial_days")
    show(rows, columns, as_json=as_json, empty="no plans")


def _row(step: Step) -> dict[str, object]:
    return {"action": step.action, "kind": step.kind, "subject": step.subject, "detail": step.detail}


def _tell(step: Step) -> None:
    typer.echo(f"{step.action:>8}  {step.kind:<8} {step.subject}: {step.detail}")
