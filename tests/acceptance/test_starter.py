"""The starter over HTTP: who gets in, what is refused, and what is said when something is away."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import httpx
import pytest
import stripe as sdk

from saas.accounts import ATTEMPTS_PER_ACCOUNT
from stripe_emulator import Emulator
from tests.support.deliveries import signed
from tests.support.paying import pay
from tests.support.starter import SECRET_KEY, STARTER, WEBHOOK_SECRET, StarterApp
from tests.support.waiting import eventually

PASSWORD = "a perfectly fine password"
PAGE = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def starter_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StarterApp]:
    """One app for all tests here: each has users of its own."""
    with Emulator(port=0) as stripe:
        app = StarterApp(stripe, tmp_path_factory.mktemp("starter"))
        app.prepare()
        app.start()
        try:
            yield app
        finally:
            app.stop()


@pytest.fixture
def client(starter_app: StarterApp) -> Iterator[httpx.Client]:
    with _client(starter_app) as visitor:
        yield visitor


@pytest.fixture
def ada(starter_app: StarterApp) -> Iterator[httpx.Client]:
    with _client(starter_app) as client:
        _sign_up(client)
        yield client


def test_every_answer_carries_the_security_headers(client: httpx.Client) -> None:
    for path in ("/", "/nothing-here", "/static/app.css", "/billing/plans"):
        headers = client.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "https://checkout.stripe.com" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "strict-origin-when-cross-origin"


def test_the_session_cookie_is_kept_from_scripts_and_other_sites(client: httpx.Client) -> None:
    cookie = _sign_up(client).headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Max-Age=" in cookie


def test_over_https_the_cookie_is_secure_and_bound_to_the_host(starter_app: StarterApp) -> None:
    usual = starter_app.environment
    starter_app.environment = usual | {"APP_URL": "https://app.example.com"}
    starter_app.stop()
    starter_app.start()
    try:
        with _client(starter_app) as client:
            answer = _sign_up(client)
    finally:
        starter_app.environment = usual
        starter_app.stop()
        starter_app.start()
    assert answer.headers["Set-Cookie"].startswith("__Host-session=")
    assert "Secure" in answer.headers["Set-Cookie"]
    assert "Strict-Transport-Security" in answer.headers


def test_only_the_hash_of_a_session_is_stored(starter_app: StarterApp, ada: httpx.Client) -> None:
    token = ada.cookies["session"]
    with _rows(starter_app) as database:
        stored = [row[0] for row in database.execute("SELECT token_hash FROM sessions")]
    assert _sha256(token) in stored
    assert token not in stored


def test_signing_in_gives_a_new_session_and_ends_the_old_one(starter_app: StarterApp, client: httpx.Client) -> None:
    email = _email()
    _sign_up(client, email=email)
    old = client.cookies["session"]
    client.post("/sign-in", data={"email": email, "password": PASSWORD})
    assert client.cookies["session"] != old
    answer = httpx.get(f"{starter_app.url}/dashboard", cookies={"session": old}, headers=PAGE)
    assert answer.status_code == 303


def test_an_expired_session_signs_nobody_in(starter_app: StarterApp, ada: httpx.Client) -> None:
    with _rows(starter_app) as database:
        database.execute(
            "UPDATE sessions SET expires = '2020-01-01 00:00:00' WHERE token_hash = ?",
            [_sha256(ada.cookies["session"])],
        )
        database.commit()
    assert ada.get("/dashboard").headers["Location"] == "/sign-in?next=%2Fdashboard"


def test_an_unknown_address_and_a_wrong_password_look_the_same(client: httpx.Client) -> None:
    email = _email()
    _sign_up(client, email=email)
    client.cookies.clear()
    wrong = client.post("/sign-in", data={"email": email, "password": "not the password"})
    unknown = client.post("/sign-in", data={"email": email.replace("ada", "bob"), "password": "not the password"})
    assert wrong.status_code == unknown.status_code == 422
    assert wrong.text.replace(email, "") == unknown.text.replace(email.replace("ada", "bob"), "")


def test_guessing_a_password_is_stopped(client: httpx.Client) -> None:
    email = _email()
    _sign_up(client, email=email)
    client.cookies.clear()
    for _ in range(ATTEMPTS_PER_ACCOUNT):
        assert client.post("/sign-in", data={"email": email, "password": "a guess"}).status_code == 422
    refused = client.post("/sign-in", data={"email": email, "password": PASSWORD})
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    assert "session" not in client.cookies


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"name": ""}, "Enter your name"),
        ({"email": "ada"}, "Enter an e-mail address"),
        ({"email": "ada@localhost"}, "Enter an e-mail address"),
        ({"password": "short"}, "Choose 10 to 200 characters"),
    ],
)
def test_sign_up_says_what_is_wrong(client: httpx.Client, form: dict[str, str], message: str) -> None:
    answer = client.post("/sign-up", data={"name": "Ada", "email": _email(), "password": PASSWORD} | form)
    assert answer.status_code == 422
    assert message in answer.text


def test_an_address_can_have_one_account(client: httpx.Client) -> None:
    email = _email()
    _sign_up(client, email=email)
    client.cookies.clear()
    again = client.post("/sign-up", data={"name": "Eve", "email": email.upper(), "password": PASSWORD})
    assert again.status_code == 422
    assert "There is an account" in again.text


@pytest.mark.parametrize(
    "next", ["//evil.example", "https://evil.example", "/\\evil.example", "evil", "/\t/evil.example"]
)
def test_sign_in_leads_to_no_other_site(client: httpx.Client, next: str) -> None:
    answer = client.post("/sign-up", data={"name": "Ada", "email": _email(), "password": PASSWORD, "next": next})
    assert answer.headers["Location"] == "/dashboard"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
@pytest.mark.parametrize(
    "path", ["/projects", "/sign-out", "/sign-in", "/settings/account/delete", "/billing/checkout", "/billing/cancel"]
)
def test_forms_of_other_sites_are_refused(ada: httpx.Client, path: str, headers: dict[str, str]) -> None:
    assert ada.post(path, data={"name": "Planted"}, headers=headers).status_code == 403
    assert "Planted" not in ada.get("/dashboard").text


def test_our_own_forms_are_accepted(starter_app: StarterApp, ada: httpx.Client) -> None:
    assert ada.post("/projects", data={"name": "1"}, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 303
    assert ada.post("/projects", data={"name": "2"}, headers={"Origin": starter_app.url}).status_code == 303


def test_nobody_deletes_another_users_project(starter_app: StarterApp, ada: httpx.Client) -> None:
    ada.post("/projects", data={"name": "Mine alone"})
    with _rows(starter_app) as database:
        (project,) = database.execute("SELECT id FROM projects WHERE name = 'Mine alone'").fetchone()
    with _client(starter_app) as eve:
        _sign_up(eve)
        assert eve.post(f"/projects/{project}/delete").status_code == 404
    assert "Mine alone" in ada.get("/dashboard").text


def test_what_users_type_is_shown_as_text(ada: httpx.Client) -> None:
    ada.post("/projects", data={"name": "<script>alert(1)</script>"})
    page = ada.get("/dashboard").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_the_api_refuses_with_problem_details_that_name_the_way_on(starter_app: StarterApp, ada: httpx.Client) -> None:
    answer = ada.get("/api/reports", headers={"Accept": "*/*"})
    assert answer.status_code == 402
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == "feature_not_in_plan"
    assert problem["plans"] == ["pro", "team"]
    assert problem["upgrade_url"] == f"{starter_app.url}/pricing"


def test_the_api_without_a_session_answers_401(client: httpx.Client) -> None:
    answer = client.get("/api/reports", headers={"Accept": "application/json"})
    assert answer.status_code == 401
    assert answer.json()["code"] == "not_signed_in"


def test_the_limit_holds_in_every_tab(ada: httpx.Client) -> None:
    def create(number: int) -> int:
        return ada.post("/projects", data={"name": str(number)}).status_code

    with ThreadPoolExecutor(8) as tabs:
        statuses = sorted(tabs.map(create, range(8)))
    assert statuses == [303] * 2 + [402] * 6


def test_the_welcome_page_grants_nothing(ada: httpx.Client) -> None:
    page = ada.get("/welcome?checkout=cs_test_invented&state=complete")
    assert page.status_code == 200
    assert "There is no order of yours at this address" in page.text
    assert ada.get("/api/reports").status_code == 402


def test_a_foreign_checkout_is_not_found(ada: httpx.Client) -> None:
    answer = ada.get("/billing/return?session_id=cs_test_foreign")
    assert answer.status_code == 404
    assert "Start again from the pricing page" in answer.text


@pytest.mark.parametrize("path", ["/billing/webhook", "/billing/webhook/"])
def test_stripes_webhooks_get_past_everything_that_protects_the_pages(starter_app: StarterApp, path: str) -> None:
    """H23, H24: no cookie, no origin, no redirect; what is refused is refused for its signature."""
    event = {"id": f"evt_{len(path)}", "object": "event", "type": "topup.created", "livemode": False}
    body = json.dumps(event | {"data": {"object": {"id": "tu_1", "object": "topup"}}}).encode()
    answers = [
        httpx.post(starter_app.url + path, content=body, headers={"Stripe-Signature": signed(body, secret=secret)})
        for secret in (WEBHOOK_SECRET, "whsec_other")
    ]
    assert [answer.status_code for answer in answers] == [200, 400]
    assert answers[1].json()["code"] == "invalid_signature"


def test_an_address_changed_in_the_dashboard_changes_no_sign_in(starter_app: StarterApp) -> None:
    """H44: Stripe's side: where receipts go is Stripe's, who signs in is the app's."""
    email, billed = _email(), f"invoices-{uuid.uuid4().hex[:10]}@company.example"
    with _client(starter_app) as client:
        _sign_up(client, email=email)
        pay(client.post("/billing/checkout", data={"plan": "pro"}).headers["location"])
    client_of_stripe = sdk.StripeClient(SECRET_KEY, base_addresses={"api": starter_app.stripe.url})
    [customer] = client_of_stripe.v1.customers.list({"email": email}).data
    client_of_stripe.v1.customers.update(customer.id, {"email": billed})
    with _rows(starter_app) as database:
        eventually(
            lambda: (
                database.execute("SELECT email FROM billing_customers WHERE id = ?", (customer.id,)).fetchone()
                == (billed,)
            )
        )
        assert database.execute("SELECT COUNT(*) FROM users WHERE email = ?", (email,)).fetchone() == (1,)
        assert database.execute("SELECT COUNT(*) FROM users WHERE email = ?", (billed,)).fetchone() == (0,)
    for address, status in ((email, 303), (billed, 422)):
        with _client(starter_app) as again:
            assert again.post("/sign-in", data={"email": address, "password": PASSWORD}).status_code == status


