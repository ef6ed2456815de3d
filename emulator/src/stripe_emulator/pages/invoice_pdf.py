"""What an invoice's PDF says, and where on the paper."""

from __future__ import annotations

from stripe_emulator.hosted import InvoicePageView, LineView
from stripe_emulator.pages import formats
from stripe_emulator.pages.pdf import Document, encodable

_LEFT, _RIGHT = 56, 539
_QUANTITY, _UNIT = 360, 450
_TOP, _BOTTOM = 780, 90


def invoice_pdf(view: InvoicePageView) -> bytes:
    """The invoice as a PDF, A4. Letters that the standard fonts lack are shown as `?`."""
    document = Document(title=f"Invoice {view.number or view.id}")
    y = _heading(document, view)
    y = _line_items(document, view, y)
    _totals(document, view, y)
    for number in range(document.page_count):
        document.on_page(number)
        document.text(_LEFT, 48, f"TEST MODE - emulated Stripe - not a real invoice - {view.id}", size=8, gray=0.4)
        document.text(_RIGHT, 48, f"Page {number + 1} of {document.page_count}", size=8, gray=0.4, align="right")
    return document.render()


def _heading(document: Document, view: InvoicePageView) -> float:
    document.text(_LEFT, _TOP, "Invoice", size=24, bold=True)
    document.text(_RIGHT, _TOP, view.merchant_name, size=13, bold=True, align="right")
    y = _TOP - 36.0
    facts = [("Invoice number", view.number or "Draft"), ("Date of issue", formats.day(view.created))]
    if view.due_date:
        facts.append(("Date due", formats.day(view.due_date)))
    for name, value in facts:
        document.text(_LEFT, y, name, size=10, gray=0.4)
        document.text(_LEFT + 100, y, value, size=10)
        y -= 15
    y -= 18
    document.text(_LEFT, y, "Bill to", size=10, bold=True)
    for line in filter(None, (view.customer_name, view.customer_email)):
        y -= 15
        document.text(_LEFT, y, line, size=10)
    y -= 40
    document.text(_LEFT, y, _headline(view), size=16, bold=True)
    return y - 40


def _line_items(document: Document, view: InvoicePageView, y: float) -> float:
    y = _columns(document, y)
    for line in view.lines:
        y -= 20
        if y < _BOTTOM + 20:
            document.new_page()
            y = _columns(document, _TOP) - 20
        document.text(_LEFT, y, line.name, size=10, width=_QUANTITY - 50 - _LEFT)
        document.text(_QUANTITY, y, str(line.quantity), size=10, align="right")
        document.text(_UNIT, y, _unit(line), size=10, align="right")
        document.text(_RIGHT, y, _money(line.amount, line.currency), size=10, align="right")
        if line.description:
            y -= 13
            document.text(_LEFT, y, line.description, size=8, gray=0.4, width=_QUANTITY - _LEFT)
    y -= 12
    document.rule(_LEFT, _RIGHT, y)
    return y


def _columns(document: Document, y: float) -> float:
    for x, name in ((_QUANTITY, "Qty"), (_UNIT, "Unit price"), (_RIGHT, "Amount")):
        document.text(x, y, name, size=8, gray=0.4, align="right")
    document.text(_LEFT, y, "Description", size=8, gray=0.4)
    document.rule(_LEFT, _RIGHT, y - 7)
    return y - 7


def _totals(document: Document, view: InvoicePageView, y: float) -> None:
    tax = [("Tax", view.tax)] if view.tax else []
    rows = [("Subtotal", view.subtotal), *tax, ("Total", view.total), ("Amount paid", view.amount_paid)]
    if y - 20 * (len(rows) + 1) < _BOTTOM:
        document.new_page()
        y = _TOP
    for name, amount in rows:
        y -= 20
        document.text(_QUANTITY - 12, y, name, size=10)
        document.text(_RIGHT, y, _money(amount, view.currency), size=10, align="right")
    y -= 20
    document.text(_QUANTITY - 12, y, "Amount due", size=10, bold=True)
    document.text(_RIGHT, y, _money(view.amount_remaining, view.currency), size=10, bold=True, align="right")


def _headline(view: InvoicePageView) -> str:
    match view.status:
        case "paid":
            return f"{_money(view.amount_paid, view.currency)} paid"
        case "void":
            return f"{_money(view.total, view.currency)} void"
        case "uncollectible":
            return f"{_money(view.amount_remaining, view.currency)} uncollectible"
        case _ if view.due_date:
            return f"{_money(view.amount_remaining, view.currency)} due {formats.day(view.due_date)}"
        case _:
            return f"{_money(view.amount_remaining, view.currency)} due"


def _unit(line: LineView) -> str:
    return _money(line.unit_amount, line.currency)


def _money(amount: int, currency: str) -> str:
    text = formats.money(amount, currency)
    return text if encodable(text) else formats.money_with_code(amount, currency)
