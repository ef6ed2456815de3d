"""The account's balance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.billing import funds
from stripe_emulator.protocol.routing import Reply, Route
from stripe_emulator.validation.params import Params

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine


def retrieve(engine: Engine, ids: list[str], params: Params) -> Reply:
    """What is available and what is still pending."""
    return funds.balance(engine)


ROUTES = [Route("GET", "/v1/balance", retrieve, "BalanceRetrieveParams")]
