"""The portal's pages, over the running emulator and in states that take long to reach."""

from __future__ import annotations

import re
from typing import Any

import pytest

from emulator.tests.scripted_hosted import (
    DAY,
    NOV_22,
    ScriptedHosted,
    a_client,
    a_portal,
    a_subscription,
    an_invoice_row,
)
from emulator.tests.shop import NEEDS_3DS, Shop, period
from stripe_emulator.hosted import Outcome
from stripe_emulator.pages import formats

CARD = {"cardNumber": "5555 5555 5555 4444", "cardExpiry": "12 / 40", "cardCvc": "123"}
HOME = "/p/session/s"
ASKING = {
    "enabled": True,
    "mode": "at_period_end",
    "cancellation_reason": {"enabled": True, "options": ["too_expensive", "unused", "other"]},
}


def ids(html: str) -> list[str]:
    return re.findall(r'\bid="([^"]+)"', html)


def target(html: str, id: str) -> str:
    """Where the link or the form with an element leads."""
    link = re.search(rf'<a id="{id}"[^>]*href="([^"]*)"', html)
    form = re.search(rf'<form method="post" action="([^"]*)"[^>]*><button id="{id}"', html)
    found = link or form
    assert found is not None, f"{id} leads nowhere"
    return found[1]


def message(html: str) -> str:
    found = re.search(r'id="(?:error|notice)"[^>]*>([^<]*)<', html)
    return found[1] if found else ""


def follow(shop: Shop, answer: Any) -> str:
    assert answer.status_code == 303
    return str(shop.pages.get(answer.headers["location"]).text)


def test_cancel_and_undo(shop: Shop) -> None:
    customer = shop.customer()
    subscription = shop.subscribe(customer.id, shop.price(name="Pro").id)
    home = shop.pages.get(shop.portal(customer.id, subscription_cancel=ASKING).url).text
    assert "resume-plan" not in ids(home)
    where = target(home, "cancel-plan")
    assert {"feedback", "comment", "confirm-cancel"} <= set(ids(shop.pages.get(where).text))
    after = follow(shop, shop.pages.post(where, data={"feedback": "too_expensive", "comment": "Too dear"}))
    end = formats.day(period(subscription)[1])
    assert message(after) == f"Pro will be canceled on {end}."
    assert f"Your plan will be canceled on {end}" in after
    details = shop.api.subscriptions.retrieve(subscription.id).cancellation_details
    assert details is not None
    assert (details.feedback, details.comment) == ("too_expensive", "Too dear")
    again = follow(shop, shop.pages.post(target(after, "resume-plan")))
    assert message(again) == "Pro will not be canceled."
    assert shop.api.subscriptions.retrieve(subscription.id).cancel_at is None


def test_a_new_card(shop: Shop) -> None:
    customer = shop.customer()
    home = shop.pages.get(shop.portal(customer.id).url).text
    where = target(home, "update-card")
    assert "save-card" in ids(shop.pages.get(where).text)
    after = follow(shop, shop.pages.post(where, data=CARD))
    assert message(after) == "Your card has been updated."
    assert "Mastercard •••• 4444" in after


def test_a_card_that_is_refused_keeps_the_form(shop: Shop) -> None:
    home = shop.pages.get(shop.portal(shop.customer().id).url).text
    where = target(home, "update-card")
    for number, words in (("4000000000000002", "declined"), ("51051", "incomplete")):
        answer = shop.pages.post(where, data=CARD | {"cardNumber": number})
        assert answer.headers["location"].startswith(where.removeprefix(shop.emulator.url) + "?")
        html = follow(shop, answer)
        assert words in message(html)
        assert number not in html.split("Test cards")[0]


