"""`paidup health`: is billing well?"""

from __future__ import annotations

from dataclasses import asdict

import typer

from paidup.cli.host import App, opened
from paidup.cli.output import AsJson, show, show_json
from paidup.core.health import Health


def health(app_path: str = App, as_json: bool = AsJson) -> None:
    """
    Say how the work goes, what somebody should look at, and what to type. Stripe is not asked.

    Exit code 1 when something is wrong; notes alone are no wrong.
    """
    with opened(app_path) as billing:
        found = billing.health()
    if as_json:
        findings = [asdict(each) for each in found.findings]
        show_json({"is_well": found.is_well, "findings": findings, "facts": _facts(found)})
    else:
        lag = ", ".join(f"{name} {seconds} s" for name, seconds in found.facts.lag.items()) or "nothing was processed"
        typer.echo(f"{found.facts.waiting} targets wait; lag within the last hour: {lag}")
        rows = [asdict(each) for each in found.findings]
        show(rows, ("severity", "message", "todo"), as_json=False, empty="all is well")
    if not found.is_well:
        raise typer.Exit(1)


def _facts(found: Health) -> dict[str, object]:
    facts = asdict(found.facts)
    facts["reconcile_every"] = found.facts.reconcile_every.total_seconds()
    return facts