def test_an_unknown_field_at_checkout_is_refused(ada: httpx.Client) -> None:
    answer = ada.post("/billing/checkout", data={"plan": "pro", "interval": "month", "price": "price_1"})
    assert answer.status_code == 422
    assert "price" in answer.text


def test_with_stripe_away_the_page_says_so_and_the_api_says_when_to_retry(
    starter_app: StarterApp, ada: httpx.Client
) -> None:
    starter_app.stripe.fail_next("/v1/*", status=503, times=50)
    try:
        page = ada.post("/billing/checkout", data={"plan": "pro"})
        api = ada.post("/billing/checkout", json={"plan": "pro"}, headers={"Accept": "application/json"})
    finally:
        starter_app.stripe.clear_faults()
    assert page.status_code == api.status_code == 503
    assert "One moment, please" in page.text
    assert api.headers["Content-Type"] == "application/problem+json"
    for answer in (page, api):
        assert int(answer.headers["Retry-After"]) > 0


def test_with_the_database_away_the_page_says_so_and_nothing_else(starter_app: StarterApp, ada: httpx.Client) -> None:
    with _rows(starter_app) as database:
        database.execute("ALTER TABLE sessions RENAME TO elsewhere")
        try:
            page = ada.get("/dashboard")
            api = ada.get("/api/reports", headers={"Accept": "application/json"})
        finally:
            database.execute("ALTER TABLE elsewhere RENAME TO sessions")
    assert page.status_code == api.status_code == 503
    assert page.headers["Retry-After"] == api.headers["Retry-After"] == "5"
    assert "One moment, please" in page.text
    assert "sessions" not in page.text + api.text


