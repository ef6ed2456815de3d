"""
The pytest plugin: the fixtures `stripe` and `stripe_session`.

The package's entry point: pytest loads it in every run of a project that has the package. So nothing is imported before
a test asks, and a fixture of the same name in a conftest wins, as everywhere in pytest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from stripe_emulator.testing.stripe import Stripe


@pytest.fixture
def stripe() -> Iterator[Stripe]:
    """A Stripe of this test alone, at `stripe.url`."""
    from stripe_emulator.testing.stripe import Stripe

    with Stripe() as running:
        yield running


@pytest.fixture(scope="session")
def stripe_session() -> Iterator[Stripe]:
    """One Stripe for the whole run; tests that want it empty call `reset()`."""
    from stripe_emulator.testing.stripe import Stripe

    with Stripe() as running:
        yield running