@pytest.mark.parametrize(("answer", "words"), [("complete", "has been updated"), ("fail", "unable to authenticate")])
def test_3d_secure_leads_back_into_the_portal(shop: Shop, answer: str, words: str) -> None:
    session = shop.portal(shop.customer().id)
    where = target(shop.pages.get(session.url).text, "update-card")
    challenge = shop.pages.post(where, data=CARD | {"cardNumber": NEEDS_3DS}).headers["location"]
    assert challenge.startswith("/c/3ds/")
    back = shop.pages.post(challenge, data={"answer": answer})
    assert back.headers["location"].startswith(session.url.removeprefix(shop.emulator.url))
    assert words in message(follow(shop, back))


def test_an_open_invoice_is_paid_with_the_new_card(shop: Shop) -> None:
    customer = shop.customer("pm_card_chargeCustomerFail")
    subscription = shop.subscribe(customer.id, shop.price().id, trial_period_days=1)
    shop.emulator.advance(to="renewal")
    assert shop.api.subscriptions.retrieve(subscription.id).status == "past_due"
    home = shop.pages.get(shop.portal(customer.id).url).text
    assert "Past due" in home
    failed = follow(shop, shop.pages.post(target(home, "pay-invoice")))
    assert "declined" in message(failed)
    after = follow(shop, shop.pages.post(target(failed, "update-card"), data=CARD))
    paid = follow(shop, shop.pages.post(target(after, "pay-invoice")))
    assert message(paid) == "Payment received. Thank you."
    assert "pay-invoice" not in ids(paid)
    assert shop.api.subscriptions.retrieve(subscription.id).status == "active"


def test_switching_plans_shows_the_price_first(shop: Shop) -> None:
    customer = shop.customer()
    basic, pro = shop.price(900, name="Basic"), shop.price(2900, name="Pro")
    subscription = shop.subscribe(customer.id, basic.id)
    products = [{"product": price.product, "prices": [price.id]} for price in (basic, pro)]
    session = shop.portal(
        customer.id,
        subscription_update={
            "enabled": True,
            "default_allowed_updates": ["price"],
            "products": products,
            "proration_behavior": "always_invoice",
        },
    )
    where = target(shop.pages.get(session.url).text, "change-plan")
    choices = shop.pages.get(where).text
    assert re.findall(r'name="price" value="([^"]+)"( checked)?', choices) == [(basic.id, " checked"), (pro.id, "")]
    html = shop.pages.get(f"{where}/confirm", params={"price": pro.id}).text
    assert '<dd id="new-price">$29.00/month</dd>' in html
    assert "charged to your card today" in html
    after = follow(shop, shop.pages.post(f"{where}/confirm", data={"price": pro.id, "quantity": "1"}))
    assert message(after) == "Your plan is now Pro."
    assert shop.api.subscriptions.retrieve(subscription.id)["items"].data[0].price.id == pro.id


def test_a_plan_that_is_not_on_offer_is_refused() -> None:
    hosted = ScriptedHosted(portal_view=a_portal())
    pages = a_client(hosted)
    where = f"{HOME}/subscriptions/sub_1/change/confirm"
    for answer in (pages.get(where, params={"price": "price_x"}), pages.post(where, data={"price": "price_x"})):
        assert "not on offer" in message(pages.get(answer.headers["location"]).text)
    same = pages.get(where, params={"price": "price_basic"})
    assert "You have this plan already" in message(pages.get(same.headers["location"]).text)
    assert hosted.calls == []


@pytest.mark.parametrize(
    ("quantity", "accepted"), [("3", 3), ("0", None), ("-1", None), ("x", None), ("9999999", None)]
)
def test_a_quantity_is_a_small_positive_number(quantity: str, accepted: int | None) -> None:
    features = {"subscription_update": {"enabled": True, "default_allowed_updates": ["price", "quantity"]}}
    hosted = ScriptedHosted(portal_view=a_portal(features=features))
    form = {"price": "price_pro", "quantity": quantity}
    a_client(hosted).post(f"{HOME}/subscriptions/sub_1/change/confirm", data=form)
    assert hosted.calls == ([] if accepted is None else [("change_plan", "sub_1", "price_pro", accepted)])


