"""The Checkout page and 3D Secure, over the running emulator and in states that take long to reach."""

from __future__ import annotations

import re
from typing import Any

import pytest

from emulator.tests.scripted_hosted import ScriptedHosted, a_checkout, a_client, a_line, a_trial_checkout
from emulator.tests.shop import DECLINED, NEEDS_3DS, Shop
from stripe_emulator.hosted import ChallengeView, Outcome

CARD = {"cardNumber": "4242 4242 4242 4242", "cardExpiry": "12 / 40", "cardCvc": "123", "billingName": "Ada Lovelace"}


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def error_of(html: str) -> str:
    found = re.search(r'id="error"[^>]*role="alert">([^<]*)<', html)
    return found[1] if found else ""


def submit(shop: Shop, session: str, number: str, **form: str) -> Any:
    form = {"email": "ada@example.com", **CARD, "cardNumber": number, **form}
    return shop.pages.post(f"/c/pay/{session}", data=form)


def test_a_payment_leads_to_the_merchant(shop: Shop) -> None:
    session = shop.session(shop.price(900, name="Basic").id)
    answer = submit(shop, session.id, "4242 4242 4242 4242")
    assert answer.status_code == 303
    assert answer.headers["location"] == f"http://shop.test/done?session_id={session.id}"
    again = shop.pages.get(f"/c/pay/{session.id}").text
    assert "You’re all set" in again
    assert 'name="cardNumber"' not in again


def test_the_summary_says_what_is_bought(shop: Shop) -> None:
    session = shop.session(shop.price(900, name="Basic").id, customer_email="ada@example.com")
    html = shop.pages.get(f"/c/pay/{session.id}").text
    text = text_of(html)
    assert "Subscribe to Basic $9.00 per month" in text
    assert "Total due today $9.00" in text
    assert ">Subscribe</button>" in html
    assert re.search(r'<input id="email"[^>]*value="ada@example.com"[^>]*readonly', html)


def test_a_trial_says_so(shop: Shop) -> None:
    session = shop.session(shop.price(900, name="Basic").id, subscription_data={"trial_period_days": 14})
    html = shop.pages.get(f"/c/pay/{session.id}").text
    assert "14 days free, then $9.00/month" in text_of(html)
    assert "Total due today $0.00" in text_of(html)
    assert ">Start trial</button>" in html


def test_a_trial_without_a_card_has_a_button_only(shop: Shop) -> None:
    session = shop.session(
        shop.price().id,
        customer=shop.customer(None).id,
        subscription_data={"trial_period_days": 14},
        payment_method_collection="if_required",
    )
    assert 'name="cardNumber"' not in shop.pages.get(f"/c/pay/{session.id}").text
    answer = shop.pages.post(f"/c/pay/{session.id}")
    assert answer.headers["location"].startswith("http://shop.test/done")


def test_a_decline_is_shown_and_the_session_stays_open(shop: Shop) -> None:
    session = shop.session(shop.price().id)
    answer = submit(shop, session.id, DECLINED)
    assert answer.status_code == 303
    html = shop.pages.get(answer.headers["location"]).text
    assert error_of(html) == "Your card was declined."
    assert 'value="ada@example.com"' in html
    assert shop.api.checkout.sessions.retrieve(session.id).status == "open"
    assert submit(shop, session.id, "4242424242424242").headers["location"].startswith("http://shop.test/done")


def test_the_card_is_never_shown_again(shop: Shop) -> None:
    session = shop.session(shop.price().id)
    for number in (DECLINED, "4000 0000 0000 0003"):
        answer = submit(shop, session.id, number, cardCvc="987")
        html = shop.pages.get(answer.headers["location"]).text
        fields = re.sub(r"<details.*?</details>", "", html, flags=re.DOTALL)  # the list of test cards
        for secret in (number, number.replace(" ", ""), "987", "12 / 40"):
            assert secret not in fields
            assert secret not in answer.headers["location"]


def test_a_bad_card_never_reaches_the_bank(shop: Shop) -> None:
    session = shop.session(shop.price().id)
    seen = shop.seen()
    answer = submit(shop, session.id, "4242 4242 4242 4241", cardExpiry="1/20", cardCvc="", email="ada@")
    html = shop.pages.get(answer.headers["location"]).text
    assert error_of(html).split("\n") == [
        "Email: Your email address is invalid.",
        "Card number: Your card number is invalid.",
        "Expiry: Your card&#39;s expiration date is in the past.",
        "CVC: Enter your card&#39;s security code.",
    ]
    assert re.findall(r'aria-describedby="(\w+)-error"', html) == ["email", "cardNumber", "cardExpiry", "cardCvc"]
    assert shop.types_since(seen) == []


def test_a_card_that_expires_by_the_emulated_clock_is_refused_at_its_expiry(shop: Shop) -> None:
    session = shop.session(shop.price().id)
    shop.emulator.advance(days=1)
    year = shop.emulator.now.year
    shop.emulator.advance(days=800)
    session = shop.session(shop.price().id)
    answer = submit(shop, session.id, "4242424242424242", cardExpiry=f"12/{year + 1}")
    assert 'aria-describedby="cardExpiry-error"' in shop.pages.get(answer.headers["location"]).text


