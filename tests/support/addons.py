"""The plans of the tests with something sold beside them."""

from __future__ import annotations

from pathlib import Path

from paidup.catalog import file

ADDONS = """
[addons.pack]
name = "Ten more projects"
description = "As often as you like."
limits = { projects = 10 }
max = 5

[addons.pack.prices.month]
amount = 500

[addons.pack.prices.year]
amount = 5000

[addons.single_sign_on]
name = "Single sign-on"
features = ["sso"]
plans = ["pro"]

[addons.single_sign_on.prices.month]
amount = 1000
lookup_key = "sso_month"

[addons.single_sign_on.prices.year]
amount = 10000
"""
PLANS_WITH_ADDONS = (Path(__file__).parent / "plans.toml").read_text() + ADDONS
CATALOG = file.loads(PLANS_WITH_ADDONS)
