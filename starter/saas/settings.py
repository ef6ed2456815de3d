"""
What the environment says, read once and checked whole.

The app's own settings and paidup's are checked together, so that a first start names everything that is missing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from urllib.parse import urlsplit

import paidup
from paidup import Problem, SettingsError

CHECKOUT_DONE = "/welcome"
"""Where the app greets a user who comes back from Checkout."""

SETTINGS_PAGE = "/settings/billing"
ACCOUNT_PAGE = "/settings/account"
CHANGE_PAGE = "/change"
PRICING_PAGE = "/pricing"

_DEFAULT_SESSION_DAYS = 30


@dataclass(frozen=True, slots=True)
class Settings:
    """The app's settings; paidup's are in `billing`."""

    billing: paidup.Settings
    app_name: str
    session_lifetime: timedelta
    test_clock_url: str | None
    """The control API of a Stripe emulator. When set, pages show a bar that moves its clock."""

    @property
    def app_url(self) -> str:
        """The public address of the app, without a trailing slash."""
        return str(self.billing.app_url).rstrip("/")

    @property
    def is_https(self) -> bool:
        """Do users reach the app over https?"""
        return self.app_url.startswith("https://")

    @property
    def database_url(self) -> str:
        """The SQLAlchemy URL; it may carry a password."""
        return self.billing.database_url.get_secret_value()

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read and check everything. Raises SettingsError with every problem, paidup's included."""
        problems: list[Problem] = []
        billing = _billing_settings(problems)
        days = _session_days(environ, problems)
        clock = _test_clock_url(environ, billing, problems)
        if problems or billing is None:
            raise SettingsError(problems)
        return cls(
            billing=billing,
            app_name=environ.get("APP_NAME", "").strip() or "Acorn",
            session_lifetime=timedelta(days=days),
            test_clock_url=clock,
        )


@cache
def settings() -> Settings:
    """The settings of this process."""
    return Settings.from_env()


def _billing_settings(problems: list[Problem]) -> paidup.Settings | None:
    try:
        return paidup.Settings.from_env(
            checkout_done=CHECKOUT_DONE,
            checkout_canceled=PRICING_PAGE,
            portal_return=SETTINGS_PAGE,
            pricing_path=PRICING_PAGE,
        )
    except SettingsError as error:
        problems.extend(error.problems)
        return None


def _session_days(environ: Mapping[str, str], problems: list[Problem]) -> int:
    text = environ.get("SESSION_DAYS", "").strip() or str(_DEFAULT_SESSION_DAYS)
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 365:
        return int(text)
    problems.append(Problem("SESSION_DAYS", "is not a number of days", "set a whole number from 1 to 365"))
    return _DEFAULT_SESSION_DAYS


def _test_clock_url(environ: Mapping[str, str], billing: paidup.Settings | None, problems: list[Problem]) -> str | None:
    url = environ.get("TEST_CLOCK_URL", "").strip().rstrip("/")
    if not url:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        problems.append(Problem("TEST_CLOCK_URL", "is not an http address", "remove it, or give a whole URL"))
    if billing is not None and billing.livemode:
        problems.append(
            Problem("TEST_CLOCK_URL", "contradicts the live STRIPE_SECRET_KEY", "remove it: live time can't be moved")
        )
    return url
