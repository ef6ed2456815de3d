"""
The forms: what was typed, what is wrong with it, and where an answer leads.

A card is checked for slips of the pen before the emulator's bank is asked, each message under the field it is about.
The card number, its expiry and its security code are never shown again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import RedirectResponse

from stripe_emulator.bank_accounts import DebitType
from stripe_emulator.hosted import BankInput, CardInput, Outcome
from stripe_emulator.pages.notices import Errand, Notice, see_other

FIELDS = {
    "email": "Email",
    "cardNumber": "Card number",
    "cardExpiry": "Expiry",
    "cardCvc": "CVC",
    "billingName": "Name on card",
    "accountNumber": "Account number",
    "routingNumber": "Routing number",
    "iban": "IBAN",
    "accountHolder": "Account holder",
    "promotionCode": "Promotion code",
}
"""The fields' names and labels. The names are stable: tests fill them in."""

_API_FIELDS = {"number": "cardNumber", "exp_month": "cardExpiry", "exp_year": "cardExpiry", "cvc": "cardCvc"}
_DETAILS = ("name", "phone", "line1", "line2", "postal_code", "city", "state", "country")
_KEPT = ("email", "billingName", "accountHolder", "paymentMethodType", "comment", "feedback", *_DETAILS)
_WORDS = {
    "accountHolder": "account holder's name",
    "accountNumber": "account number",
    "routingNumber": "routing number",
    "iban": "IBAN",
}
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+|[^@\s]+@localhost")
_EXPIRY = re.compile(r"(\d{1,2})\s*[/.-]\s*(\d{4}|\d{2})|(\d{2})\s*(\d{4}|\d{2})")
_SEPARATORS = re.compile(r"[\s-]")


@dataclass(frozen=True, slots=True)
class CardForm:
    """A card form as submitted: `card` is None when `problems` (by field) has anything to say."""

    card: CardInput | None
    problems: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BankForm:
    """A bank account form as submitted: `bank` is None when `problems` (by field) has anything to say."""

    bank: BankInput | None
    problems: dict[str, str] = field(default_factory=dict)


async def posted(request: Request) -> dict[str, str]:
    """A form's text fields, trimmed; a file sent in place of text counts as nothing."""
    async with request.form() as form:
        return {name: value.strip() for name, value in form.items() if isinstance(value, str)}


def read_card(form: Mapping[str, str], *, now: datetime | None = None) -> CardForm:
    """Read the card fields. `now` is the present, against which the expiry is held."""
    today = now or datetime.now(UTC)
    number = _SEPARATORS.sub("", form.get("cardNumber", ""))
    cvc = form.get("cardCvc", "")
    month, year = _month_and_year(form.get("cardExpiry", ""), century=today.year // 100 * 100)
    problems = {
        "cardNumber": _number_problem(number),
        "cardExpiry": _expiry_problem(form.get("cardExpiry", ""), month, year, today),
        "cardCvc": _cvc_problem(cvc, number),
    }
    found = {name: problem for name, problem in problems.items() if problem}
    if found:
        return CardForm(None, found)
    name = form.get("billingName") or None
    return CardForm(CardInput(number=number, exp_month=month, exp_year=year, cvc=cvc, name=name))


def read_bank(form: Mapping[str, str], type: DebitType) -> BankForm:
    """Read the fields of a bank account."""
    needed = ["accountHolder", *(["iban"] if type == "sepa_debit" else ["routingNumber", "accountNumber"])]
    problems = {name: f"Enter the {_WORDS[name]}." for name in needed if not form.get(name)}
    if problems:
        return BankForm(None, problems)
    number = form["iban"] if type == "sepa_debit" else form["accountNumber"]
    return BankForm(BankInput(type, _SEPARATORS.sub("", number), form.get("routingNumber", ""), form["accountHolder"]))


def email_problem(email: str) -> str:
    """What is wrong with an e-mail address, or an empty string."""
    if not email:
        return "Enter your email address."
    return "" if _EMAIL.fullmatch(email) and len(email) <= 512 else "Your email address is invalid."


def kept_values(form: Mapping[str, str]) -> dict[str, str]:
    """What may be shown again in a form that failed."""
    return {name: form[name] for name in _KEPT if name in form}


def with_problems(problems: Mapping[str, str], form: Mapping[str, str]) -> Notice:
    """A notice that names every field in need of attention."""
    message = "\n".join(f"{FIELDS[name]}: {problem}" for name, problem in problems.items())
    return Notice("error", message, fields=problems, values=kept_values(form))


def follow(
    request: Request, outcome: Outcome, errand: Errand, *, values: Mapping[str, str] | None = None
) -> RedirectResponse:
    """
    Go where an outcome leads: done with the errand, on to the bank, or back to the form with what went wrong.

    `values` is what the form shows again.
    """
    kept = values or {}
    match outcome.kind:
        case "complete":
            said = Notice("success", errand.said) if errand.said else None
            return see_other(request, outcome.redirect or errand.done, said)
        case "requires_action":
            return see_other(request, outcome.redirect or errand.here, Notice(values=kept, errand=errand))
        case "declined":
            name = _API_FIELDS.get(outcome.field or "", outcome.field or "")
            fields = {name: outcome.message} if name in FIELDS else {}
            return see_other(request, errand.here, Notice("error", outcome.message, fields=fields, values=kept))
        case "closed":
            return see_other(request, errand.here, Notice("error", outcome.message))


def _number_problem(number: str) -> str:
    if not number:
        return "Enter your card number."
    if not (number.isascii() and number.isdigit()):
        return "Your card number is invalid."
    if len(number) < 14:
        return "Your card number is incomplete."
    return "" if len(number) <= 19 and _passes_luhn(number) else "Your card number is invalid."


def _expiry_problem(text: str, month: int, year: int, today: datetime) -> str:
    if not text:
        return "Enter your card's expiration date."
    if not year:
        return "Your card's expiration date is incomplete. Write it as MM / YY."
    if not 1 <= month <= 12:
        return "Your card's expiration month is invalid."
    if (year, month) < (today.year, today.month):
        return "Your card's expiration date is in the past."
    return "" if year <= today.year + 50 else "Your card's expiration year is invalid."


def _cvc_problem(cvc: str, number: str) -> str:
    if not cvc:
        return "Enter your card's security code."
    length = 4 if number.startswith(("34", "37")) else 3
    if not (cvc.isascii() and cvc.isdigit()) or len(cvc) > length:
        return "Your card's security code is invalid."
    return "" if len(cvc) == length else "Your card's security code is incomplete."


def _month_and_year(text: str, *, century: int) -> tuple[int, int]:
    match = _EXPIRY.fullmatch(text) if text.isascii() else None
    if match is None:
        return 0, 0
    month, year = (match[1], match[2]) if match[1] else (match[3], match[4])
    return int(month), int(year) + (century if len(year) == 2 else 0)


def _passes_luhn(number: str) -> bool:
    total = 0
    for position, digit in enumerate(reversed(number)):
        value = int(digit) * (1 + position % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
