"""What must not be shown in the log of requests: numbers of cards and accounts, and secrets."""

from __future__ import annotations

import re
from typing import Any

_ACCOUNTS = frozenset({"account_number", "iban"})
_SECRETS = frozenset({"cvc", "secret", "client_secret", "signing_secret"})
_LEAST_DIGITS = 12
_LONG_NUMBER = re.compile(r"(?<!\w)\d(?:[ -]?\d){12,18}(?!\w)")


def masked(value: Any) -> Any:
    """
    The same JSON without numbers and secrets.

    A card's number is masked wherever it was written, under a wrong name or in the text of an error too; an invoice's
    `number` is none.
    """
    if isinstance(value, dict):
        return {name: _mask(name, inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [masked(one) for one in value]
    return _LONG_NUMBER.sub(_without_digits, value) if isinstance(value, str) else value


def _mask(name: str, value: Any) -> Any:
    if isinstance(value, str) and value:
        digits = sum(letter.isdigit() for letter in value)
        if name in _ACCOUNTS or (name == "number" and digits >= _LEAST_DIGITS):
            return f"•••• {value[-4:]}"
        if name in _SECRETS:
            return "••••"
    return masked(value)


def _without_digits(found: re.Match[str]) -> str:
    digits = [int(letter) for letter in found[0] if letter.isdigit()]
    return f"•••• {found[0][-4:]}" if _is_a_card(digits) else found[0]


def _is_a_card(digits: list[int]) -> bool:
    """Luhn's check, ISO/IEC 7812-1."""
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
