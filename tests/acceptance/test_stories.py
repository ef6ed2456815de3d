"""What users of the starter live through, in a real browser, against the emulator."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import stripe as sdk
from playwright.sync_api import Browser, Page, expect

from stripe_emulator import Emulator
from tests.acceptance.person import ASKS_FOR_3DS, DECLINED, WORKS, Person
from tests.support.starter import StarterApp


@pytest.fixture(scope="module")
def starter_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StarterApp]:
    """One app for all stories here: each has a user of its own, and nobody moves the clock."""
    with Emulator(port=0) as stripe:
        app = StarterApp(stripe, tmp_path_factory.mktemp("starter"))
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


def test_a_visitor_signs_up_and_is_led_back_to_the_chosen_plan(page: Page, starter_app: StarterApp) -> None:
    visitor = Person(page, starter_app.url)
    visitor.go("/pricing?interval=year")
    visitor.card_of("pro").get_by_role("link", name="Get Pro").click()
    visitor.fill_in_sign_up()
    expect(page.get_by_role("heading", name="One step to Pro")).to_be_visible()
    page.get_by_label("Your choice").get_by_role("button", name="Continue with Pro").click()
    page.wait_for_url("**/c/pay/**")
    expect(page.locator("body")).to_contain_text("$290")
    visitor.pay()
    visitor.is_welcomed()


def test_an_upgrade_gives_access_at_once(ada: Person, complaints: list[str]) -> None:
    ada.go("/reports")
    expect(ada.page.get_by_role("heading", name="Reports is not included in Free")).to_be_visible()
    complaints.clear()  # the upgrade page is a 402, which the browser's console mentions
    assert not ada.has_reports()
    ada.subscribe("pro", card=WORKS)
    assert ada.has_reports()
    ada.go("/reports")
    expect(ada.page.get_by_role("heading", name="Reports", exact=True)).to_be_visible()
    ada.go("/pricing")
    expect(ada.card_of("pro")).to_contain_text("Your plan")


def test_the_billing_page_shows_plan_card_and_invoice(ada: Person) -> None:
    ada.subscribe("pro")
    ada.go("/settings/billing")
    ada.sees_status("Active")
    assert ada.fact("plan") == "Pro"
    assert ada.fact("card") == "Visa •••• 4242"
    assert re.fullmatch(r"\w{3} \d{1,2}, \d{4}", ada.fact("renews"))
    row = ada.page.locator(".invoices tbody tr")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("$29.00")
    expect(row).to_contain_text("Paid")
    row.get_by_role("link", name="View").click()
    expect(ada.page.locator("body")).to_contain_text("29.00")


def test_a_promotion_code_is_taken_off_before_it_is_paid(ada: Person, starter_app: StarterApp) -> None:
    """H63."""
    client = sdk.StripeClient("sk_test_emulator", base_addresses={"api": starter_app.stripe.url}).v1
    coupon = client.coupons.create({"percent_off": 20, "duration": "once"})
    client.promotion_codes.create({"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "SPRING20"})
    ada.choose("pro")
    ada.page.locator("[name=promotionCode]").fill("nobodys")
    ada.page.locator("#apply-promotion").click()
    expect(ada.page.locator("#promotionCode-error")).to_be_visible()
    ada.page.locator("[name=promotionCode]").fill("spring20")
    ada.page.locator("#apply-promotion").click()
    expect(ada.page.locator("body")).to_contain_text("$23.20")
    ada.pay(WORKS)
    ada.is_welcomed()
    ada.go("/settings/billing")
    expect(ada.page.locator(".invoices tbody tr")).to_contain_text("$23.20")


def test_what_happened_is_written_on_the_dashboard_once(ada: Person) -> None:
    ada.subscribe("pro")
    ada.go("/dashboard")
    lines = ada.page.locator("#live-history li", has_text="Welcome to Pro")
    expect(lines).to_have_count(1, timeout=15_000)


def test_a_declined_card_may_be_replaced_on_the_spot(ada: Person) -> None:
    ada.choose("pro")
    ada.pay(DECLINED)
    expect(ada.page.get_by_role("alert")).to_contain_text("declined")
    assert not ada.has_reports()
    ada.pay(WORKS)
    ada.is_welcomed()
    assert ada.has_reports()


def test_a_card_that_asks_for_3d_secure_pays_after_the_challenge(ada: Person) -> None:
    ada.choose("pro")
    ada.pay(ASKS_FOR_3DS)
    ada.page.wait_for_url("**/c/3ds/**")
    assert not ada.has_reports()
    ada.page.locator("#authorize").click()
    ada.is_welcomed()
    assert ada.has_reports()


def test_a_failed_3d_secure_challenge_buys_nothing(ada: Person) -> None:
    ada.choose("pro")
    ada.pay(ASKS_FOR_3DS)
    ada.page.wait_for_url("**/c/3ds/**")
    ada.page.locator("#fail").click()
    ada.page.wait_for_url("**/c/pay/**")
    assert not ada.has_reports()


def test_turning_back_from_checkout_buys_nothing(ada: Person) -> None:
    ada.choose("pro")
    ada.page.locator("#cancel").click()
    ada.page.wait_for_url("**/pricing**")
    ada.sees_plan("Free")
    assert not ada.has_reports()


def test_a_plan_has_room_for_as_many_projects_as_it_says(ada: Person, complaints: list[str]) -> None:
    ada.go("/dashboard")
    for name in ("First", "Second"):
        _add_project(ada, name)
        expect(ada.page.locator(".projects")).to_contain_text(name)
    _add_project(ada, "Third")
    expect(ada.page.get_by_role("heading", name="Free includes 2 projects and 2 are in use")).to_be_visible()
    complaints.clear()  # the upgrade page is a 402
    ada.subscribe("pro")
    ada.go("/dashboard")
    _add_project(ada, "Third")
    expect(ada.page.locator(".projects li")).to_have_count(3)
    ada.page.locator(".projects li", has_text="Second").locator("summary").click()
    ada.page.get_by_role("button", name="Yes, delete").click()
    expect(ada.page.locator(".projects li")).to_have_count(2)


def test_a_second_purchase_is_refused_with_the_way_on(ada: Person, complaints: list[str]) -> None:
    ada.go("/pricing")
    stale = ada.page.context.new_page()
    stale.goto(f"{ada.url}/pricing")
    ada.subscribe("pro")
    stale.locator("[data-plan=basic]").get_by_role("button").click()
    expect(stale.get_by_role("heading", name="You already have a subscription")).to_be_visible()
    stale.get_by_role("link", name="Change plan").click()
    stale.wait_for_url("**/pricing")
    stale.close()
    complaints.clear()


def test_signing_out_ends_the_session_on_the_server(ada: Person, complaints: list[str]) -> None:
    stolen = ada.page.context.cookies()
    ada.page.get_by_role("button", name="Sign out").click()
    ada.page.wait_for_url(f"{ada.url}/")
    ada.page.context.add_cookies([{"name": c["name"], "value": c["value"], "url": ada.url} for c in stolen])
    ada.go("/dashboard")
    ada.page.wait_for_url("**/sign-in?next=%2Fdashboard")
    ada.page.get_by_label("E-mail").fill(ada.email)
    ada.page.get_by_label("Password").fill("not the password")
    ada.page.get_by_role("main").get_by_role("button", name="Sign in").click()
    expect(ada.page.get_by_role("alert")).to_have_text("E-mail or password is wrong.")
    complaints.clear()  # the form comes back with 422
    ada.page.get_by_label("Password").fill(ada.password)
    ada.page.get_by_role("main").get_by_role("button", name="Sign in").click()
    ada.page.wait_for_url("**/dashboard")


def test_everything_works_without_javascript(browser: Browser, starter_app: StarterApp) -> None:
    context = browser.new_context(java_script_enabled=False)
    context.set_default_timeout(15_000)
    somebody = Person(context.new_page(), starter_app.url)
    somebody.sign_up()
    somebody.go("/pricing")
    somebody.page.get_by_role("link", name="Yearly").click()
    somebody.card_of("pro").get_by_role("button").click()
    somebody.pay()
    somebody.is_welcomed()
    somebody.go("/dashboard")
    somebody.sees_plan("Pro")
    _add_project(somebody, "By hand")
    expect(somebody.page.locator(".projects")).to_contain_text("By hand")
    somebody.page.locator(".projects summary").click()
    somebody.page.get_by_role("button", name="Yes, delete").click()
    expect(somebody.page.get_by_text("No projects yet")).to_be_visible()
    somebody.opens_portal()
    somebody.leaves_portal()
    context.close()


def test_billing_details_are_corrected_at_stripe_and_lead_back(ada: Person) -> None:
    ada.subscribe("pro")
    ada.go("/settings/billing")
    ada.page.get_by_role("button", name="Billing details").click()
    ada.page.get_by_label("Name").fill("Ada Lovelace Ltd")
    ada.page.get_by_label("City").fill("London")
    ada.page.get_by_role("button", name="Save").click()
    ada.page.wait_for_url("**/settings/billing")
    ada.page.get_by_role("button", name="Billing details").click()
    expect(ada.page.get_by_label("Name")).to_have_value("Ada Lovelace Ltd")
    expect(ada.page.get_by_label("City")).to_have_value("London")


@pytest.mark.parametrize("path", ["/", "/pricing", "/pricing?interval=year", "/sign-up", "/sign-in"])
def test_public_pages_have_no_console_errors(page: Page, starter_app: StarterApp, path: str) -> None:
    page.goto(starter_app.url + path)
    expect(page.get_by_role("heading", level=1)).to_be_visible()


def test_pages_behind_sign_in_have_no_console_errors(ada: Person) -> None:
    ada.subscribe("pro")
    for path in ("/dashboard", "/reports", "/pricing", "/settings/billing", "/welcome"):
        ada.go(path)
        expect(ada.page.get_by_role("heading", level=1)).to_be_visible()


@pytest.mark.parametrize("path", ["/", "/pricing", "/sign-up", "/dashboard", "/settings/billing", "/reports"])
def test_pages_fit_on_a_phone(ada: Person, path: str, complaints: list[str]) -> None:
    ada.page.set_viewport_size({"width": 360, "height": 740})
    ada.go(path)
    overflow = ada.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert overflow <= 0
    complaints.clear()  # /reports is a 402 here


def test_a_phone_shows_a_visitor_one_line_of_navigation(page: Page, starter_app: StarterApp) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(starter_app.url)
    tops = [page.get_by_role("banner").get_by_role("link", name=name).bounding_box() for name in ("Pricing", "Sign up")]
    assert all(tops)
    first, last = (box["y"] + box["height"] / 2 for box in tops if box)
    assert abs(first - last) < 5


def test_a_phone_shows_all_of_the_navigation(ada: Person) -> None:
    ada.page.set_viewport_size({"width": 360, "height": 740})
    ada.go("/dashboard")
    hidden = ada.page.evaluate("(nav => nav.scrollWidth - nav.clientWidth)(document.querySelector('.main-nav'))")
    assert hidden <= 0


def test_the_test_clock_leaves_a_phone_nine_tenths_of_its_screen(ada: Person) -> None:
    ada.subscribe("pro")
    ada.page.set_viewport_size({"width": 360, "height": 740})
    ada.go("/dashboard")
    assert ada.page.evaluate("document.querySelector('.clock').offsetHeight") <= 74


def _add_project(person: Person, name: str) -> None:
    person.page.get_by_label("Name of the new project").fill(name)
    person.page.get_by_role("button", name="Add").click()
