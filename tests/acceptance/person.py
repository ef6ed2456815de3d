"""Somebody with a browser: what a user of the starter does, in the words of the stories."""

from __future__ import annotations

import re
import uuid

from playwright.sync_api import Locator, Page, expect

WORKS = "4242 4242 4242 4242"
DECLINED = "4000 0000 0000 0002"
ASKS_FOR_3DS = "4000 0025 0000 3155"
DISPUTED = "4000 0000 0000 0259"
FAILS_LATER = "4000 0000 0000 0341"

_PATIENCE_MS = 15_000
"""How long a page may take to follow what happened at Stripe."""


class Person:
    """A user with an own e-mail, in one tab."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.email = f"ada-{uuid.uuid4().hex[:10]}@example.com"
        self.password = "a perfectly fine password"

    def go(self, path: str) -> None:
        """Open a page of the app."""
        self.page.goto(self.url + path)

    def sign_up(self, path: str = "/sign-up") -> None:
        """Create an account."""
        self.go(path)
        self.fill_in_sign_up()

    def fill_in_sign_up(self) -> None:
        """Fill in the sign-up form that is open."""
        self.page.get_by_label("Name", exact=True).fill("Ada Lovelace")
        self.page.get_by_label("E-mail").fill(self.email)
        self.page.get_by_label("Password").fill(self.password)
        self.page.get_by_role("button", name="Create account").click()

    def choose(self, plan: str, *, interval: str = "month") -> None:
        """Press a plan's button on the pricing page, which leads to Checkout."""
        self.go(f"/pricing?interval={interval}")
        self.card_of(plan).get_by_role("button").click()
        self.page.wait_for_url("**/c/pay/**")

    def card_of(self, plan: str) -> Locator:
        """A plan's card on the pricing page."""
        return self.page.locator(f"[data-plan={plan}]")

    def enter_card(self, number: str) -> None:
        """Type a card into the form that is open."""
        self.page.locator("[name=cardNumber]").fill(number)
        self.page.locator("[name=cardExpiry]").fill("12 / 40")
        self.page.locator("[name=cardCvc]").fill("123")
        self.page.locator("[name=billingName]").fill("Ada Lovelace")

    def pay(self, number: str = WORKS) -> None:
        """Pay on the Checkout page that is open."""
        self.enter_card(number)
        self.page.locator("#submit").click()

    def subscribe(self, plan: str, *, card: str = WORKS, interval: str = "month") -> None:
        """From the pricing page to being on the plan."""
        self.choose(plan, interval=interval)
        self.pay(card)
        self.is_welcomed()

    def is_welcomed(self) -> None:
        """The return page shows a subscription, as it is in the database."""
        expect(self.page.locator("[data-state=subscribed]")).to_be_visible(timeout=_PATIENCE_MS)

    def opens_portal(self) -> None:
        """Open the billing portal from the billing page."""
        self.go("/settings/billing")
        self.page.get_by_role("button", name="Open billing portal").click()
        self.page.wait_for_url("**/p/session/**")

    def saves_card(self, number: str) -> None:
        """Type a card into the portal's form and save it; who came for the card alone is led back to the app."""
        self.enter_card(number)
        self.page.locator("#save-card").click()
        self.page.wait_for_url(re.compile(r"(/p/session/[^/]+(/overview)?|/settings/billing)([?#].*)?$"))

    def leaves_portal(self) -> None:
        """Take the portal's way back to the app."""
        self.page.locator("#return").first.click()
        self.page.wait_for_url("**/settings/billing**")

    def skips(self, button: str) -> None:
        """Press a button of the test clock's bar."""
        self.page.get_by_role("button", name=button).click()
        self.page.wait_for_url(re.compile(r"clock=(moved|decline)"))

    def sees_plan(self, name: str) -> None:
        """The header shows this plan; the page gets there by itself."""
        expect(self.page.locator("#live-tag")).to_contain_text(name, timeout=_PATIENCE_MS)

    def sees_status(self, text: str) -> None:
        """The subscription card shows this status; the page gets there by itself."""
        expect(self.page.locator("#live-subscription .pill")).to_have_text(text, timeout=_PATIENCE_MS)

    def sees_banner(self, text: str) -> None:
        """A banner says this; the page gets there by itself."""
        expect(self.page.locator("#live-banner")).to_contain_text(text, timeout=_PATIENCE_MS)

    def sees_no_banner(self) -> None:
        """Nothing to do; the page gets there by itself."""
        expect(self.page.locator("#live-banner")).to_be_empty(timeout=_PATIENCE_MS)

    def fact(self, name: str) -> str:
        """A line of the subscription card, such as `renews`."""
        return self.page.locator(f"[data-fact={name}]").inner_text()

    def has_reports(self) -> bool:
        """Does the reports API answer? Asked as the signed-in browser would."""
        answer = self.page.request.get(f"{self.url}/api/reports")
        assert answer.status in (200, 402), answer.text()
        return answer.ok
