"""What the pages of the starter say at each turn of a subscription, over HTTP, and that they offer nothing in vain."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest
import stripe as sdk

from stripe_emulator import Emulator
from tests.acceptance.reader import Reader, fact, text_of
from tests.support.starter import SECRET_KEY, StarterApp


@pytest.fixture(scope="module")
def starter_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StarterApp]:
    """One app for all tests here: each has a user of its own, and nobody moves the clock."""
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


@pytest.mark.parametrize(("path", "form"), [("pause", {"until": ""}), ("cancel", {"when": "now"})])
def test_the_card_names_the_plan_held_and_what_there_is_now(ada: Reader, path: str, form: dict[str, str]) -> None:
    ada.buys("pro")
    ada.sends(f"/billing/{path}", **form)
    for page in (ada.reads("/settings/billing"), ada.reads("/dashboard")):
        assert (fact(page, "plan"), fact(page, "access")) == ("Pro", "Free")


def test_who_has_what_they_pay_for_reads_it_once(ada: Reader) -> None:
    ada.buys("pro")
    page = ada.reads("/settings/billing")
    assert (fact(page, "plan"), fact(page, "access")) == ("Pro", "")


def test_what_has_ended_is_not_to_be_canceled_in_the_portal(ada: Reader) -> None:
    ada.buys("pro")
    assert "In the portal you change the card and cancel the plan" in text_of(ada.reads("/settings/billing"))
    ada.sends("/billing/cancel", when="now")
    page = text_of(ada.reads("/settings/billing"))
    assert "In the portal you" in page
    assert "cancel the plan" not in page


def test_a_trial_without_a_card_has_no_next_invoice_and_says_why(ada: Reader) -> None:
    ada.buys("basic", card=None)
    page = text_of(ada.reads("/settings/billing/next-invoice"))
    assert "No invoice is coming" in page
    assert "Add a card to keep Basic after that. Without one it ends by itself, at no cost." in page


def test_a_change_that_charges_nothing_today_does_not_wait_for_money(ada: Reader) -> None:
    ada.buys("basic", card=None)
    page = text_of(ada.reads("/change?plan=basic&addons.more_projects=1"))
    assert "It is yours at once, and nothing is charged today. Your trial ends by itself: add a card before" in page
    assert "once it is paid" not in page


def test_a_change_that_is_charged_is_theirs_once_paid(ada: Reader) -> None:
    ada.buys("pro")
    assert "It is yours once it is paid." in text_of(ada.reads("/change?plan=pro&interval=year"))


@pytest.mark.parametrize(
    ("path", "form", "label"),
    [("pause", {"until": ""}, "Resume Pro"), ("cancel", {}, "Resume Pro")],
    ids=["paused", "canceling"],
)
def test_what_would_be_refused_is_not_offered(ada: Reader, path: str, form: dict[str, str], label: str) -> None:
    ada.buys("pro")
    ada.sends(f"/billing/{path}", **form)
    for page in ("/pricing", "/pricing?interval=year", "/settings/billing"):
        assert "/change" not in ada.reads(page)
        assert "Change plan" not in ada.reads(page)
    pricing = ada.reads("/pricing")
    assert 'action="/billing/resume"' in pricing
    assert label in text_of(pricing)


def test_the_addons_of_a_trial_that_was_canceled_are_not_offered(ada: Reader) -> None:
    ada.buys("basic", card=None)
    assert "addons.more_projects" in ada.reads("/settings/billing")
    ada.sends("/billing/cancel")
    assert "addons.more_projects" not in ada.reads("/settings/billing")


def test_who_is_refused_a_feature_while_paused_is_led_back_to_it(ada: Reader) -> None:
    ada.buys("pro")
    ada.sends("/billing/pause", until="")
    page = ada.reads("/reports", status=402)
    assert "Pro includes this. Resume it to use it again." in text_of(page)
    assert 'action="/billing/resume"' in page
    assert "/change" not in page


def test_a_refused_change_is_not_called_a_purchase(ada: Reader) -> None:
    ada.buys("pro")
    ada.sends("/billing/cancel")
    page = text_of(ada.reads("/change?plan=basic", status=409))
    assert "Resume it, then choose again." in page
    assert "buying" not in page


def test_the_pricing_page_shows_a_change_that_is_planned(ada: Reader) -> None:
    ada.buys("pro")
    ada.changes("/change?plan=basic")
    page = ada.reads("/pricing")
    assert re.search(r"Yours from \w{3} \d{1,2}, \d{4}", text_of(page))
    assert 'action="/billing/change/undo"' in page
    assert "Undo the change first, then switch" in text_of(page)
    assert "/change?" not in page
    assert "/change?" not in ada.reads("/settings/billing")


def test_an_addon_is_added_by_one_click(ada: Reader) -> None:
    ada.buys("basic", card=None)
    assert re.search(
        r'name="addons.more_projects" type="number" min="1" max="4" value="1"', ada.reads("/settings/billing")
    )
    ada.changes("/change?plan=basic&addons.more_projects=2")
    assert re.search(
        r'name="addons.more_projects" type="number" min="0" max="4" value="2"', ada.reads("/settings/billing")
    )


def test_what_a_plan_is_sold_without_is_said_before_it_is_lost(ada: Reader, starter_app: StarterApp) -> None:
    ada.buys("basic", card=None)
    assert "There is no card to charge" in ada.reads("/change?plan=pro", status=409)
    client = sdk.StripeClient(SECRET_KEY, base_addresses={"api": starter_app.stripe.url}).v1
    [customer] = client.customers.list({"email": ada.email}).data
    method = client.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    client.customers.update(customer.id, {"invoice_settings": {"default_payment_method": method.id}})
    ada.changes("/change?plan=basic&addons.more_projects=2")
    page = fact(ada.reads("/change?plan=pro"), "lost")
    assert page == "Pro is sold without Five more projects: what you have of it ends with the change."
    assert fact(ada.reads("/change?plan=basic&addons.more_projects=0"), "lost") == ""


def test_the_pricing_page_leads_subscribers_to_the_apps_own_billing_page(ada: Reader) -> None:
    ada.buys("pro")
    page = ada.reads("/pricing")
    assert "portal" not in page
    assert re.search(r'href="/settings/billing">Manage plan<', page)
    assert re.search(r'href="/settings/billing">Cancel plan<', page)


def test_the_paid_period_brings_the_exports_of_each_seat(ada: Reader) -> None:
    ada.buys("team", seats="3")
    assert fact(ada.reads("/settings/billing"), "credits") == "300"


def test_who_never_paid_reads_of_no_exports(ada: Reader) -> None:
    assert "Exports left" not in ada.reads("/settings/billing")


def test_an_export_costs_one_and_the_same_file_again_none(ada: Reader) -> None:
    ada.buys("pro")
    for _ in range(2):
        file = ada.client.post("/reports/export")
        assert (file.status_code, file.text.splitlines()[0]) == (200, "week,started")
        assert fact(ada.reads("/reports"), "exports") == "99"
    ada.sends("/projects", name="Another line in the file")
    ada.client.post("/reports/export")
    assert fact(ada.reads("/reports"), "exports") == "98"


def test_who_has_used_up_their_exports_reads_when_new_ones_come_and_what_brings_more(
    ada: Reader, starter_app: StarterApp
) -> None:
    ada.buys("pro")
    with closing(sqlite3.connect(starter_app.database_url.removeprefix("sqlite:///"))) as database:
        [user] = database.execute("SELECT id FROM users WHERE email = ?", [ada.email]).fetchone()
    with closing(starter_app.billing()) as billing:
        assert billing.spend_credits(f"user:{user}", "exports", 100, key="all of them") == 0
    refused = ada.client.post("/reports/export")
    page = text_of(refused.text)
    assert refused.status_code == 402
    assert "Exports are used up New ones come with the payment on" in page
    assert "Team brings more." in page
    assert 'href="/change?plan=team"' in refused.text


@pytest.mark.parametrize(
    ("path", "title", "way_on"),
    [
        ("/change?plan=basic&addons.more_projects=99", "That many are not sold", "/settings/billing"),
        ("/change?plan=basic&addons.nonsense=1", "That is not sold with your plan", "/settings/billing"),
        ("/change?plan=free", "This plan cannot be bought here", "/settings/billing"),
        ("/change?plan=nonsense", "There is no such plan", "/pricing"),
        ("/change?plan=pro&interval=week", "The plan is not sold like that", "/pricing"),
        ("/change?plan=pro&seats=5", "That many seats are not sold", "/pricing"),
        ("/change?plan=pro&seats=abc", "That didn't fit", "/pricing"),
        ("/billing/invoices/in_nonsense", "There is no such invoice of yours", "/settings/billing"),
    ],
)
def test_what_cannot_be_is_said_in_words_with_a_way_on(ada: Reader, path: str, title: str, way_on: str) -> None:
    ada.buys("basic", card=None)
    status = 404 if "invoices" in path else 422
    page = ada.reads(path, status=status)
    assert f"<h1>{title}</h1>" in page
    assert f'class="button" href="{way_on}"' in page


def test_a_change_to_nothing_leads_to_the_plans(ada: Reader) -> None:
    assert ada.client.get("/change").headers["location"] == "/pricing"