def test_a_quantity_that_may_not_change_does_not() -> None:
    hosted = ScriptedHosted(portal_view=a_portal())
    form = {"price": "price_pro", "quantity": "50"}
    a_client(hosted).post(f"{HOME}/subscriptions/sub_1/change/confirm", data=form)
    assert hosted.calls == [("change_plan", "sub_1", "price_pro", 1)]


@pytest.mark.parametrize(
    ("flow", "path"),
    [
        ({"type": "customer_update"}, "/customer"),
        ({"type": "payment_method_update"}, "/payment-method"),
        ({"type": "subscription_pause", "subscription": "sub_1"}, "/subscriptions/sub_1/pause"),
        ({"type": "subscription_cancel", "subscription": "sub_1"}, "/subscriptions/sub_1/cancel"),
        ({"type": "subscription_update", "subscription": "sub_1"}, "/subscriptions/sub_1/change"),
    ],
)
def test_a_session_for_one_task_opens_its_page(flow: dict[str, Any], path: str) -> None:
    view = a_portal(flow=flow, subscriptions=[a_subscription(can_pause=True)], details={"name": "Ada"})
    pages = a_client(ScriptedHosted(portal_view=view))
    answer = pages.get(HOME)
    assert answer.headers["location"] == HOME + path
    task = pages.get(answer.headers["location"])
    assert task.status_code == 200
    assert f'href="{HOME}/overview"' in task.text
    assert pages.get(f"{HOME}/overview").status_code == 200


def test_a_task_that_can_not_be_done_opens_the_overview() -> None:
    view = a_portal(flow={"type": "subscription_cancel", "subscription": "sub_gone"})
    pages = a_client(ScriptedHosted(portal_view=view))
    answer = pages.get(pages.get(HOME).headers["location"])
    assert "There is no such plan." in message(pages.get(answer.headers["location"]).text)


def test_a_task_ends_where_the_session_says(shop: Shop) -> None:
    customer = shop.customer()
    subscription = shop.subscribe(customer.id, shop.price().id)
    configured = shop.portal(customer.id).configuration
    session = shop.api.billing_portal.sessions.create(
        {
            "customer": customer.id,
            "configuration": str(configured),
            "flow_data": {
                "type": "subscription_cancel",
                "subscription_cancel": {"subscription": subscription.id},
                "after_completion": {"type": "redirect", "redirect": {"return_url": "http://shop.test/sorry"}},
            },
        }
    )
    where = shop.pages.get(session.url).headers["location"]
    assert where.endswith(f"/subscriptions/{subscription.id}/cancel")
    assert shop.pages.post(where).headers["location"] == "http://shop.test/sorry"


@pytest.mark.parametrize(
    "path",
    ["", "/overview", "/customer", "/payment-method", "/subscriptions/sub_1/cancel", "/subscriptions/sub_1/pause"],
)
def test_an_unknown_or_expired_session_says_so(path: str) -> None:
    answer = a_client(ScriptedHosted()).get(HOME + path)
    assert answer.status_code == 404
    assert "This billing portal link has expired" in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/customer",
        "/payment-method",
        "/subscriptions/sub_1/cancel",
        "/subscriptions/sub_1/pause",
        "/subscriptions/sub_1/resume",
        "/invoices/in_1/pay",
    ],
)
def test_nothing_can_be_done_with_an_expired_session(path: str) -> None:
    hosted = ScriptedHosted()
    assert a_client(hosted).post(HOME + path, data=CARD).status_code == 404
    assert hosted.calls == []


def test_what_the_configuration_forbids_has_no_page() -> None:
    subscription = a_subscription(can_cancel=False, can_change=False)
    hosted = ScriptedHosted(portal_view=a_portal(features={}, subscriptions=[subscription]), choices=[])
    pages = a_client(hosted)
    buttons = {"update-card", "update-details", "cancel-plan", "change-plan", "pause-plan", "resume-plan"}
    assert not buttons & set(ids(pages.get(HOME).text))
    for path in ("/customer", "/payment-method", "/subscriptions/sub_1/cancel", "/subscriptions/sub_1/pause"):
        assert pages.get(HOME + path).status_code == 303
        assert pages.post(HOME + path, data=CARD).status_code == 303
    assert pages.get(f"{HOME}/subscriptions/sub_1/change").status_code == 303
    assert pages.post(f"{HOME}/subscriptions/sub_1/resume").status_code == 303
    assert hosted.calls == []


