"""What Prometheus scrapes: this process's own counters, and everybody's from the database."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from paidup import Billing, Change, InvalidSignature, StripeUnavailable
from stripe_emulator import Emulator
from tests.conftest import WEBHOOK_SECRET, MakeBilling
from tests.support.deliveries import deliver
from tests.support.paying import pay
from tests.support.waiting import eventually

OWNER = "user:1"

Sample = tuple[str, tuple[tuple[str, str], ...]]


def samples(text: str) -> dict[Sample, float]:
    return {
        (each.name, tuple(sorted(each.labels.items()))): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }


def of_process() -> dict[Sample, float]:
    return samples(generate_latest(REGISTRY).decode())


def of_database(billing: Billing) -> dict[Sample, float]:
    registry = CollectorRegistry()
    registry.register(billing.health_metrics())
    return samples(generate_latest(registry).decode())


def named(name: str, /, **labels: str) -> Sample:
    return name, tuple(sorted(labels.items()))


def grown(before: dict[Sample, float], name: str, **labels: str) -> float:
    return of_process().get(named(name, **labels), 0) - before.get(named(name, **labels), 0)


def subscribe(billing: Billing, stripe: Emulator) -> None:
    pay(str(billing.checkout(OWNER, "pro").url))
    for event in stripe.events():
        deliver(billing, event)


def test_a_process_counts_what_it_does(billing: Billing, stripe: Emulator) -> None:
    before = of_process()
    seen: list[Change] = []
    billing.on_change("subscription.started")(seen.append)
    subscribe(billing, stripe)
    deliver(billing, stripe.events()[0])
    with pytest.raises(InvalidSignature):
        billing.receive(b"{}", None)
    billing.run_until_idle()
    assert len(seen) == 1
    stored = sum(grown(before, "paidup_webhooks_total", outcome=each) for each in ("pending", "ignored"))
    assert stored == len(stripe.events())
    assert grown(before, "paidup_webhooks_total", outcome="duplicate") == 1
    assert grown(before, "paidup_webhooks_total", outcome="missing") == 1
    assert grown(before, "paidup_webhook_seconds_count") == stored + 1
    assert grown(before, "paidup_synchronisations_total", kind="customer", outcome="done") >= 1
    assert grown(before, "paidup_synchronisation_seconds_count", kind="customer") >= 1
    assert grown(before, "paidup_stripe_requests_total", endpoint="get /v1/customers/:id", status="200") >= 1
    assert grown(before, "paidup_stripe_request_seconds_count", endpoint="post /v1/customers") == 1
    assert grown(before, "paidup_changes_total", kind="subscription.started", outcome="done") == 1


def test_failures_are_told_apart(billing: Billing, stripe: Emulator) -> None:
    before = of_process()

    @billing.on_change("subscription.started")
    def fails(change: Change) -> None:
        raise LookupError(change.owner)

    subscribe(billing, stripe)
    customer = "get /v1/customers/:id"
    stripe.cut_next("/v1/customers/*", method="GET", times=3)
    with pytest.raises(StripeUnavailable):
        billing.sync(OWNER)
    assert grown(before, "paidup_stripe_requests_total", endpoint=customer, status="none") == 3
    assert grown(before, "paidup_synchronisations_total", kind="customer", outcome="failed") == 1
    billing.run_until_idle()
    assert grown(before, "paidup_changes_total", kind="subscription.started", outcome="failed") >= 1


def test_the_database_tells_of_all_processes(billing: Billing, make_billing: MakeBilling, stripe: Emulator) -> None:
    subscribe(billing, stripe)
    with pytest.raises(InvalidSignature):
        billing.receive(b"{}", None)
    before = of_database(billing)
    assert before[named("paidup_database_up")] == 1
    assert before[named("paidup_migration_pending")] == 0
    assert before[named("paidup_targets_waiting")] >= 1
    assert before[named("paidup_webhooks_refused", reason="missing")] == 1
    assert before[named("paidup_findings", finding="refused", severity="note")] == 1
    assert named("paidup_drift") not in before
    billing.run_until_idle()
    billing.reconcile()
    after = of_database(make_billing())
    assert after[named("paidup_targets_waiting")] == 0
    assert after[named("paidup_oldest_target_seconds")] == 0
    assert after[named("paidup_drift")] == 0
    assert after[named("paidup_reconciled_timestamp_seconds")] > 0
    assert after[named("paidup_event_lag_seconds", quantile="0.99")] > 0


def test_a_database_that_is_away_is_said_so_and_not_an_error(make_billing: MakeBilling) -> None:
    billing = make_billing(database_url="postgresql://nobody@127.0.0.1:1/nothing")
    assert of_database(billing) == {named("paidup_database_up"): 0}


def test_no_label_names_a_person_or_an_object(billing: Billing, stripe: Emulator) -> None:
    subscribe(billing, stripe)
    billing.run_until_idle()
    customer = billing.customer(OWNER)
    text = generate_latest(REGISTRY).decode() + str(of_database(billing))
    assert customer is not None
    assert customer.id not in text
    assert OWNER not in text


def test_a_worker_serves_them(stripe: Emulator, database_url: str, billing: Billing) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = os.environ | {
        "STRIPE_SECRET_KEY": billing.settings.secret_key.get_secret_value(),
        "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "STRIPE_API_BASE": stripe.url,
        "DATABASE_URL": database_url,
        "APP_URL": billing.settings.app_url,
        "PAIDUP_PLANS": billing.settings.plans_file,
    }
    command = [str(Path(sys.executable).parent / "paidup"), "worker", "--metrics"]
    with subprocess.Popen([*command, address], env=environment) as worker:
        try:
            eventually(lambda: _answers(address))
            served = samples(httpx.get(f"http://{address}/metrics").text)
            assert served[named("paidup_database_up")] == 1
            assert named("paidup_webhook_seconds_count") in served
            taken = subprocess.run([*command, address], env=environment, capture_output=True, text=True, check=False)
            assert taken.returncode == 2
            assert f"cannot be served at {address}: Address already in use" in taken.stderr
        finally:
            worker.terminate()
    assert worker.returncode == 0
    wrong = subprocess.run([*command, "9464"], env=environment, capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "not of the form host:port" in wrong.stderr

    at_once = [*command, address, "--once"]
    both = subprocess.run(at_once, env=environment, capture_output=True, text=True, check=False)
    assert (both.returncode, "not for --once" in both.stderr) == (2, True)


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"http://{address}/metrics").status_code == 200
    except httpx.ConnectError:
        return False
