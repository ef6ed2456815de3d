"""The starter, running, for stories told through HTTP or a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stripe_emulator import Emulator
from tests.support.starter import StarterApp


@pytest.fixture
def starter_app(stripe: Emulator, tmp_path: Path) -> Iterator[StarterApp]:
    """The starter on SQLite, running, with its worker and its plans; `starter_app.stripe` is its Stripe."""
    app = StarterApp(stripe, tmp_path)
    app.prepare()
    app.start()
    try:
        yield app
    finally:
        app.stop()
