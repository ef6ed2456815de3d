"""The account the keys belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.rendering import as_list
from stripe_emulator.validation.params import Params
from stripe_emulator.validation.responses import nulls

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

CREATED = 1_700_000_000


def retrieve(engine: Engine, ids: list[str], params: Params) -> Reply:
    """The emulated account."""
    settings = engine.settings
    return {
        **nulls("account"),
        "id": settings.account_id,
        "object": "account",
        "business_profile": {
            "mcc": "5734",
            "name": settings.merchant_name,
            "product_description": None,
            "support_address": None,
            "support_email": None,
            "support_phone": None,
            "support_url": None,
            "url": None,
        },
        "capabilities": {"card_payments": "active", "transfers": "active"},
        "charges_enabled": True,
        "country": settings.country,
        "created": CREATED,
        "default_currency": settings.default_currency,
        "details_submitted": True,
        "email": "merchant@example.com",
        "external_accounts": as_list([], f"/v1/accounts/{settings.account_id}/external_accounts"),
        "metadata": {},
        "payouts_enabled": True,
        "type": "standard",
    }


ROUTES = [Route("GET", "/v1/account", retrieve, "AccountRetrieveParams")]
