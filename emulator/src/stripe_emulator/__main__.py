"""`python -m stripe_emulator`."""

from __future__ import annotations

from stripe_emulator.cli import run

run()
