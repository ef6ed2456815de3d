"""[DOC: EMULATOR.md 25] Deterministic ids and clock when seeded: the same calls give the same bytes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from emulator.tests.shop import Shop
from emulator.tests.support.waiting import eventually
from stripe_emulator import Emulator
from stripe_emulator.ids import Ids

NEW_YEAR = 1_798_761_600


class Calls:
    """Bare calls, without the SDK and the idempotency keys it draws; keeps every answer."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: list[str] = []

    def __call__(self, method: str, path: str, form: dict[str, str] | None = None, *, keep: bool = True) -> Any:
        answer = self.fetch(method, path, data=form)
        if keep:
            self.answers.append(answer.text + answer.headers["Request-Id"])
        return answer.json()

    def fetch(self, method: str, path: str, **sent: Any) -> httpx.Response:
        key = {"Authorization": "Bearer sk_test_x"}
        return httpx.request(method, self.url + path, headers=key, trust_env=False, **sent)

    def pay(self, session: str) -> None:
        form = {"email": "j@example.com", "cardNumber": "4242424242424242", "cardExpiry": "12/40", "cardCvc": "123"}
        assert self.fetch("POST", f"/c/pay/{session}", data={**form, "billingName": "J"}).status_code == 303

    def everything(self) -> str:
        """Every answer, every event, and every object that one of them names."""
        events = self.fetch("GET", "/_emulator/events").text
        ids = sorted(set(re.findall(r'"id": ?"([a-z_]+_[A-Za-z0-9_]+)"', events)))
        objects = [self.fetch("GET", f"/_emulator/objects/{id}").text for id in ids]
        return "\n".join([*self.answers, events, *objects]).replace(self.url, "http://stripe.test")


def month(call: Calls, *, polls: int) -> None:
    """A month of a shop: an endpoint, Checkout, a renewal, an error, a test clock, a refund."""
    call("POST", "/v1/webhook_endpoints", {"url": "http://127.0.0.1:9/x", "enabled_events[]": "account.updated"})
    product = call("POST", "/v1/products", {"name": "Pro"})["id"]
    recurring = {"currency": "usd", "unit_amount": "3000", "recurring[interval]": "month"}
    price = call("POST", "/v1/prices", {"product": product, **recurring})["id"]
    lines = {"line_items[0][price]": price, "line_items[0][quantity]": "2", "success_url": "http://shop.test/done"}
    call.pay(call("POST", "/v1/checkout/sessions", {"mode": "subscription", **lines})["id"])
    call.fetch("POST", "/_emulator/clock/advance", data={"to": "renewal"}).raise_for_status()
    [subscription] = call("GET", "/v1/subscriptions")["data"]
    call("POST", f"/v1/subscriptions/{subscription['id']}", {"cancel_at_period_end": "true", "metadata[a]": "b"})
    call("POST", "/v1/customers", {"nonsense": "1"})
    portal = {"features[invoice_history][enabled]": "true", "features[customer_update][enabled]": "false"}
    call("POST", "/v1/billing_portal/configurations", portal)
    clock = call("POST", "/v1/test_helpers/test_clocks", {"frozen_time": str(NEW_YEAR)})["id"]
    path = f"/v1/test_helpers/test_clocks/{clock}"
    call("POST", path + "/advance", {"frozen_time": str(NEW_YEAR + 86_400)})
    for _ in range(polls):
        call("GET", path, keep=False)
    eventually(lambda: bool(call("GET", path, keep=False)["status"] == "ready"))
    [charge, _] = call("GET", "/v1/charges", keep=False)["data"]
    call("POST", "/v1/refunds", {"charge": charge["id"]})


