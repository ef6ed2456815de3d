"""Runs of reconciliation: one at a time, gone on with by the next runner, on a schedule, from the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import stripe as sdk
from sqlalchemy import select, update

from paidup import Billing, Reconciliation, ReconciliationRunning, StripeError, Worker
from paidup.cli.main import run
from paidup.database import reconciliations
from paidup.database.engine import Database
from paidup.database.tables import ReconciliationRun
from paidup.models import Invoice
from stripe_emulator import Emulator
from tests.support.account import OWNER, a_customer, by_app_user, deliver_all, price_of, subscribe
from tests.support.waiting import eventually


@pytest.fixture
def client(stripe: Emulator) -> sdk.StripeClient:
    """Stripe as anybody sees it."""
    return sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url})


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The database that `billing` is on."""
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def in_step(billing: Billing, stripe: Emulator) -> Billing:
    """A Billing with one subscriber, everything delivered and processed."""
    subscribe(billing)
    deliver_all(billing, stripe)
    billing.run_until_idle()
    return billing


class TestRuns:
    def test_a_run_that_fails_on_the_second_page_is_no_success_and_is_gone_on_with(
        self, billing: Billing, stripe: Emulator, client: sdk.StripeClient
    ) -> None:
        """H15."""
        for user in range(150):
            a_customer(client, user)
        stripe.fail_next("/v1/customers", status=500, nth=2, times=3)
        with pytest.raises(StripeError):
            billing.reconcile(fix=True, owner_of=by_app_user)
        failed = billing.last_reconciliation()
        assert failed is not None
        assert (failed.state, failed.is_clean, failed.adopted) == ("failed", False, 0)
        assert "customer" in str(failed.error)
        pages: list[tuple[str, int]] = []
        report = billing.reconcile(
            fix=True, owner_of=by_app_user, on_progress=lambda each: pages.append((each.phase, each.done))
        )
        assert (report.id, report.state, report.adopted) == (failed.id, "done", 150)
        assert [done for phase, done in pages if phase == "customer"] == [150]
        assert billing.reconcile().compared["customer"] == 150

    def test_a_run_of_another_kind_is_not_gone_on_with(self, billing: Billing, stripe: Emulator) -> None:
        stripe.fail_next("/v1/customers", status=500, times=3)
        with pytest.raises(StripeError):
            billing.reconcile(fix=True)
        failed = billing.last_reconciliation()
        report = billing.reconcile()
        assert failed is not None
        assert (report.state, report.id != failed.id) == ("done", True)

    def test_of_two_runners_one_runs(self, billing: Billing, make_billing: Callable[..., Billing]) -> None:
        other = make_billing()
        refused: list[str] = []

        def try_beside(progress: Any) -> None:
            with pytest.raises(ReconciliationRunning) as error:
                other.reconcile()
            refused.append(error.value.code)

        assert billing.reconcile(on_progress=try_beside).state == "done"
        assert set(refused) == {"reconciliation_running"}
        assert other.reconcile().state == "done"

    def test_a_runner_that_lost_its_lease_records_nothing_more(
        self, billing: Billing, make_billing: Callable[..., Billing]
    ) -> None:
        """A process that was stopped for minutes comes back while another one has gone on."""
        later = make_billing(clock=lambda: datetime.now(UTC) + reconciliations.LEASE + timedelta(seconds=1))
        reports: list[Reconciliation] = []

        def overtake(progress: Any) -> None:
            if not reports:
                reports.append(later.reconcile())

        with pytest.raises(ReconciliationRunning):
            billing.reconcile(on_progress=overtake)
        assert billing.last_reconciliation() == reports[0]
        assert reports[0].state == "done"

    def test_a_list_goes_on_although_the_object_it_stood_at_is_gone(
        self, billing: Billing, stripe: Emulator, client: sdk.StripeClient
    ) -> None:
        ids = [a_customer(client, user) for user in range(150)]
        stripe.fail_next("/v1/customers", status=500, nth=2, times=3)
        with pytest.raises(StripeError):
            billing.reconcile(fix=True, owner_of=by_app_user)
        client.v1.customers.delete(ids[50])
        assert billing.reconcile(fix=True, owner_of=by_app_user).adopted == 150
        assert [each.field for each in billing.reconcile(fix=True).differences] == ["deleted"]

    def test_the_last_ten_runs_are_kept(self, billing: Billing, database: Database) -> None:
        now = datetime.now(UTC)
        with database.write() as session:
            for number in range(reconciliations.KEPT + 1):
                began = now - timedelta(days=number + 1)
                session.add(
                    ReconciliationRun(
                        id=f"old_{number}",
                        livemode=False,
                        fix=False,
                        adopts=False,
                        state="done",
                        started_at=began,
                        finished_at=began,
                        cursors={},
                        counts={},
                    )
                )
        newest = billing.reconcile()
        with database.read() as session:
            kept = set(session.scalars(select(ReconciliationRun.id)))
        assert kept == {newest.id, *(f"old_{number}" for number in range(reconciliations.KEPT - 1))}

    def test_a_run_that_is_killed_on_the_second_page_is_gone_on_with(
        self, make_billing: Callable[..., Billing], stripe: Emulator, client: sdk.StripeClient, tmp_path: Path
    ) -> None:
        """H15: SIGKILL leaves no time to note anything."""
        billing = make_billing()
        for user in range(150):
            a_customer(client, user)
        stripe.slow_next("/v1/customers", 60, nth=2)
        settings = billing.settings
        env = {name: value for name, value in os.environ.items() if not name.startswith(("STRIPE_", "PAIDUP_"))} | {
            "STRIPE_SECRET_KEY": settings.secret_key.get_secret_value(),
            "STRIPE_WEBHOOK_SECRET": settings.webhook_secrets[0].get_secret_value(),
            "STRIPE_API_BASE": stripe.url,
            "DATABASE_URL": settings.database_url.get_secret_value(),
            "APP_URL": settings.app_url,
            "PAIDUP_PLANS": settings.plans_file,
        }
        command = [str(Path(sys.executable).parent / "paidup"), "reconcile", "--fix", "--owner-key", "app_user"]
        with subprocess.Popen(command, env=env, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
            eventually(lambda: read_of(billing).get("customer") == 100, 30)
            process.send_signal(signal.SIGKILL)
        killed = billing.last_reconciliation()
        assert killed is not None
        assert (killed.state, killed.is_clean) == ("running", False)
        with pytest.raises(ReconciliationRunning):
            billing.reconcile(fix=True, owner_of=by_app_user)
        later = make_billing(clock=lambda: datetime.now(UTC) + reconciliations.LEASE + timedelta(seconds=1))
        pages: list[int] = []
        report = later.reconcile(fix=True, owner_of=by_app_user, on_progress=lambda each: pages.append(each.done))
        assert (report.id, report.state, report.adopted, 100 in pages) == (killed.id, "done", 150, False)


class TestTheSchedule:
    def test_one_worker_among_many_reconciles_when_it_is_time(
        self, in_step: Billing, make_billing: Callable[..., Billing], client: sdk.StripeClient
    ) -> None:
        client.v1.subscriptions.cancel(client.v1.subscriptions.list().data[0].id)
        workers = [a_worker_that_reconciles(each) for each in (in_step, make_billing(), make_billing())]
        for worker in workers:
            worker.start()
        eventually(lambda: in_step.access(OWNER).plan == "free")
        report = eventually(lambda: (found := in_step.last_reconciliation()) and found.state == "done" and found)
        assert all(worker.stop() for worker in workers)
        assert isinstance(report, Reconciliation)
        assert (report.fix, report.is_clean, report.fixed > 0) == (True, True, True)
        assert in_step.last_reconciliation() == report

    def test_a_run_is_due_after_its_hours_and_a_failed_one_after_one(
        self, make_billing: Callable[..., Billing], stripe: Emulator
    ) -> None:
        now = datetime(2027, 1, 1, tzinfo=UTC)
        billing = make_billing(clock=lambda: now)
        billing.push_catalog()
        due = partial(billing._reconciler.is_due, timedelta(hours=24))
        assert due()
        billing.reconcile()
        assert due(), "one that only compares is no substitute"
        billing.reconcile(fix=True)
        now += timedelta(hours=23)
        assert not due()
        now += timedelta(hours=1)
        assert due()
        stripe.fail_next("/v1/customers", status=500, times=3)
        with pytest.raises(StripeError):
            billing.reconcile(fix=True)
        assert not due()
        now += timedelta(hours=1)
        assert due()

    def test_a_worker_that_is_stopped_leaves_the_rest_to_the_next_at_once(
        self, billing: Billing, stripe: Emulator, client: sdk.StripeClient
    ) -> None:
        for user in range(101):
            a_customer(client, user)
        stopping = threading.Event()

        def stop(progress: Any) -> None:
            if progress.phase == "customer":
                stopping.set()

        stopped = billing._reconciler.run(fix=True, stopping=stopping, on_progress=stop)
        assert stopped.state == "running"
        report = billing.reconcile(fix=True)
        assert (report.id, report.state, report.foreign) == (stopped.id, "done", 101)

    def test_without_hours_there_is_none(self, make_billing: Callable[..., Billing]) -> None:
        worker = make_billing(reconcile_every=0).worker()
        assert worker._reconcile is None


def read_of(billing: Billing) -> dict[str, int]:
    """How many objects of each kind the running reconciliation has read."""
    with billing._database.read() as session:
        run = reconciliations.latest(session, livemode=False)
        return dict(run.counts.get("read", {})) if run else {}


def a_worker_that_reconciles(billing: Billing) -> Worker:
    """Without the minutes of rest after a start."""
    worker = billing.worker(threads=1)
    worker._reconcile_after = 0.0
    return worker


class TestTheCommand:
    def test_drift_is_exit_code_1_until_it_is_mended(
        self, in_step: Billing, database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with database.write() as session:
            session.execute(update(Invoice).values(total=1))
            invoice = session.scalars(select(Invoice.id)).one()
        paidup = partial(command, in_step, monkeypatch, capsys)
        code, out = paidup("reconcile")
        assert code == 1
        for word in (invoice, "total", "2900", "28.99 USD", "found"):
            assert word in out
        code, out = paidup("reconcile", "--json")
        found = json.loads(out)
        assert (code, found["clean"], found["found"], found["at_risk"]) == (1, False, 1, {"usd": 2899})
        (difference,) = found["differences"]
        assert difference == {
            "kind": "invoice",
            "object": invoice,
            "customer": difference["customer"],
            "field": "total",
            "ours": "1",
            "theirs": "2900",
            "amount": 2899,
            "currency": "usd",
            "state": "found",
            "reason": None,
        }
        code, out = paidup("reconcile", "--fix", "--json")
        assert (code, json.loads(out)["mended"]) == (0, {"usd": 2899})
        code, out = paidup("reconcile")
        assert (code, "nothing differs" in out) == (0, True)

    def test_customers_are_taken_in_by_a_metadata_key(
        self,
        billing: Billing,
        client: sdk.StripeClient,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        a_customer(client, 42, price=price_of(client))
        paidup = partial(command, billing, monkeypatch, capsys)
        code, out = paidup("reconcile", "--fix", "--owner-key", "app_user", "--owner-format", "team:{}")
        assert (code, "1 customers taken in" in out) == (0, True)
        assert billing.access("team:42").plan == "pro"
        code, _ = paidup("reconcile", "--owner-key", "app_user", "--owner-format", "team")
        assert code == 2


def command(
    billing: Billing, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str]:
    """The paidup command in this process, on the database and Stripe of a Billing: exit code and what it printed."""
    settings = billing.settings
    for name, value in {
        "STRIPE_SECRET_KEY": settings.secret_key.get_secret_value(),
        "STRIPE_WEBHOOK_SECRET": settings.webhook_secrets[0].get_secret_value(),
        "STRIPE_API_BASE": str(settings.api_base),
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "APP_URL": settings.app_url,
        "PAIDUP_PLANS": settings.plans_file,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["paidup", *arguments])
    with pytest.raises(SystemExit) as ended:
        run()
    return int(ended.value.code or 0), capsys.readouterr().out
