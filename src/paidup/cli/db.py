"""`paidup db`: the tables."""

from __future__ import annotations

import typer

from paidup.cli.host import App, opened
from paidup.cli.output import AsJson, say

app = typer.Typer(help="Create paidup's tables, or bring them up to date.", no_args_is_help=True)


@app.command()
def upgrade(app_path: str = App, as_json: bool = AsJson) -> None:
    """Create paidup's tables in DATABASE_URL, or bring them up to date. Safe to repeat, and to run from two places."""
    with opened(app_path) as billing:
        before = billing.database_revision()
        billing.upgrade_database()
        after = billing.database_revision()
    text = f"the database is at {after}" + ("" if before == after else f" (was {before or 'empty'})")
    say(text, {"revision": after, "was": before}, as_json=as_json)


@app.command()
def current(app_path: str = App, as_json: bool = AsJson) -> None:
    """Say which migration the database is at. Exit code 1 when it has none."""
    with opened(app_path) as billing:
        revision = billing.database_revision()
    say(revision or "none; run `paidup db upgrade`", {"revision": revision}, as_json=as_json)
    if revision is None:
        raise typer.Exit(1)
