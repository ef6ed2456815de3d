"""A faithful local Stripe: its API, hosted pages, clocks and webhooks, without an account or a network."""

from __future__ import annotations

from stripe_emulator.emulator import Emulator
from stripe_emulator.settings import Settings

__all__ = ["Emulator", "Settings"]
