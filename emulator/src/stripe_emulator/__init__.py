"""
A faithful local Stripe: its API, hosted pages, clocks and webhooks, without an account or a network.

Nothing is imported before it is used: pytest loads the plugin, and with it this package, in every run.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stripe_emulator.emulator import Emulator
    from stripe_emulator.settings import Settings

_HOMES = {"Emulator": "emulator", "Settings": "settings"}

__all__ = ["Emulator", "Settings"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
