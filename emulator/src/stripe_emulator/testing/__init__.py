"""
For your own tests: a Stripe with builders, and an assertion that an app survives what deliveries and faults do.

Nothing is imported before it is used: pytest loads the plugin, and with it this package, in every run.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stripe_emulator.testing.chaos import App, Chaos
    from stripe_emulator.testing.customers import CustomerBuilder
    from stripe_emulator.testing.schedule import Schedule, Twist
    from stripe_emulator.testing.stripe import Stripe
    from stripe_emulator.testing.surviving import Diverged, Survived, assert_survives_chaos

_HOMES = {
    "App": "chaos",
    "Chaos": "chaos",
    "CustomerBuilder": "customers",
    "Diverged": "surviving",
    "Schedule": "schedule",
    "Stripe": "stripe",
    "Survived": "surviving",
    "Twist": "schedule",
    "assert_survives_chaos": "surviving",
}

__all__ = [
    "App",
    "Chaos",
    "CustomerBuilder",
    "Diverged",
    "Schedule",
    "Stripe",
    "Survived",
    "Twist",
    "assert_survives_chaos",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
