"""Another e-mail, and the end of an account: who may, and what becomes of it here and at Stripe."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest
import stripe as sdk

from saas.accounts import ATTEMPTS_PER_ACCOUNT
from stripe_emulator import Emulator
from tests.acceptance.reader import PASSWORD, Reader, text_of
from tests.support.starter import SECRET_KEY, StarterApp
from tests.support.waiting import eventually

EMAIL = "/settings/account/email"
DELETE = "/settings/account/delete"


@pytest.fixture(scope="module")
def starter_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StarterApp]:
    """One app for all tests here: each has a user of its own."""
    with Emulator(port=0) as stripe:
        app = StarterApp(stripe, tmp_path_factory.mktemp("starter"))
        app.prepare()
        app.start()
        try:
            yield app
        finally:
            app.stop()


@pytest.fixture
def ada(starter_app: StarterApp) -> Iterator[Reader]:
    with httpx.Client(base_url=starter_app.url, headers={"Accept": "text/html"}, timeout=30) as client:
        yield Reader(client)


@pytest.fixture
def client(starter_app: StarterApp) -> sdk.StripeClient:
    """Stripe as anybody sees it."""
    return sdk.StripeClient(SECRET_KEY, base_addresses={"api": starter_app.stripe.url})


def customer_of(client: sdk.StripeClient, reader: Reader) -> sdk.Customer:
    """The one customer with the reader's first e-mail."""
    [found] = client.v1.customers.list({"email": reader.email}).data
    return found


def signs_in(app: StarterApp, email: str) -> bool:
    answer = httpx.post(f"{app.url}/sign-in", data={"email": email, "password": PASSWORD})
    return answer.status_code == 303


def test_another_email_signs_in_and_gets_the_receipts(
    ada: Reader, starter_app: StarterApp, client: sdk.StripeClient
) -> None:
    ada.buys("pro")
    customer = customer_of(client, ada)
    ada.sends(EMAIL, email=f"  New-{ada.email}", password=PASSWORD)
    assert f"new-{ada.email}" in ada.reads("/settings/account?saved=yes")
    assert client.v1.customers.retrieve(customer.id).email == f"new-{ada.email}"
    assert (signs_in(starter_app, f"new-{ada.email}"), signs_in(starter_app, ada.email)) == (True, False)


def test_an_email_is_changed_by_somebody_who_was_never_a_customer(ada: Reader, starter_app: StarterApp) -> None:
    ada.sends(EMAIL, email=f"new-{ada.email}", password=PASSWORD)
    assert signs_in(starter_app, f"new-{ada.email}")


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"password": "not the password"}, "This is not your password."),
        ({"password": ""}, "This is not your password."),
        ({"email": "ada"}, "Enter an e-mail address"),
    ],
)
def test_a_form_that_is_wrong_changes_no_email(
    ada: Reader, starter_app: StarterApp, form: dict[str, str], message: str
) -> None:
    answer = ada.client.post(EMAIL, data={"email": f"new-{ada.email}", "password": PASSWORD} | form)
    assert answer.status_code == 422
    assert message in answer.text
    assert signs_in(starter_app, ada.email)


def test_another_accounts_email_is_taken(ada: Reader, starter_app: StarterApp) -> None:
    with httpx.Client(base_url=starter_app.url, headers={"Accept": "text/html"}) as client:
        eve = Reader(client)
        answer = client.post(EMAIL, data={"email": ada.email.upper(), "password": PASSWORD})
    assert answer.status_code == 422
    assert "There is another account with this e-mail." in answer.text
    assert signs_in(starter_app, eve.email)


def test_with_stripe_away_saving_again_tells_it(ada: Reader, starter_app: StarterApp, client: sdk.StripeClient) -> None:
    ada.buys("pro")
    customer = customer_of(client, ada)
    form = {"email": f"new-{ada.email}", "password": PASSWORD}
    starter_app.stripe.fail_next("/v1/customers/*", status=503, times=50)
    try:
        answer = ada.client.post(EMAIL, data=form)
    finally:
        starter_app.stripe.clear_faults()
    assert answer.status_code == 503
    assert "receipts do not go there yet" in answer.text
    ada.sends(EMAIL, **form)
    assert client.v1.customers.retrieve(customer.id).email == f"new-{ada.email}"


@pytest.mark.parametrize("path", [EMAIL, DELETE])
def test_guessing_the_password_at_an_open_browser_is_stopped(ada: Reader, path: str) -> None:
    for _ in range(ATTEMPTS_PER_ACCOUNT):
        assert ada.client.post(path, data={"email": ada.email, "password": "a guess"}).status_code == 422
    refused = ada.client.post(path, data={"email": ada.email, "password": PASSWORD})
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0


def test_deleting_an_account_ends_what_is_billed(
    ada: Reader, starter_app: StarterApp, client: sdk.StripeClient
) -> None:
    ada.buys("pro")
    customer = customer_of(client, ada)
    answer = ada.sends(DELETE, password=PASSWORD)
    assert answer.headers["location"] == "/goodbye"
    assert getattr(client.v1.customers.retrieve(customer.id), "deleted", False)
    [subscription] = client.v1.subscriptions.list({"customer": customer.id, "status": "all"}).data
    assert subscription.status == "canceled"


def test_nothing_of_a_deleted_account_is_left_in_the_app(ada: Reader, starter_app: StarterApp) -> None:
    ada.sends("/projects", name=f"Project of {ada.email}")
    session = ada.client.cookies["session"]
    ada.sends(DELETE, password=PASSWORD)
    assert "session" not in ada.client.cookies
    assert not signs_in(starter_app, ada.email)
    assert httpx.get(f"{starter_app.url}/dashboard", cookies={"session": session}).status_code == 401
    with closing(sqlite3.connect(starter_app.database_url.removeprefix("sqlite:///"))) as database:
        left = database.execute("SELECT name FROM projects WHERE name = ?", [f"Project of {ada.email}"]).fetchall()
    assert left == []


def test_without_the_password_nothing_is_deleted(ada: Reader, starter_app: StarterApp) -> None:
    ada.buys("pro")
    answer = ada.client.post(DELETE, data={"password": "not the password"})
    assert answer.status_code == 422
    assert "This is not your password." in answer.text
    assert "Your plan" in ada.reads("/pricing")


def test_with_stripe_away_the_account_goes_and_the_workers_end_the_rest(
    ada: Reader, starter_app: StarterApp, client: sdk.StripeClient
) -> None:
    ada.buys("pro")
    customer = customer_of(client, ada)
    starter_app.stripe.fail_next("/v1/*", status=503, times=500)
    try:
        answer = ada.sends(DELETE, password=PASSWORD)
    finally:
        starter_app.stripe.clear_faults()
    assert answer.headers["location"] == "/goodbye?later=yes"
    assert "Your subscription is being ended there" in text_of(ada.reads("/goodbye?later=yes"))
    assert not signs_in(starter_app, ada.email)
    eventually(lambda: getattr(client.v1.customers.retrieve(customer.id), "deleted", False), 60)


def test_the_page_says_what_deleting_ends(ada: Reader) -> None:
    assert "You are charged nothing any more." in text_of(ada.reads("/settings/account"))
    ada.buys("pro")
    assert "Pro ends at once, and what you paid for it is not paid back." in text_of(ada.reads("/settings/account"))
