"""Nothing a client sends may break the emulator: every endpoint answers nonsense with Stripe's errors, never a 500."""

from __future__ import annotations

import pytest

from emulator.tests.shop import Shop
from stripe_emulator.protocol.routing import Route
from stripe_emulator.resources.index import ROUTES


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_an_endpoint_survives_nothing_and_nonsense(shop: Shop, route: Route) -> None:
    path = route.path.replace("{id}", "none_1")
    bodies = ["", "nonsense=1", "customer=cus_none&subscription=sub_none&price=price_none", "expand[]=x", "a[=1"]
    for body in bodies:
        if route.method == "GET":
            answer = shop.http("GET", f"{path}?{body}")
        else:
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            answer = shop.http(route.method, path, content=body, headers=headers)
        assert answer.status_code in (200, 400, 404), (body, answer.text)
        assert answer.headers["Content-Type"] == "application/json"