def test_what_the_configuration_allows_has_a_button_that_leads_to_its_page() -> None:
    view = a_portal(subscriptions=[a_subscription(can_pause=True)], details={"name": "Ada", "email": "ada@example.com"})
    pages = a_client(ScriptedHosted(portal_view=view))
    home = pages.get(HOME).text
    for button, form in (("update-details", "save-details"), ("pause-plan", "confirm-pause")):
        assert form in ids(pages.get(target(home, button)).text)


def test_a_paid_invoice_is_not_paid_again() -> None:
    hosted = ScriptedHosted(portal_view=a_portal())
    pages = a_client(hosted)
    answer = pages.post(f"{HOME}/invoices/in_1/pay")
    assert "nothing left to pay" in message(pages.get(answer.headers["location"]).text)
    assert hosted.calls == []


def test_a_session_that_closes_meanwhile_leads_home() -> None:
    hosted = ScriptedHosted(portal_view=a_portal(), outcome=Outcome("closed", "Gone."))
    answer = a_client(hosted).post(f"{HOME}/payment-method", data=CARD)
    assert answer.headers["location"].startswith(f"{HOME}?")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "Your plan renews on December 22, 2026."),
        ({"status": "trialing", "trial_end": NOV_22 + 14 * DAY}, "Your free trial ends on December 6, 2026"),
        ({"status": "past_due"}, "Your last payment failed."),
        ({"status": "unpaid"}, "Unpaid"),
        ({"status": "paused"}, "This plan is paused."),
        ({"status": "incomplete"}, "not complete yet"),
        ({"status": "canceled"}, "This plan has ended."),
        ({"cancel_at": NOV_22 + 30 * DAY}, "Cancels Dec 22, 2026"),
        ({"quantity": 3}, "3 × $9.00"),
    ],
)
def test_a_plan_says_how_it_stands(changes: dict[str, Any], words: str) -> None:
    view = a_portal(subscriptions=[a_subscription(**changes)])
    assert words in a_client(ScriptedHosted(portal_view=view)).get(HOME).text


def test_ids_are_unique_with_several_plans_and_invoices() -> None:
    plans = [a_subscription(id=f"sub_{n}", can_resume=True, can_cancel=True) for n in range(3)]
    rows = [an_invoice_row(id=f"in_{n}", status="open", payable=True) for n in range(3)]
    html = a_client(ScriptedHosted(portal_view=a_portal(subscriptions=plans, invoices=rows))).get(HOME).text
    assert len(ids(html)) == len(set(ids(html)))
    assert {"cancel-plan", "cancel-plan-sub_1", "pay-invoice", "pay-invoice-in_2"} <= set(ids(html))


def test_an_empty_portal_says_so() -> None:
    view = a_portal(subscriptions=[], invoices=[], payment_method=None, return_url=None, customer_email=None)
    html = a_client(ScriptedHosted(portal_view=view)).get(HOME).text
    for words in ("You have no plan at the moment.", "No card on file", "No invoices yet."):
        assert words in html
    assert "return" not in ids(html)


def test_everything_is_escaped() -> None:
    evil = "<script>alert(1)</script>"
    view = a_portal(
        merchant_name=evil,
        headline=evil,
        customer_email=evil,
        return_url="javascript:alert(1)",
        subscriptions=[a_subscription(id=evil, name=evil, can_resume=True)],
        invoices=[an_invoice_row(number=evil, hosted_url="javascript:1", pdf_url="javascript:1")],
    )
    html = a_client(ScriptedHosted(portal_view=view)).get(HOME).text
    assert "<script" not in html
    assert "javascript:" not in html
