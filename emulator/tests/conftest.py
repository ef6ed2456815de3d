"""One emulator for all tests of this folder, emptied before each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from emulator.tests.shop import Shop
from stripe_emulator import Emulator


@pytest.fixture(scope="session")
def running_emulator() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def shop(running_emulator: Emulator) -> Iterator[Shop]:
    running_emulator.reset()
    for snapshot in running_emulator.snapshots():  # which a reset leaves
        running_emulator.forget_snapshot(snapshot["name"])
    shop = Shop(running_emulator)
    yield shop
    shop.pages.close()
    assert running_emulator.shape_failures == []


@pytest.fixture
def emulator(shop: Shop) -> Emulator:
    return shop.emulator
