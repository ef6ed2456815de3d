"""`paidup reconcile`: the whole account beside what is stored."""

from __future__ import annotations

from collections.abc import Callable

import typer

from paidup.cli.host import App, opened
from paidup.cli.output import AsJson, progress_bars, show, show_json
from paidup.core.customer import Customer
from paidup.core.money import Money
from paidup.core.reconciliation import Reconciliation


def reconcile(
    fix: bool = typer.Option(False, "--fix", help="Mend what is safe, and take in customers whose owner is known."),
    owner_key: str | None = typer.Option(
        None, help="Take in customers nobody here knows: the metadata key at Stripe under which the owner stands."
    ),
    owner_format: str = typer.Option("{}", help='With --owner-key: the owner made of that value, such as "user:{}".'),
    app_path: str = App,
    as_json: bool = AsJson,
) -> None:
    """
    Compare every customer, subscription, invoice, product and price with Stripe, both ways.

    A run that was cut short is gone on with. Exit code 1 when something differs that was not mended.
    """
    if "{}" not in owner_format:
        raise typer.BadParameter("it needs a {} where the value goes", param_hint="--owner-format")
    owner_of = _by_metadata(owner_key, owner_format) if owner_key else None
    with opened(app_path) as billing:
        if as_json:
            report = billing.reconcile(fix=fix, owner_of=owner_of)
        else:
            with progress_bars() as tell:
                report = billing.reconcile(
                    fix=fix, owner_of=owner_of, on_progress=lambda each: tell(each.phase, each.done, each.expected)
                )
    if as_json:
        show_json(report.as_dict())
    else:
        _show(report)
    if not report.is_clean:
        raise typer.Exit(1)


def _by_metadata(key: str, owner_format: str) -> Callable[[Customer], str | None]:
    def owner_of(customer: Customer) -> str | None:
        value = customer.metadata.get(key)
        return owner_format.replace("{}", value) if value else None

    return owner_of


def _show(report: Reconciliation) -> None:
    rows: list[dict[str, object]] = [
        {
            "object": each.object,
            "field": each.field,
            "ours": each.ours,
            "theirs": each.theirs,
            "at_risk": Money(each.amount, each.currency) if each.currency else None,
            "state": each.state,
            "reason": each.reason,
        }
        for each in report.differences
    ]
    columns = ("object", "field", "ours", "theirs", "at_risk", "state", "reason")
    show(rows, columns, as_json=False, empty="nothing differs")
    total = report.found + report.fixed + report.unsafe
    if total > len(rows):
        typer.echo(f"and {total - len(rows)} more")
    compared = ", ".join(f"{number} {kind}s" for kind, number in report.compared.items())
    typer.echo(
        f"compared {compared}: {report.fixed} fixed, {report.found} left, {report.unsafe} for a person to decide"
    )
    if report.adopted or report.foreign or report.in_flight:
        typer.echo(
            f"{report.adopted} customers taken in, {report.foreign} left alone because they are nobody's here, "
            f"{report.in_flight} being synchronised"
        )
    for name, money in (("at risk", report.at_risk), ("mended", report.mended)):
        if money:
            typer.echo(f"{name}: " + ", ".join(str(Money(amount, currency)) for currency, amount in money.items()))
