"""For your own tests: a Stripe with builders, and an assertion that an app survives what deliveries and faults do."""

from __future__ import annotations

from stripe_emulator.testing.schedule import Schedule, Twist
from stripe_emulator.testing.stripe import App, Chaos, CustomerBuilder, Stripe
from stripe_emulator.testing.surviving import Diverged, assert_survives_chaos

__all__ = ["App", "Chaos", "CustomerBuilder", "Diverged", "Schedule", "Stripe", "Twist", "assert_survives_chaos"]
