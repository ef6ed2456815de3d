"""`paidup db`: the tables."""

from __future__ import annotations

import typer

from paidup.billing import Billing
from paidup.cli.output import AsJson, show_json

app = typer.Typer(help="Create paidup's tables, or bring them up to date.", no_args_is_help=True)


@app.command()
def upgrade() -> None:
    """Create paidup's tables in DATABASE_URL, or bring them up to date. Safe to repeat, and to run from two places."""
    billing = Billing.from_env()
    before = billing.database_revision()
    billing.upgrade_database()
    after = billing.database_revision()
    typer.echo(f"the database is at {after}" + ("" if before == after else f" (was {before or 'empty'})"))


@app.command()
def current(as_json: bool = AsJson) -> None:
    """Say which migration the database is at. Exit code 1 when it has none."""
    revision = Billing.from_env().database_revision()
    if as_json:
        show_json({"revision": revision})
    else:
        typer.echo(revision or "none; run `paidup db upgrade`")
    if revision is None:
        raise typer.Exit(1)
