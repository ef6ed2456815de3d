"""Fixtures for tests with real databases, the emulator over HTTP, and apps that use paidup."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from paidup import Billing, Settings
from tests.support import host_app as host
from tests.support import postgres
from tests.support.databases import KINDS, DatabaseMaker, PostgresDatabases, SqliteDatabases, removed_afterwards
from tests.support.serving import address_of, bound_socket, serving

if TYPE_CHECKING:
    from stripe_emulator import Emulator

PLANS = Path(__file__).parent / "support" / "plans.toml"
SECRET_KEY = "sk_test_paidup"
WEBHOOK_SECRET = "whsec_paidup_tests"

MakeBilling = Callable[..., Billing]


@pytest.fixture(scope="session")
def postgres_databases() -> Iterator[PostgresDatabases]:
    """Databases on the run's PostgreSQL server, which starts with the first test that wants one."""
    server = postgres.start()
    try:
        databases = PostgresDatabases(server)
        yield databases
        databases.close()
    finally:
        server.stop()


@pytest.fixture(scope="session")
def sqlite_databases(tmp_path_factory: pytest.TempPathFactory) -> SqliteDatabases:
    """SQLite files in a folder of this run."""
    return SqliteDatabases(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(params=KINDS)
def databases(request: pytest.FixtureRequest) -> DatabaseMaker:
    """Makes databases of one kind. Every test that asks for it, or for what stands on it, runs once for each."""
    maker: DatabaseMaker = request.getfixturevalue(f"{request.param}_databases".replace("postgresql", "postgres"))
    return maker


@pytest.fixture
def empty_database_url(databases: DatabaseMaker) -> Iterator[str]:
    """A new database with nothing in it."""
    with removed_afterwards(databases, databases.fresh()) as url:
        yield url


@pytest.fixture
def database_url(databases: DatabaseMaker) -> Iterator[str]:
    """A new database with paidup's tables."""
    with removed_afterwards(databases, databases.migrated()) as url:
        yield url


@pytest.fixture
def stripe() -> Iterator[Emulator]:
    """A Stripe of this test alone, over real HTTP."""
    from stripe_emulator import Emulator  # imported late: the unit tests do without

    with Emulator(port=0) as emulator:
        yield emulator


@pytest.fixture
def app_socket() -> Iterator[socket.socket]:
    """Where `host_app` will be served; bound early, because billing has to know its address."""
    with bound_socket() as listener:
        yield listener


@pytest.fixture
def make_billing(stripe: Emulator, database_url: str, app_socket: socket.socket) -> Iterator[MakeBilling]:
    """
    Builds Billings on the test's database and Stripe, each as another process would have it.

    Keywords are settings by field name; `catalog`, `policy` and `clock` go to Billing itself.
    """
    with ExitStack() as stack:

        def make(*, catalog: Any = None, policy: Any = None, clock: Any = None, **settings: Any) -> Billing:
            chosen = {
                "secret_key": SECRET_KEY,
                "webhook_secrets": WEBHOOK_SECRET,
                "api_base": stripe.url,
                "database_url": database_url,
                "app_url": address_of(app_socket),
                "plans_file": str(PLANS),
            } | settings
            parts = {"catalog": catalog, "policy": policy, "clock": clock}
            billing = Billing(
                Settings.from_env(**chosen), **{name: part for name, part in parts.items() if part is not None}
            )
            stack.callback(billing.close)
            return billing

        yield make


@pytest.fixture
def billing(make_billing: MakeBilling) -> Billing:
    """A Billing whose plans are at Stripe already. Nothing is delivered to it unless `host_app` is there too."""
    billing = make_billing()
    billing.push_catalog()
    return billing


@pytest.fixture
def host_app(billing: Billing, stripe: Emulator, app_socket: socket.socket) -> Iterator[host.HostApp]:
    """A small app on `billing`, served over HTTP with the worker inside, its webhook endpoint known to `stripe`."""
    app = host.build(billing)
    with serving(app, app_socket) as url:
        served = host.HostApp(url, app, billing)
        stripe.add_endpoint(served.webhook_url, secret=WEBHOOK_SECRET)
        yield served
