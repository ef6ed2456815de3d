"""What users of the starter live through when they change their plan, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import stripe as sdk
from playwright.sync_api import Page, expect

from stripe_emulator import Emulator
from tests.acceptance.person import WORKS, Person
from tests.support.starter import PLANS, SECRET_KEY, StarterApp
from tests.support.waiting import eventually

_ALWAYS_ASKS_FOR_3DS = "4000 0027 6000 3184"
_PHONE = """
[addons.phone]
name = "Help by phone"
plans = ["team"]

[addons.phone.prices.month]
amount = 1500
currencies = { eur = 1400 }

[addons.phone.prices.year]
amount = 15000
currencies = { eur = 14000 }
"""


@pytest.fixture(scope="module")
def starter_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StarterApp]:
    """One app for all stories here, with an add-on of which there is one beside the starter's own, and with euros."""
    folder = tmp_path_factory.mktemp("starter")
    plans = Path(folder / "plans.toml")
    sold = PLANS.read_text()
    for dollars, euros in ((2900, 2700), (29000, 27000), (1900, 1800), (19000, 18000)):
        assert f"amount = {dollars}\n" in sold
        sold = sold.replace(f"amount = {dollars}\n", f"amount = {dollars}\ncurrencies = {{ eur = {euros} }}\n")
    plans.write_text(sold + _PHONE)
    with Emulator(port=0) as stripe:
        app = StarterApp(stripe, folder)
        app.environment["PAIDUP_PLANS"] = str(plans)
        app.prepare()
        app.start()
        try:
            yield app
        finally:
            app.stop()


@pytest.fixture
def ada(page: Page, starter_app: StarterApp) -> Person:
    person = Person(page, starter_app.url)
    person.sign_up()
    return person


def switches_to(person: Person, plan: str, *, interval: str = "month") -> None:
    """From the pricing page to the page that says what it costs."""
    person.go(f"/pricing?interval={interval}")
    person.card_of(plan).get_by_role("link", name=re.compile("Switch to")).click()
    person.page.wait_for_url("**/change?**")


def cents(text: str) -> int:
    return round(float(text.replace("$", "").replace(",", "")) * 100)


def test_an_upgrade_shows_what_it_costs_and_charges_that_to_the_cent(ada: Person, starter_app: StarterApp) -> None:
    ada.subscribe("pro")
    starter_app.stripe.advance(days=10)
    switches_to(ada, "team")
    assert (ada.fact("before"), ada.fact("after")) == ("Pro, monthly", "Team, monthly, 2 seats")
    due, credit = cents(ada.fact("due")), cents(ada.fact("credit"))
    assert 1860 <= credit <= 1966  # of 29 dollars, what is left of a month after ten days
    assert 577 <= due <= 610  # of the 9 dollars more
    assert ada.fact("next").startswith("$38.00 on ")
    ada.page.get_by_role("button", name=f"Pay {ada.fact('due')} and change").click()
    ada.page.wait_for_url("**/settings/billing**")
    ada.sees_plan("Team")
    row = ada.page.locator(".invoices tbody tr", has_text="Paid").first
    expect(row).to_contain_text(f"${due / 100:.2f}")
    assert [event["data"]["object"]["amount"] for event in starter_app.stripe.events("charge.succeeded")][-1] == due


