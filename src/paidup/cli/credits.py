"""`paidup credits`: what an owner has left and why, and units given by hand."""

from __future__ import annotations

import typer

from paidup.cli.host import App, opened
from paidup.cli.output import AsJson, say, show

app = typer.Typer(help="Look at an owner's credits, and give some by hand.", no_args_is_help=True)


@app.command("show")
def show_credits(
    owner: str = typer.Argument(help="An owner, such as user:42."),
    app_path: str = App,
    as_json: bool = AsJson,
) -> None:
    """How many units of each credit an owner has; below zero is a debt, as paid money went back."""
    with opened(app_path) as billing:
        names = {key: each.name for key, each in billing.catalog.credits.items()}
        rows: list[dict[str, object]] = [
            {"credit": key, "name": names.get(key), "balance": units} for key, units in billing.credits(owner).items()
        ]
    show(rows, ("credit", "name", "balance"), as_json=as_json, empty="the plans file has no credits")


@app.command("list")
def list_entries(
    owner: str = typer.Argument(help="An owner, such as user:42."),
    credit: str | None = typer.Option(None, help="Only this credit, by its key."),
    limit: int = typer.Option(50, min=1, max=1000, help="How many at most, newest first."),
    app_path: str = App,
    as_json: bool = AsJson,
) -> None:
    """List what has changed an owner's balances, newest first."""
    with opened(app_path) as billing:
        rows: list[dict[str, object]] = [
            {
                "number": each.number,
                "created": each.created,
                "credit": each.credit,
                "units": each.units,
                "kind": each.kind,
                "invoice": each.invoice,
                "note": each.note,
            }
            for each in billing.credit_entries(owner, credit=credit, limit=limit)
        ]
    columns = ("number", "created", "credit", "units", "kind", "invoice", "note")
    show(rows, columns, as_json=as_json, empty="no entries")


@app.command("give")
def give(
    owner: str = typer.Argument(help="An owner, such as user:42."),
    credit: str = typer.Argument(help="The credit's key in the plans file."),
    units: int = typer.Argument(min=1, help="How many."),
    key: str = typer.Option(help="What this is about, such as ticket:81: the same key gives nothing twice."),
    note: str | None = typer.Option(None, help="Why, for whoever looks later."),
    app_path: str = App,
    as_json: bool = AsJson,
) -> None:
    """Give an owner units of a credit, once per key. Exit code 1 when the key was used for something else."""
    with opened(app_path) as billing:
        balance = billing.give_credits(owner, credit, units, key=key, note=note)
    say(f"{owner} has {balance} {credit}", {"owner": owner, "credit": credit, "balance": balance}, as_json=as_json)
