"""[DOC: EMULATOR.md 6] docs.stripe.com/rate-limits: 25 a second per endpoint, 100 in all, 25 in all for a sandbox."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

import pytest
import stripe

from emulator.tests.shop import Shop
from emulator.tests.support.waiting import eventually
from stripe_emulator import Emulator, Settings
from stripe_emulator.engine import Engine
from stripe_emulator.rate_limits import MODES, RateLimiter, set_limits
from stripe_emulator.settings import RateLimits
from stripe_emulator.state import Store


class Time:
    """A clock that moves when told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def asked(limiter: RateLimiter, endpoint: str, times: int) -> Counter[str]:
    """So many requests at once, by their fate."""
    fates = []
    for _ in range(times):
        refused = limiter.refuse(lambda: endpoint)
        fates.append("ok" if refused is None else refused.headers["Stripe-Rate-Limited-Reason"])
    return Counter(fates)


@pytest.fixture
def clock() -> Time:
    return Time()


def limiter_of(limits: RateLimits | None, clock: Time) -> RateLimiter:
    return RateLimiter(Engine(Store(), settings=Settings(rate_limits=limits)), clock)


def test_live_mode_takes_25_a_second_of_an_endpoint_and_100_in_all(clock: Time) -> None:
    limiter = limiter_of(MODES["live"], clock)
    assert asked(limiter, "POST /v1/customers", 30) == {"ok": 25, "endpoint-rate": 5}
    assert asked(limiter, "GET /v1/customers", 30) == {"ok": 25, "endpoint-rate": 5}
    assert asked(limiter, "GET /v1/customers/{id}", 25) == {"ok": 25}
    assert asked(limiter, "GET /v1/invoices", 30) == {"ok": 25, "global-rate": 5}
    assert asked(limiter, "GET /v1/prices", 1) == {"global-rate": 1}


def test_a_sandbox_takes_25_in_all(clock: Time) -> None:
    limiter = limiter_of(MODES["sandbox"], clock)
    assert asked(limiter, "POST /v1/customers", 20) == {"ok": 20}
    assert asked(limiter, "GET /v1/customers", 20) == {"ok": 5, "global-rate": 15}


def test_searching_is_limited_to_20(clock: Time) -> None:
    """[DOC] rate-limits: Search API, 20 read operations per second."""
    assert asked(limiter_of(MODES["live"], clock), "GET /v1/customers/search", 25) == {"ok": 20, "endpoint-rate": 5}


def test_a_bucket_fills_by_real_time_and_no_more_than_full(clock: Time) -> None:
    limiter = limiter_of(MODES["sandbox"], clock)
    asked(limiter, "GET /v1/customers", 25)
    clock.now += 0.2
    assert asked(limiter, "GET /v1/customers", 10) == {"ok": 5, "global-rate": 5}
    clock.now += 3600
    assert asked(limiter, "GET /v1/customers", 30) == {"ok": 25, "global-rate": 5}


def test_there_are_none_unless_asked_for(clock: Time) -> None:
    assert asked(limiter_of(None, clock), "GET /v1/customers", 500) == {"ok": 500}


def test_what_was_asked_for_last_goes_before_the_settings(clock: Time) -> None:
    engine = Engine(Store(), settings=Settings(rate_limits=MODES["sandbox"]))
    limiter = RateLimiter(engine, clock)
    with engine.transaction():
        set_limits(engine, None)
    assert asked(limiter, "GET /v1/customers", 50) == {"ok": 50}
    engine.reset()
    assert asked(limiter, "GET /v1/customers", 50)["ok"] == 25


@pytest.fixture
def shop() -> Iterator[Shop]:
    with Emulator() as emulator:
        shop = Shop(emulator)
        yield shop
        shop.pages.close()


def test_the_calls_of_every_id_are_one_endpoint(shop: Shop) -> None:
    ids = [shop.customer(card=None).id for _ in range(3)]
    shop.emulator.limit_rates(RateLimits(total=100_000, per_endpoint=2))
    answers = [shop.http("GET", f"/v1/customers/{id}") for id in ids]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].headers["Stripe-Rate-Limited-Reason"] == "endpoint-rate"
    assert answers[2].json()["error"]["code"] == "rate_limit"
    assert shop.http("GET", "/v1/customers").status_code == 200
    shop.emulator.limit_rates("off")
    assert shop.http("GET", f"/v1/customers/{ids[0]}").status_code == 200


def test_an_app_that_backs_off_gets_everything_done_once(shop: Shop) -> None:
    """[DOC] rate-limits#handling-limiting-gracefully. The SDK leaves a rate limit to the app."""
    shop.emulator.limit_rates(RateLimits(total=3, per_endpoint=3))
    limited: list[str] = []

    def made(name: str) -> bool:
        try:
            shop.api.products.create({"name": name})
        except stripe.RateLimitError:
            limited.append(name)
            return False
        return True

    names = [str(number) for number in range(6)]
    for name in names:
        eventually(lambda name=name: made(name))  # type: ignore[misc]
    shop.emulator.limit_rates("off")
    assert limited
    assert [product.name for product in shop.api.products.list().data][::-1] == names


def test_limits_are_read_refused_and_switched_by_the_control_api(shop: Shop) -> None:
    path = "/_emulator/rate-limits"
    assert shop.pages.get(path).json() == {"limits": None}
    live = {"limits": {"total": 100, "per_endpoint": 25, "search": 20}}
    assert shop.pages.post(path, json={"mode": "live"}).json() == live
    assert shop.pages.get(path).json() == live
    for wrong in (
        {},
        {"mode": "none"},
        {"mode": "live", "total": 3},
        {"total": 0},
        {"per_endpoint": 3},
        {"total": "x"},
    ):
        assert shop.pages.post(path, json=wrong).status_code == 400, wrong
    assert shop.pages.get(path).json() == live


def test_the_command_takes_the_modes() -> None:
    command = [sys.executable, "-m", "stripe_emulator", "--rate-limits", "moon"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (result.returncode, "live or sandbox" in result.stderr) == (2, True)