def test_a_promotion_code_makes_a_change_cheaper(ada: Person, starter_app: StarterApp) -> None:
    client = sdk.StripeClient("sk_test_demo", base_addresses={"api": starter_app.stripe.url}).v1
    coupon = client.coupons.create({"percent_off": 50, "duration": "forever"})
    client.promotion_codes.create({"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "HALF"})
    ada.subscribe("pro")
    switches_to(ada, "team")
    ada.page.get_by_label("Promotion code").fill("nobodys")
    ada.page.get_by_role("button", name="Apply").click()
    expect(ada.page.locator("#code-problem")).to_be_visible()
    assert ada.fact("next").startswith("$38.00 on ")
    ada.page.get_by_label("Promotion code").fill("half")
    ada.page.get_by_role("button", name="Apply").click()
    expect(ada.page.locator("[data-fact=code]")).to_have_text("half")
    assert ada.fact("next").startswith("$19.00 on ")
    ada.page.get_by_role("button", name="and change").or_(ada.page.get_by_role("button", name="Change now")).click()
    ada.page.wait_for_url("**/settings/billing**")
    ada.sees_plan("Team")
    expect(ada.page.locator("[data-fact=discount]")).to_have_text("50% off", timeout=15_000)
    assert client.coupons.retrieve(coupon.id).times_redeemed == 1


def test_a_team_is_bought_by_seat(ada: Person) -> None:
    ada.go("/pricing")
    ada.card_of("team").get_by_label("Seats").fill("3")
    ada.card_of("team").get_by_role("button", name="Get Team").click()
    ada.page.wait_for_url("**/c/pay/**")
    expect(ada.page.locator("body")).to_contain_text("$57.00")
    ada.pay()
    ada.is_welcomed()
    ada.go("/settings/billing")
    expect(ada.page.locator("#live-subscription")).to_contain_text("$57 per month for 3 seats")


def test_seats_are_bought_on_the_billing_page(ada: Person) -> None:
    ada.subscribe("team")
    ada.go("/settings/billing")
    ada.page.get_by_label("Seats").fill("5")
    ada.page.get_by_role("button", name="Change seats").click()
    assert ada.fact("after") == "Team, monthly, 5 seats"
    ada.page.get_by_label("Seats").fill("4")
    ada.page.get_by_role("button", name="Show the price").click()
    expect(ada.page.locator("[data-fact=after]")).to_have_text("Team, monthly, 4 seats")
    assert ada.fact("due") == "$38.00"
    ada.page.get_by_role("button", name="Pay $38.00 and change").click()
    ada.page.wait_for_url("**/settings/billing**")
    expect(ada.page.get_by_label("Seats")).to_have_value("4")
    expect(ada.page.locator("#live-subscription")).to_contain_text("$76 per month for 4 seats")


def test_an_addon_is_added_for_money_and_taken_away_at_the_end(ada: Person, starter_app: StarterApp) -> None:
    ada.subscribe("team")
    ada.go("/settings/billing")
    addon = ada.page.get_by_role("form", name="Help by phone")
    expect(addon).to_contain_text("$15 per month")
    addon.get_by_role("spinbutton").fill("1")
    addon.get_by_role("button", name="Add").click()
    assert (ada.fact("after"), ada.fact("due")) == ("Team, monthly, 2 seats, Help by phone", "$15.00")
    ada.page.get_by_role("button", name="Pay $15.00 and change").click()
    ada.page.wait_for_url("**/settings/billing**")
    expect(ada.page.locator("#live-subscription")).to_contain_text("Help by phone$15 per month")
    assert [event["data"]["object"]["amount"] for event in starter_app.stripe.events("charge.succeeded")][-1] == 1500
    addon.get_by_role("spinbutton").fill("0")
    addon.get_by_role("button", name="Change").click()
    assert ada.fact("next") == f"$38.00 on {ada.fact('effective')}"
    ada.page.get_by_role("button", name=f"Change on {ada.fact('effective')}").click()
    expect(ada.page.locator("[data-planned]")).to_contain_text("Changes to Team, monthly, 2 seats on")
    ada.skips("Skip to renewal")
    expect(addon.get_by_role("button", name="Add")).to_be_visible(timeout=15_000)
    expect(ada.page.locator("#live-subscription .facts").first).not_to_contain_text("Help by phone")


def test_room_for_more_is_offered_where_it_runs_out(ada: Person, complaints: list[str]) -> None:
    ada.choose("basic")
    ada.page.get_by_role("button", name="Start trial").click()
    ada.is_welcomed()
    ada.go("/dashboard")
    for number in range(11):
        ada.page.get_by_label("Name of the new project").fill(f"Project {number}")
        ada.page.get_by_role("button", name="Add", exact=True).click()
    expect(ada.page.get_by_role("heading", level=1)).to_have_text("Basic includes 10 projects and 10 are in use")
    complaints.clear()  # the page is a 402
    ada.page.get_by_role("link", name="add five more projects").click()
    assert ada.fact("after") == "Basic, monthly, 1 × Five more projects"
    assert ada.fact("due") == "$0.00"
    ada.page.get_by_role("button", name="Change now").click()
    ada.page.wait_for_url("**/settings/billing**")
    ada.go("/dashboard")
    expect(ada.page.locator("#live-count")).to_have_text("10 of 15")


def test_a_bank_that_asks_is_answered_and_the_plan_follows_by_itself(ada: Person) -> None:
    ada.choose("pro")
    ada.pay(_ALWAYS_ASKS_FOR_3DS)
    ada.page.locator("#authorize").click()
    ada.is_welcomed()
    switches_to(ada, "team")
    ada.page.get_by_role("button", name=re.compile("and change")).click()
    expect(ada.page.locator("#pay-invoice")).to_be_visible()
    ada.go("/settings/billing")
    expect(ada.page.locator("[data-waiting]")).to_contain_text("Your bank asks you to confirm")
    ada.page.get_by_role("button", name="Confirm with your bank").click()
    ada.page.locator("#pay-invoice").click()
    ada.page.wait_for_url("**/c/3ds/**")
    ada.page.locator("#authorize").click()
    expect(ada.page.locator("#status")).to_have_text("Paid")
    ada.go("/settings/billing")
    ada.sees_plan("Team")
    expect(ada.page.locator("[data-waiting]")).to_have_count(0)


def test_a_card_that_is_declined_leaves_the_plan(ada: Person, starter_app: StarterApp, complaints: list[str]) -> None:
    ada.subscribe("pro", card=WORKS)
    switches_to(ada, "team")
    starter_app.stripe.decline_next(on_session=True)
    ada.page.get_by_role("button", name=re.compile("and change")).click()
    expect(ada.page.get_by_role("heading", name="Your card was not charged")).to_be_visible()
    complaints.clear()  # the page is a 402
    ada.go("/settings/billing")
    ada.sees_plan("Pro")
    expect(ada.page.locator(".invoices tbody tr", has_text="Void")).to_have_count(1)


def test_a_downgrade_is_planned_undone_and_planned_again(ada: Person) -> None:
    ada.subscribe("pro")
    switches_to(ada, "basic")
    assert (ada.fact("due"), ada.fact("next")) == ("$0.00", f"$9.00 on {ada.fact('effective')}")
    when = ada.fact("effective")
    for _ in range(2):
        ada.page.get_by_role("button", name=f"Change on {when}").click()
        ada.page.wait_for_url("**/settings/billing**")
        planned = ada.page.locator("[data-planned]")
        expect(planned).to_contain_text(f"Changes to Basic, monthly on {when}")
        ada.sees_plan("Pro")
        planned.get_by_role("button", name="Undo").click()
        expect(planned).to_have_count(0)
        switches_to(ada, "basic")
    ada.page.get_by_role("button", name=f"Change on {when}").click()
    ada.page.wait_for_url("**/settings/billing**")
    ada.skips("Skip to renewal")
    ada.sees_plan("Basic")
    expect(ada.page.locator("[data-planned]")).to_have_count(0)


def test_who_pays_monthly_may_pay_yearly(ada: Person) -> None:
    ada.subscribe("pro")
    switches_to(ada, "pro", interval="year")
    assert (ada.fact("before"), ada.fact("after")) == ("Pro, monthly", "Pro, yearly")
    ada.page.get_by_role("button", name=re.compile("and change")).click()
    ada.page.wait_for_url("**/settings/billing**")
    expect(ada.page.locator("#live-subscription")).to_contain_text("$290 per year")


def test_who_is_billed_in_euros_is_shown_euros_and_pays_them(ada: Person, starter_app: StarterApp) -> None:
    """H59: what the pricing page says is what Stripe's page and the invoices say."""
    ada.choose("pro")
    client = sdk.StripeClient(SECRET_KEY, base_addresses={"api": starter_app.stripe.url}).v1
    [customer] = client.customers.list({"email": ada.email}).data
    [session] = client.checkout.sessions.list({"customer": customer.id}).data
    client.checkout.sessions.expire(session.id)
    [price] = client.prices.list({"lookup_keys": ["pro_month"]}).data
    paid_before = client.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": price.id}],
            "currency": "eur",
            "collection_method": "send_invoice",
            "days_until_due": 30,
        }
    )
    client.subscriptions.cancel(paid_before.id)
    eventually(lambda: shows(ada, "/pricing", "€27 per month"))
    ada.choose("pro")
    expect(ada.page.get_by_text("€27.00").first).to_be_visible()
    ada.pay()
    ada.is_welcomed()
    eventually(lambda: shows(ada, "/settings/billing", "€27 per month"))
    switches_to(ada, "team")
    expect(ada.page.locator("[data-fact=due]")).to_contain_text("€")


def shows(person: Person, path: str, text: str) -> bool:
    person.go(path)
    return text in " ".join(person.page.locator("main").inner_text().split())