@contextmanager
def command(seed: int, hash_seed: str) -> Iterator[str]:
    """The `stripe-emulator` command in a process of its own; its url."""
    run = [sys.executable, "-m", "stripe_emulator", "--port", "0", "--seed", str(seed)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONHASHSEED": hash_seed}
    with subprocess.Popen(run, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert found is not None
        try:
            eventually(lambda: answers(found[0]))
            yield found[0]
        finally:
            process.terminate()


def answers(url: str) -> bool:
    """Does it serve already?"""
    try:
        return httpx.get(f"{url}/_emulator/health", trust_env=False).is_success
    except httpx.ConnectError:
        return False


def lived(url: str, *, polls: int = 0) -> str:
    call = Calls(url)
    month(call, polls=polls)
    return call.everything()


def test_the_same_calls_give_the_same_bytes_in_another_process() -> None:
    """Neither the order of a set nor how often a client polled shows."""
    with Emulator(seed=7) as emulator:
        here = lived(emulator.url)
    with command(7, hash_seed="4321") as url:
        there = lived(url, polls=5)
    assert there == here
    assert len(re.findall("customer.subscription.updated", here)) >= 2


def test_a_reset_begins_the_sequence_anew_and_another_seed_is_another_one() -> None:
    with Emulator(seed=7) as emulator:
        first = lived(emulator.url)
        emulator.reset()
        assert lived(emulator.url) == first
    with Emulator(seed=8) as emulator:
        assert Calls(emulator.url)("POST", "/v1/products", {"name": "Pro"})["id"] not in first


def test_a_seeded_clock_stands_until_it_is_put_forward() -> None:
    with Emulator(seed=1) as emulator:
        assert emulator.now.timestamp() == NEW_YEAR
        emulator.advance(days=2)
        assert emulator.now.timestamp() == NEW_YEAR + 2 * 86_400
        name = emulator.snapshot()
        emulator.advance(seconds=5)
        emulator.restore(name)
        assert emulator.now.timestamp() == NEW_YEAR + 2 * 86_400
        assert emulator._get("/_emulator/clock")["stands_still"] is True
        emulator.reset()
        assert emulator.now.timestamp() == NEW_YEAR


def test_a_snapshot_keeps_the_place_in_the_sequence() -> None:
    """Run twice from one snapshot, the same calls make the same ids; none twice in one run."""
    with Emulator(seed=1) as emulator:
        call = Calls(emulator.url)
        before = call("POST", "/v1/customers")["id"]
        name = emulator.snapshot()
        after = [call("POST", "/v1/customers")["id"] for _ in range(2)]
        emulator.restore(name)
        assert [call("POST", "/v1/customers")["id"] for _ in range(2)] == after
        assert before not in after


def test_two_seeded_emulators_side_by_side_leave_each_other_alone() -> None:
    with Emulator(seed=1) as one, Emulator(seed=1) as other, Emulator() as random:
        calls = [Calls(emulator.url) for emulator in (one, other, random)]
        made = [[call("POST", "/v1/customers")["id"] for call in calls] for _ in range(3)]
        assert all(first == second != third for first, second, third in made)


def test_a_seeded_state_file_goes_on_where_it_was(tmp_path: Path) -> None:
    with Emulator(state=tmp_path / "stripe.db", seed=1) as emulator:
        first = Calls(emulator.url)("POST", "/v1/customers")
        emulator.advance(days=1)
    with Emulator(state=tmp_path / "stripe.db", seed=1) as emulator:
        assert emulator.now.timestamp() == NEW_YEAR + 86_400
        second = Calls(emulator.url)("POST", "/v1/customers")
        assert second["id"] != first["id"]
    with Emulator(seed=1) as emulator:
        call = Calls(emulator.url)
        assert [call("POST", "/v1/customers")["id"] for _ in range(2)] == [first["id"], second["id"]]


def test_a_seeded_shuffle_draws_the_same_lots() -> None:
    names = [f"_delivery_{number}" for number in range(20)]
    lots = [Ids(3).lot(name) for name in names]
    assert lots == [Ids(3).lot(name) for name in names]
    assert lots != sorted(lots)
    assert lots != [Ids(4).lot(name) for name in names]


def test_without_a_seed_no_two_emulators_are_alike(shop: Shop) -> None:
    made = {shop.customer(card=None).id for _ in range(3)}
    shop.emulator.reset()
    assert shop.customer(card=None).id not in made


def test_a_seed_that_is_no_number_is_refused() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "stripe_emulator", "--seed", "x"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.returncode == 2


@pytest.mark.parametrize("seed", [0, -1, 2**70])
def test_any_number_is_a_seed(seed: int) -> None:
    with Emulator(seed=seed) as emulator:
        assert Calls(emulator.url)("POST", "/v1/customers")["id"].startswith("cus_")
