"""The control API refuses what it can't do, clearly: a 400 that names the parameter, never a 500."""

from __future__ import annotations

import json
from typing import Any

import pytest

from emulator.tests.shop import Shop
from stripe_emulator.control import control_routes

JUNK: tuple[Any, ...] = (
    "x",
    "²",
    "-1",
    "1.5",
    "nan",
    "1e999",
    -1,
    1.5,
    10**30,
    True,
    None,
    [],
    [1],
    ["x"],
    {},
    {"a": 1},
)

SNAPSHOT = {"stripe_emulator_snapshot": 1, "now": 1, "taken": 1.0, "objects": [{"id": "a", "object": "_thing"}]}

WORKING: dict[str, dict[str, Any]] = {
    "POST /_emulator/reset": {},
    "POST /_emulator/clock/advance": {
        "days": 1,
        "seconds": 1,
        "to": "1",
        "customer": "cus_1",
        "return_to": "http://[::1]/",
    },
    "POST /_emulator/faults": {
        "path": "/v1/none",
        "method": "GET",
        "status": 500,
        "nth": 1,
        "times": 1,
        "after_work": True,
        "timeout": 0,
        "slow": 0,
        "code": "rate_limit",
        "reason": "global-rate",
        "should_retry": True,
    },
    "DELETE /_emulator/faults": {"deliveries": "keep"},
    "POST /_emulator/faults/decline-next": {"times": 1, "nth": 1, "code": "lost_card", "on_session": True},
    "POST /_emulator/rate-limits": {"mode": "off", "total": 1000, "per_endpoint": 1000, "search": 1000},
    "POST /_emulator/settings": {"wait_for_webhooks": True, "search_lag": 1},
    "POST /_emulator/deliveries/{mode}": {},
    "POST /_emulator/deliveries/rules": {
        "action": "delay",
        "type": "x",
        "endpoint": "http://127.0.0.1:9/x",
        "nth": 1,
        "times": "all",
        "seconds": 0,
        "until": "x",
        "copies": 2,
        "behind": 1,
        "tries": 1,
        "secret": "whsec_x",
    },
    "DELETE /_emulator/deliveries/rules": {},
    "DELETE /_emulator/deliveries/rules/{id}": {},
    "POST /_emulator/deliveries/{id}/resend": {},
    "POST /_emulator/deliveries/{id}/attempt": {},
    "POST /_emulator/endpoints": {"url": "http://127.0.0.1:9/x", "secret": "whsec_x", "enabled_events": ["*"]},
    "POST /_emulator/endpoints/{id:path}/roll": {"secret": "whsec_y", "expires_in": 5},
    "POST /_emulator/portal/default": {},
    "POST /_emulator/snapshots": {"name": "one", "snapshot": SNAPSHOT},
    "POST /_emulator/snapshots/{name}/restore": {},
    "DELETE /_emulator/snapshots/{name}": {},
}


def test_every_route_that_changes_something_is_tried_with_junk() -> None:
    changing = {"POST", "DELETE"}
    routes = {f"{method} {route.path}" for route in control_routes() for method in changing & set(route.methods or ())}
    assert routes == WORKING.keys()


@pytest.mark.parametrize("route", WORKING)
def test_junk_is_never_a_crash(shop: Shop, route: str) -> None:
    method, path = route.split(" ")
    for junk in JUNK:
        for name in [*WORKING[route], "name"]:
            for body in ({**WORKING[route], name: junk}, {name: junk}, dict.fromkeys(WORKING[route], junk)):
                answer = shop.pages.request(method, path, content=json.dumps(body))
                assert answer.status_code in (200, 303, 400, 404), (body, answer.text)
                if answer.status_code in (400, 404):
                    assert answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "body", [b"{", b"[1]", b"[", b"\xff\xfe", b'{"path": "/v1/*", "path": {}}', b'{"path": NaN}', b'"path"']
)
def test_a_body_that_can_not_be_read_is_refused(shop: Shop, body: bytes) -> None:
    answer = shop.pages.post("/_emulator/faults", content=body)
    assert answer.status_code == 400
    assert shop.pages.get("/_emulator/faults").json()["faults"] == []


def test_a_wrong_parameter_is_named_and_nothing_has_happened(shop: Shop) -> None:
    answer = shop.pages.post("/_emulator/faults", json={"path": "/v1/*", "status": "teapot"})
    assert answer.status_code == 400
    assert answer.json() == {"error": {"message": "status must be a whole number.", "param": "status"}}
    answer = shop.pages.post("/_emulator/faults", json={"path": "/v1/*", "statsu": 429})
    assert answer.json()["error"]["param"] == "statsu"
    assert shop.pages.get("/_emulator/faults").json()["faults"] == []
    with pytest.raises(ValueError, match="from 400 to 599"):
        shop.emulator.fail_next("/v1/*", status=200)