def test_an_unknown_page_is_a_page(ada: httpx.Client) -> None:
    answer = ada.get("/nothing-here")
    assert answer.status_code == 404
    assert "Page not found" in answer.text
    assert "Sign out" in answer.text


def test_missing_and_contradictory_settings_are_reported_together() -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "STRIPE_SECRET_KEY": "sk_live_secretpart",
        "SESSION_DAYS": "soon",
        "TEST_CLOCK_URL": "ftp://clock",
    }
    done = subprocess.run(
        [sys.executable, "-m", "saas"], env=environment, cwd=STARTER, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    for key in ("STRIPE_WEBHOOK_SECRET", "DATABASE_URL", "APP_URL", "SESSION_DAYS", "TEST_CLOCK_URL"):
        assert key in done.stderr
    assert "Traceback" not in done.stderr
    assert "secretpart" not in done.stderr


@contextmanager
def _client(app: StarterApp) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=app.url, headers=PAGE, timeout=30) as client:
        yield client


def _sign_up(client: httpx.Client, *, email: str | None = None) -> httpx.Response:
    form = {"name": "Ada Lovelace", "email": email or _email(), "password": PASSWORD}
    answer = client.post("/sign-up", data=form)
    assert answer.status_code == 303, answer.text
    return answer


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _email() -> str:
    return f"ada-{uuid.uuid4().hex[:10]}@example.com"


@contextmanager
def _rows(app: StarterApp) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(app.database_url.removeprefix("sqlite:///"))) as database:
        yield database
