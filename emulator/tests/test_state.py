"""What survives: the store's transactions, a restart, SIGKILL."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import stripe

from emulator.tests.shop import KEY, Shop
from stripe_emulator import Emulator
from stripe_emulator.state import StateError, Store


def test_a_rolled_back_transaction_leaves_no_trace() -> None:
    store = Store()
    store.add({"id": "a", "object": "thing", "n": 1})
    store.commit()
    changed = store.get("a")
    assert changed is not None
    changed["n"] = 2
    store.add({"id": "b", "object": "thing"})
    store.remove("a")
    store.rollback()
    assert [thing["id"] for thing in store.scan("thing")] == ["a"]
    assert store.get("a") == {"id": "a", "object": "thing", "n": 1}
    assert store.get("b") is None


def test_a_store_reads_back_what_was_committed_in_order(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = Store(path)
    for id in ("a", "b", "c"):
        store.add({"id": id, "object": "thing"})
    store.commit()
    store.remove("b")
    found = store.get("a")
    assert found is not None
    found["n"] = 5
    store.commit()
    store.add({"id": "d", "object": "thing"})
    store.close()
    again = Store(path)
    assert [thing["id"] for thing in again.scan("thing")] == ["c", "a"]
    assert again.get("a") == {"id": "a", "object": "thing", "n": 5}
    again.close()


def test_a_state_file_serves_one_emulator_at_a_time(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    with pytest.raises(StateError, match="another stripe_emulator"):
        Store(tmp_path / "state.db")
    store.close()
    Store(tmp_path / "state.db").close()


def test_a_file_that_is_no_state_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_text("notes of mine, long enough to be no empty database " * 50)
    before = path.read_bytes()
    with pytest.raises(StateError, match="not a state file"):
        Store(path)
    assert path.read_bytes() == before


def test_a_state_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = Store(path)
    store.add({"id": "a", "object": "thing"})
    store.commit()
    store.close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.commit()
    connection.close()
    with pytest.raises(StateError, match="another version"):
        Store(path)


def serve(state: Path) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-m", "stripe_emulator", "--port", "0", "--state", str(state)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+", line)
    assert found is not None, line
    return process, found[0]


def api(url: str) -> stripe.StripeClient:
    return stripe.StripeClient(KEY, base_addresses={"api": url}, max_network_retries=5)


def test_everything_answered_survives_sigkill(tmp_path: Path) -> None:
    state = tmp_path / "stripe.db"
    process, url = serve(state)
    try:
        before = api(url).v1
        customer = before.customers.create({"email": "a@example.com"}, {"idempotency_key": "k1"})
        secret = before.webhook_endpoints.create({"url": "http://127.0.0.1:9/x", "enabled_events": ["*"]})
        clock = before.test_helpers.test_clocks.create({"frozen_time": 1_801_440_000})
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    process, url = serve(state)
    try:
        after = api(url).v1
        assert after.customers.retrieve(customer.id).email == "a@example.com"
        assert after.customers.create({"email": "a@example.com"}, {"idempotency_key": "k1"}).id == customer.id
        assert after.webhook_endpoints.retrieve(secret.id).url == "http://127.0.0.1:9/x"
        assert after.test_helpers.test_clocks.retrieve(clock.id).frozen_time == 1_801_440_000
        assert [event.type for event in after.events.list().data][-1] == "customer.created"
    finally:
        process.terminate()
        assert process.wait(10) == 0
        assert process.stdout is not None
        process.stdout.close()


def test_the_clocks_offset_and_open_deadlines_survive_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "stripe.db"
    with Emulator(state=state) as emulator:
        shop = Shop(emulator)
        subscription = shop.subscribe(shop.customer().id, shop.price().id)
        emulator.advance(days=10)
        now = emulator.now
    with Emulator(state=state) as emulator:
        assert (emulator.now - now).total_seconds() < 60
        emulator.advance(to="renewal")
        shop = Shop(emulator)
        assert len(shop.api.invoices.list({"subscription": subscription.id}).data) == 2


def test_urls_follow_the_emulator_to_its_new_port(tmp_path: Path) -> None:
    state = tmp_path / "stripe.db"
    with Emulator(state=state) as emulator:
        session = Shop(emulator).session(Shop(emulator).price().id)
    with Emulator(state=state) as emulator:
        url = Shop(emulator).api.checkout.sessions.retrieve(session.id).url
        assert url is not None
        assert url.startswith(emulator.url)


def test_a_taken_port_is_said_plainly(shop: Shop) -> None:
    port = shop.emulator.url.rpartition(":")[2]
    command = [sys.executable, "-m", "stripe_emulator", "--port", port]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 1
    assert f"port {port} is taken" in result.stderr


def test_a_secret_that_is_none_is_refused() -> None:
    command = [sys.executable, "-m", "stripe_emulator", "--webhook-secret", "oops", "--port", "0"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 2
    assert "whsec_" in result.stderr


def test_an_unknown_object_is_a_key_error(shop: Shop) -> None:
    with pytest.raises(KeyError):
        shop.emulator.get("cus_none")
