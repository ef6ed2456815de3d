"""What users of the starter live through over months, in a real browser, with the emulator's clock moved."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.person import DISPUTED, FAILS_LATER, WORKS, Person
from tests.support.starter import StarterApp


@pytest.fixture
def ada(page: Page, starter_app: StarterApp) -> Person:
    person = Person(page, starter_app.url)
    person.sign_up()
    return person


def test_a_trial_without_a_card_ends_by_itself(ada: Person) -> None:
    ada.choose("basic")
    expect(ada.page.locator("[name=cardNumber]")).to_have_count(0)
    ada.page.locator("#submit").click()
    ada.is_welcomed()
    expect(ada.page.get_by_role("heading", name="Your Basic trial has begun")).to_be_visible()
    ada.go("/dashboard")
    ada.sees_banner("Your Basic trial ends on")
    ada.sees_status("Trial")
    ada.skips("Skip to trial end")
    ada.sees_plan("Free")
    ada.sees_banner("Your Basic subscription ended on")
    ada.sees_status("Ended")


def test_a_trial_that_got_a_card_goes_on_as_a_subscription(ada: Person) -> None:
    ada.choose("basic")
    ada.page.locator("#submit").click()
    ada.is_welcomed()
    ada.go("/dashboard")
    ada.page.get_by_role("button", name="Add a card").click()
    ada.page.wait_for_url("**/p/session/**")
    ada.saves_card(WORKS)
    expect(ada.page.locator("[data-fact=card]")).to_have_text("Visa •••• 4242", timeout=15_000)
    ada.skips("Skip to trial end")
    ada.sees_status("Active")
    ada.sees_plan("Basic")


def test_a_renewal_moves_the_date_and_adds_an_invoice(ada: Person) -> None:
    ada.subscribe("pro")
    ada.go("/settings/billing")
    first = ada.fact("renews")
    ada.skips("Skip to renewal")
    expect(ada.page.locator(".invoices tbody tr", has_text="Paid")).to_have_count(2, timeout=15_000)
    expect(ada.page.locator("[data-fact=renews]")).not_to_have_text(first)
    ada.sees_status("Active")


def test_a_failed_renewal_is_shown_and_recovers_with_another_card(ada: Person) -> None:
    _is_past_due(ada)
    assert ada.has_reports(), "the grace period has begun, not ended"
    ada.page.get_by_role("button", name="Update card").click()
    ada.page.wait_for_url("**/p/session/**")
    ada.saves_card("5555 5555 5555 4444")
    ada.page.get_by_role("button", name="Pay now").click()
    ada.page.wait_for_url("**/settings/billing")
    ada.sees_status("Active")
    ada.sees_no_banner()
    assert ada.fact("card") == "Mastercard •••• 4444"
    expect(ada.page.locator(".invoices tbody tr", has_text="Paid")).to_have_count(2)


def test_what_the_card_on_file_cannot_pay_is_paid_on_stripes_page(ada: Person) -> None:
    _is_past_due(ada)
    ada.page.get_by_role("button", name="Pay now").click()
    ada.page.wait_for_url("**/i/**")
    ada.page.locator("#other-card").click()
    ada.pay(WORKS)
    expect(ada.page.locator("body")).to_contain_text("Paid")
    ada.go("/settings/billing")
    ada.sees_status("Active")
    ada.sees_no_banner()


def test_who_owes_a_payment_is_offered_to_pay_it_and_no_change(ada: Person) -> None:
    _is_past_due(ada)
    ada.go("/pricing")
    expect(ada.card_of("basic").get_by_role("link")).to_have_count(0)
    ada.card_of("pro").get_by_role("button", name="Pay now").click()
    ada.page.wait_for_url("**/i/**")


def test_a_payment_that_is_disputed_puts_the_plan_on_hold(ada: Person) -> None:
    ada.choose("pro")
    ada.pay(DISPUTED)
    ada.page.wait_for_url("**/welcome**")
    ada.go("/settings/billing")
    ada.sees_banner("Pro is on hold")
    ada.sees_status("On hold")
    ada.sees_plan("Free")
    expect(ada.page.locator(".invoices tbody tr")).to_contain_text("Disputed")
    assert not ada.has_reports()


def test_the_next_invoice_is_shown_before_it_is_charged(ada: Person) -> None:
    ada.go("/settings/billing/next-invoice")
    expect(ada.page.get_by_role("heading", name="No invoice is coming")).to_be_visible()
    ada.subscribe("pro")
    ada.go("/settings/billing")
    renews = ada.fact("renews")
    ada.page.get_by_role("link", name="Next invoice").click()
    expect(ada.page.get_by_role("heading", name=f"Next invoice: $29.00 on {renews}")).to_be_visible()
    expect(ada.page.locator("tbody tr")).to_contain_text("Pro")


def test_a_card_that_fails_at_the_renewal_recovers_at_the_next_retry(ada: Person) -> None:
    ada.subscribe("pro")
    ada.go("/dashboard")
    ada.skips("Let the next payment fail")
    ada.skips("Skip to renewal")
    ada.sees_status("Past due")
    ada.skips("Skip to next retry")
    ada.sees_status("Active")
    ada.sees_no_banner()


def test_a_canceled_plan_runs_until_its_end_and_then_is_free(ada: Person) -> None:
    ada.subscribe("pro")
    _cancel_in_portal(ada)
    ada.sees_banner("Pro ends on")
    ada.sees_status("Canceling")
    assert ada.page.locator("[data-fact=renews]").count() == 0
    assert ada.has_reports()
    ada.skips("Skip to the end")
    ada.sees_plan("Free")
    ada.sees_status("Ended")
    assert not ada.has_reports()


def test_a_cancellation_can_be_taken_back(ada: Person) -> None:
    ada.subscribe("pro")
    _cancel_in_portal(ada)
    ada.sees_banner("Pro ends on")
    ada.page.get_by_role("button", name="Keep Pro").click()
    ada.sees_no_banner()
    ada.sees_status("Active")
    ada.skips("Skip to renewal")
    ada.sees_status("Active")
    assert ada.has_reports()


def test_who_cancels_on_the_settings_page_says_why_and_may_come_back(ada: Person, starter_app: StarterApp) -> None:
    """H71: what ends is shown as ending, never as renewing."""
    ada.subscribe("pro")
    ada.go("/settings/billing")
    ada.page.get_by_text("Cancel subscription").click()
    ada.page.get_by_label("Why do you leave?").select_option("too_expensive")
    ada.page.get_by_label("Anything we should know?").fill("I would pay half.")
    ada.page.get_by_role("button", name="Yes, cancel").click()
    ada.page.wait_for_url("**/settings/billing")
    ada.sees_banner("Pro ends on")
    ada.sees_status("Canceling")
    assert re.fullmatch(r"\w{3} \d{1,2}, \d{4}", ada.fact("ends"))
    assert ada.page.locator("[data-fact=renews]").count() == 0
    [told] = starter_app.stripe.events("customer.subscription.updated")[-1:]
    details = told["data"]["object"]["cancellation_details"]
    assert (details["feedback"], details["comment"]) == ("too_expensive", "I would pay half.")
    ada.page.get_by_role("button", name="Resume subscription").click()
    ada.page.wait_for_url("**/settings/billing")
    ada.sees_no_banner()
    ada.sees_status("Active")
    ada.skips("Skip to renewal")
    ada.sees_status("Active")
    assert ada.has_reports()


def test_a_pause_takes_the_plan_and_resuming_brings_it_back(ada: Person) -> None:
    ada.subscribe("pro")
    ada.go("/settings/billing")
    ada.page.get_by_text("Pause subscription").click()
    ada.page.get_by_label("For how long?").select_option("Two months")
    ada.page.get_by_role("button", name="Yes, pause").click()
    ada.sees_status("Paused")
    ada.sees_banner("Pro is paused")
    ada.sees_plan("Free")
    assert not ada.has_reports()
    expect(ada.page.locator("[data-fact=resumes]")).to_contain_text("20")
    ada.page.get_by_role("button", name="Resume Pro").click()
    ada.sees_status("Active")
    ada.sees_plan("Pro")
    ada.sees_no_banner()


def _is_past_due(person: Person) -> None:
    person.subscribe("pro")
    person.opens_portal()
    person.page.locator("#update-card").click()
    person.saves_card(FAILS_LATER)
    person.leaves_portal()
    expect(person.page.locator("[data-fact=card]")).to_have_text("Visa •••• 0341", timeout=15_000)
    person.go("/dashboard")
    person.skips("Skip to renewal")
    person.sees_banner("Your last payment failed")
    person.sees_status("Past due")


def _cancel_in_portal(person: Person) -> None:
    person.opens_portal()
    person.page.locator("#cancel-plan").click()
    person.page.locator("[name=feedback]").select_option(index=1)
    person.page.locator("#confirm-cancel").click()
    person.page.wait_for_load_state()
    person.leaves_portal()