def test_3d_secure_completes_the_payment(shop: Shop) -> None:
    session = shop.session(shop.price(2900).id)
    answer = submit(shop, session.id, NEEDS_3DS)
    page = answer.headers["location"]
    assert page.startswith("/c/3ds/")
    html = shop.pages.get(page).text
    assert "$29.00" in html
    assert re.search(r'id="authorize".*>Complete authentication<', html)
    assert 'id="fail"' in html
    done = shop.pages.post(page, data={"answer": "complete"})
    assert done.headers["location"].startswith("http://shop.test/done")
    assert shop.pages.get(page).status_code == 404
    assert shop.pages.post(page, data={"answer": "complete"}).status_code == 404


def test_failing_3d_secure_leads_back_with_the_address_kept(shop: Shop) -> None:
    session = shop.session(shop.price().id)
    page = submit(shop, session.id, NEEDS_3DS).headers["location"]
    back = shop.pages.post(page, data={"answer": "fail"}).headers["location"]
    assert back.startswith(f"/c/pay/{session.id}?")
    html = shop.pages.get(back).text
    assert "unable to authenticate" in error_of(html)
    assert 'value="ada@example.com"' in html


def test_anything_but_complete_fails_the_challenge() -> None:
    hosted = ScriptedHosted(
        challenge_view=ChallengeView("t", 0, "usd", "Shop"), outcome=Outcome("declined", "No.", redirect="/c/pay/cs")
    )
    a_client(hosted).post("/c/3ds/t", data={"answer": "maybe"})
    assert hosted.calls == [("answer", "t", False)]


def test_a_challenge_opened_by_itself_ends_with_a_word() -> None:
    hosted = ScriptedHosted(challenge_view=ChallengeView("t", 0, "usd", "Shop"))
    assert "Authentication complete" in a_client(hosted).post("/c/3ds/t", data={"answer": "complete"}).text


def test_reloading_after_a_decline_submits_nothing() -> None:
    hosted = ScriptedHosted(checkout_view=a_checkout(), outcome=Outcome("declined", "No."))
    pages = a_client(hosted)
    answer = pages.post("/c/pay/cs_test_1", data={"email": "a@example.com", **CARD})
    for _ in range(2):
        assert error_of(pages.get(answer.headers["location"]).text) == "No."
    assert len(hosted.calls) == 1
    assert error_of(pages.get("/c/pay/cs_test_1").text) == ""


def test_a_locked_address_can_not_be_replaced() -> None:
    hosted = ScriptedHosted(checkout_view=a_checkout(customer_email="ada@example.com", email_locked=True))
    a_client(hosted).post("/c/pay/cs_test_1", data={"email": "eve@example.com", **CARD})
    assert hosted.calls[0][2] is None


@pytest.mark.parametrize(
    ("view", "status", "words"),
    [
        (None, 404, "no such Checkout session"),
        (a_checkout(status="expired"), 410, "has expired"),
        (a_checkout(status="complete"), 200, "You’re all set"),
    ],
)
def test_a_page_that_can_not_be_used_says_so(view: Any, status: int, words: str) -> None:
    pages = a_client(ScriptedHosted(checkout_view=view))
    answer = pages.get("/c/pay/cs_test_1")
    assert answer.status_code == status
    assert words in answer.text
    posted = pages.post("/c/pay/cs_test_1", data={"email": "a@example.com", **CARD})
    assert (posted.status_code, posted.headers["location"]) == (303, "/c/pay/cs_test_1")


@pytest.mark.parametrize(
    ("view", "button"),
    [
        (a_checkout(), "Subscribe"),
        (a_trial_checkout(), "Start trial"),
        (a_trial_checkout(trial_days=None), "Start trial"),
        (a_checkout(mode="payment", lines=[a_line(interval=None)]), "Pay"),
        (a_checkout(mode="setup", lines=[], amount_total=0, due_today=0), "Save card"),
        (a_checkout(lines=[a_line(quantity=3, amount=2700), a_line(interval=None)], amount_total=3600), "Subscribe"),
        (a_checkout(lines=[a_line(interval_count=3)], cancel_url=None), "Subscribe"),
    ],
)
def test_every_kind_of_session_has_its_button(view: Any, button: str) -> None:
    html = a_client(ScriptedHosted(checkout_view=view)).get("/c/pay/cs_test_1").text
    assert f'<button id="submit" class="button button-wide" type="submit">{button}</button>' in html


def test_what_the_merchant_wrote_is_escaped() -> None:
    evil = "<script>alert(1)</script>\"'"
    view = a_checkout(
        merchant_name=evil,
        customer_email=evil,
        lines=[a_line(name=evil, description=evil)],
        cancel_url="javascript:alert(1)",
    )
    html = a_client(ScriptedHosted(checkout_view=view)).get("/c/pay/cs_test_1").text
    assert "<script" not in html
    assert "javascript:" not in html
    assert evil not in html


def test_what_the_customer_wrote_is_escaped() -> None:
    pages = a_client(ScriptedHosted(checkout_view=a_checkout()))
    answer = pages.post("/c/pay/cs_test_1", data={"email": '"><script>x', "billingName": '"><script>y'})
    assert "<script" not in pages.get(answer.headers["location"]).text


def test_a_form_that_is_no_form_is_no_card() -> None:
    pages = a_client(ScriptedHosted(checkout_view=a_checkout()))
    as_json = pages.post("/c/pay/cs_test_1", json={"cardNumber": "4242424242424242"})
    as_file = pages.post("/c/pay/cs_test_1", files={"cardNumber": ("n.txt", b"4242424242424242")}, data=CARD)
    for answer in (as_json, as_file):
        assert "Enter your email address." in pages.get(answer.headers["location"]).text
