"""The Workbench in a real Chromium: found and followed by hand, on a desk, on a phone and with the keyboard alone."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from emulator.tests.shop import Shop

PAGES = ("", "/objects", "/events", "/webhooks", "/clocks", "/faults", "/requests")


def a_customer_with_a_plan(shop: Shop) -> str:
    shop.emulator.add_endpoint(f"{shop.emulator.url}/nowhere")
    customer = shop.customer()
    shop.subscribe(customer.id, shop.price(2900, name="Pro").id)
    return customer.id


def test_from_an_address_to_the_renewal_and_its_delivery(shop: Shop, page: Page) -> None:
    customer = a_customer_with_a_plan(shop)
    page.goto(f"{shop.emulator.url}/workbench")
    page.get_by_role("searchbox").fill("jenny@example.com")
    page.keyboard.press("Enter")
    page.get_by_role("link", name=customer, exact=True).first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(customer)
    page.get_by_role("link", name="Clocks").click()
    page.get_by_role("button", name="to the next renewal").click()
    expect(page.get_by_role("status")).to_have_text("The clock was put forward.")
    page.get_by_role("link", name="Events").click()
    page.get_by_label("Type").fill("invoice.pai?")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_role("link", name="invoice.paid")).to_have_count(2)
    page.get_by_role("link", name="invoice.paid").first.click()
    page.get_by_role("button", name="Resend").click()
    expect(page.get_by_role("status")).to_have_text("Sent again.")
    expect(page.get_by_role("heading", level=1)).to_have_text("invoice.paid")


def test_a_fault_and_a_rule_are_added_and_taken_back(shop: Shop, page: Page) -> None:
    page.goto(f"{shop.emulator.url}/workbench/faults")
    page.get_by_role("button", name="The next call fails").click()
    page.get_by_role("button", name="Take back").click()
    expect(page.get_by_text("Everything works.")).to_be_visible()
    page.get_by_role("link", name="Webhooks").click()
    page.get_by_text("Make one: let a single delivery").click()
    page.get_by_label("What happens: they").select_option("come twice")
    page.get_by_role("button", name="Add the rule").click()
    expect(page.get_by_role("cell", name="come twice")).to_be_visible()
    page.get_by_role("button", name="Take back").click()
    expect(page.get_by_role("cell", name="come twice")).to_have_count(0)


@pytest.mark.parametrize("width", [360, 800, 1280])
def test_nothing_is_cut_off_at_any_width(shop: Shop, page: Page, width: int) -> None:
    customer = a_customer_with_a_plan(shop)
    event = shop.emulator.events("invoice.paid")[0]["id"]
    page.set_viewport_size({"width": width, "height": 900})
    for path in (*PAGES, f"/objects/{customer}", f"/events/{event}"):
        page.goto(f"{shop.emulator.url}/workbench{path}")
        wide = "[...document.querySelectorAll('html, .scroll')].filter(e => e.scrollWidth > e.clientWidth + 1).length"
        assert page.evaluate(wide) == 0, (path, width)


def test_the_keyboard_reaches_and_shows_what_it_is_on(shop: Shop, page: Page) -> None:
    page.goto(f"{shop.emulator.url}/workbench/clocks")
    reached = []
    for _ in range(8):
        page.keyboard.press("Tab")
        focused = "[document.activeElement.innerText, getComputedStyle(document.activeElement).outlineStyle]"
        text, outline = page.evaluate(focused)
        reached.append(text)
        assert outline == "solid", text
    assert reached[:2] == ["Overview", "Objects"]
    assert reached[-1] == "+ 1 hour"
