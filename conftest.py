"""What every test folder shares: the browser's fixtures, and hypothesis without flaky deadlines."""

from __future__ import annotations

from hypothesis import settings

pytest_plugins = ("tests.support.browser",)

# A time limit per example fails on a busy machine and says nothing about the code; the limit per test remains.
settings.register_profile("paidup", deadline=None, print_blob=True)
settings.load_profile("paidup")
