"""The Workbench: everything is found, shown whole and without secrets, and every button does what it says."""

from __future__ import annotations

import re
from html import unescape
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
import stripe

from emulator.tests.shop import Shop

PAGES = ("", "/objects", "/events", "/webhooks", "/clocks", "/faults", "/requests")


def read(shop: Shop, path: str, **query: Any) -> str:
    answer = shop.pages.get(f"/workbench{path}", params=query, follow_redirects=True)
    assert answer.status_code == 200, answer.text
    return unescape(answer.text)


def press(shop: Shop, form: str, **values: Any) -> str:
    """Submit a form from the page with the notices, and read where it leads."""
    answer = shop.pages.post(f"/workbench/{form}", data={"back": "/workbench/clocks", **values})
    assert answer.status_code == 303
    return unescape(shop.pages.get(answer.headers["location"]).text)


def request_of(made: Any) -> str:
    """The page of the request that made an object."""
    return f"/requests/{made.last_response.request_id}"


def a_subscription(shop: Shop) -> Any:
    return shop.subscribe(shop.customer().id, shop.price().id)


@pytest.mark.parametrize("path", PAGES)
def test_every_page_opens_empty_and_full(shop: Shop, path: str) -> None:
    read(shop, path)
    a_subscription(shop)
    shop.emulator.add_endpoint(f"{shop.emulator.url}/nowhere")
    assert "<main>" in read(shop, path)


def test_an_empty_workbench_says_what_to_do(shop: Shop) -> None:
    assert f"--api-base {shop.emulator.url}" in read(shop, "")


def test_an_object_is_found_by_its_id_an_address_and_metadata(shop: Shop) -> None:
    customer = shop.api.customers.create({"email": "Ann@example.com", "metadata": {"team": "blue wäls"}})
    shop.api.customers.create({"email": "ben@example.com"})
    assert f">{customer.id}</h1>" in read(shop, "/objects", q=customer.id), "an id leads to the object itself"
    for text in ("ann@EXAMPLE", "blue wäls", customer.id[:-3]):
        found = read(shop, "/objects", q=text)
        assert customer.id in found
        assert "ben@example.com" not in found
    assert customer.id not in read(shop, "/objects", kind="product", q="ann@")


def test_objects_come_in_pages(shop: Shop) -> None:
    ids = [shop.api.products.create({"name": f"Product {number}"}).id for number in range(60)]
    first, second = (read(shop, "/objects", kind="product", page=number) for number in (1, 2))
    assert [id in first for id in (ids[-1], ids[0])] == [True, False]
    assert [id in second for id in (ids[-1], ids[0])] == [False, True]


def test_an_object_is_shown_with_what_belongs_to_it_and_its_events(shop: Shop) -> None:
    subscription = a_subscription(shop)
    shown = read(shop, f"/objects/{subscription.id}")
    assert f'href="/workbench/objects/{subscription.customer}"' in shown
    assert f'href="/workbench/objects/{subscription.latest_invoice}"' in shown
    assert "customer.subscription.created" in shown
    of_customer = read(shop, f"/objects/{subscription.customer}")
    assert subscription.id in of_customer
    assert subscription.latest_invoice in of_customer


def test_events_are_filtered_by_type_and_object(shop: Shop) -> None:
    subscription = a_subscription(shop)
    other = shop.api.customers.create({})
    found = read(shop, "/events", type="customer.*", object=subscription.customer)
    assert "customer.subscription.created" in found
    assert "invoice.paid" not in found
    assert other.id not in found


def test_an_event_shows_what_changed_and_what_caused_it(shop: Shop) -> None:
    subscription = a_subscription(shop)
    shop.api.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    event = shop.emulator.events("customer.subscription.updated")[-1]
    shown = re.sub(r"<[^>]+>", "", read(shop, f"/events/{event['id']}"))
    assert re.search(r"cancel_at_period_end\s*false\s*true", shown)
    assert f"POST /v1/subscriptions/{subscription.id}" in shown


def test_a_delivery_shows_its_attempts_and_is_sent_again(shop: Shop) -> None:
    shop.emulator.add_endpoint(f"{shop.emulator.url}/nowhere")
    shop.api.customers.create({})
    shop.emulator.wait_for_deliveries(first_try=True)
    [delivery] = shop.emulator.deliveries()
    assert "404" in read(shop, "/webhooks")
    assert "Sent again" in press(shop, f"deliveries/{delivery['id']}/resend")
    assert len(shop.emulator.deliveries()[0]["attempts"]) > len(delivery["attempts"])


def test_sending_again_leads_back_to_the_same_filter(shop: Shop) -> None:
    shop.emulator.add_endpoint(f"{shop.emulator.url}/nowhere")
    shop.api.customers.create({})
    shown = shop.pages.get("/workbench/webhooks?status=pending&notice=said").text
    backs = re.findall(r'name="back" value="([^"]+)"[^/]+Resend', shown)
    assert backs == ["/workbench/webhooks?status=pending"]


def test_deliveries_are_held_back_by_a_switch(shop: Shop) -> None:
    shop.emulator.add_endpoint(f"{shop.emulator.url}/nowhere")
    press(shop, "deliveries/mode/pause")
    shop.api.customers.create({})
    assert shop.emulator.deliveries()[0]["attempts"] == []
    press(shop, "deliveries/mode/normal")
    shop.emulator.wait_for_deliveries(first_try=True)
    assert shop.emulator.deliveries()[0]["attempts"]


def test_the_clock_goes_to_what_is_due_next(shop: Shop) -> None:
    subscription = a_subscription(shop)
    assert subscription.id in read(shop, "/clocks"), "its renewal is due"
    assert "put forward" in press(shop, "clocks/advance", to="renewal")
    assert len(shop.emulator.events("invoice.paid")) == 2


def test_a_test_clock_is_advanced(shop: Shop) -> None:
    clock = shop.api.test_helpers.test_clocks.create({"frozen_time": 1_800_000_000})
    press(shop, f"clocks/{clock.id}/advance", seconds=86_400)
    shop.emulator.wait_for_deliveries()
    assert shop.api.test_helpers.test_clocks.retrieve(clock.id).frozen_time == 1_800_086_400


def test_a_refused_button_says_why(shop: Shop) -> None:
    assert "Time goes forward only" in press(shop, "clocks/advance", seconds=-5)
    assert "no renewal ahead" in press(shop, "clocks/advance", to="renewal")


def test_a_snapshot_is_taken_and_gone_back_to(shop: Shop) -> None:
    kept = shop.api.customers.create({})
    assert "Kept as before." in press(shop, "snapshots", name="before")
    shop.api.customers.delete(kept.id)
    assert "Back to before." in press(shop, "snapshots/before/restore")
    assert [one.id for one in shop.api.customers.list().data] == [kept.id]
    press(shop, "snapshots/before/delete")
    assert "Go back" not in read(shop, "/clocks")


def test_faults_are_set_and_taken_back(shop: Shop) -> None:
    press(shop, "faults/add", path="/v1/customers*", status="503", nth="1", times="2")
    with pytest.raises(stripe.StripeError):
        shop.api.customers.list({}, {"max_network_retries": 0})
    shown = read(shop, "/faults")
    assert "503" in shown
    [id] = re.findall(r"faults/([^/\"]+)/delete", shown)
    press(shop, f"faults/{id}/delete")
    assert shop.api.customers.list().data == []
    assert "was taken back before" in press(shop, f"faults/{id}/delete")


def test_every_request_is_logged_with_its_answer_and_events(shop: Shop) -> None:
    made = shop.api.customers.create({"email": "ann@example.com"}, {"idempotency_key": "key-of-ann"})
    with pytest.raises(stripe.InvalidRequestError):
        shop.api.customers.retrieve("cus_nobody")
    shown = read(shop, request_of(made))
    assert all(part in shown for part in ("ann@example.com", "key-of-ann", made.id, "customer.created"))
    errors = read(shop, "/requests", failed="1")
    assert "cus_nobody" in errors
    assert "key-of-ann" not in errors
    assert ">200<" not in errors


def test_a_lost_answer_is_logged_as_lost(shop: Shop) -> None:
    shop.emulator.fail_next("/v1/customers", timeout=0, after_work=True)
    with pytest.raises(httpx.HTTPError):
        shop.http("POST", "/v1/customers")
    assert "lost" in read(shop, "/requests")


def test_card_numbers_and_secrets_are_never_shown(shop: Shop) -> None:
    card: Any = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2040, "cvc": "987"}
    method = shop.api.payment_methods.create({"type": "card", "card": card})
    endpoint = shop.api.webhook_endpoints.create({"url": "https://shop.test/hook", "enabled_events": ["*"]})
    for made in (method, endpoint):
        shown = read(shop, request_of(made))
        assert not any(secret in shown for secret in ("4242424242424242", '"987"', str(endpoint.secret), "sk_test_"))
    assert "•••• 4242" in read(shop, request_of(method))
    assert str(endpoint.secret) not in read(shop, f"/objects/{endpoint.id}")


def test_a_card_number_in_the_wrong_place_is_masked_too(shop: Shop) -> None:
    for path in ("/v1/customers", "/v1/payment_methods"):
        shop.http("POST", path, data={"description": "paid with 4000 0025 0000 3155", "pan": "5555555555554444"})
    ids = re.findall(r"/requests/(req_\w+)", read(shop, "/requests"))
    shown = "".join(read(shop, f"/requests/{id}") for id in ids)
    assert "•••• 3155" in shown
    assert "4000 0025 0000 3155" not in shown
    assert "5555555555554444" not in shown


def test_the_number_of_an_invoice_is_no_secret(shop: Shop) -> None:
    invoice = shop.api.invoices.retrieve(str(a_subscription(shop).latest_invoice))
    assert str(invoice.number) in read(shop, request_of(invoice))


def test_everything_shown_is_escaped(shop: Shop) -> None:
    name = "<script>alert(1)</script>"
    customer = shop.api.customers.create({"name": name, "metadata": {name: name}})
    shop.api.customers.update(customer.id, {"name": name + "2"})
    event = shop.emulator.events("customer.updated")[-1]
    for path in ("/objects", f"/objects/{customer.id}", f"/events/{event['id']}", "/requests", f"/objects?q={name}"):
        assert "<script>" not in shop.pages.get(f"/workbench{path}").text


def test_what_is_not_there_is_said_to_be_missing(shop: Shop) -> None:
    for path in ("objects/cus_gone", "events/evt_gone", "requests/req_gone", "objects/_clock"):
        answer = shop.pages.get(f"/workbench/{path}")
        assert (answer.status_code, "Nothing by that name" in answer.text) == (404, True)


def test_nothing_is_loaded_from_elsewhere_or_kept(shop: Shop) -> None:
    answer = shop.pages.get("/workbench")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert shop.pages.get("/workbench/workbench.css").headers["content-type"].startswith("text/css")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 303),
        ({"Origin": "http://127.0.0.1:8000"}, 303),
        ({"Origin": "http://localhost:8000", "Sec-Fetch-Site": "cross-site"}, 303),
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, 303),
        ({"Origin": "https://evil.test"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "null", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_only_pages_of_this_machine_may_change_something(shop: Shop, headers: dict[str, str], status: int) -> None:
    assert shop.pages.post("/workbench/faults/clear", headers=headers).status_code == status
    other = shop.pages.post("/_emulator/clock/advance", data={"seconds": 1}, headers=headers)
    assert other.status_code == (200 if status == 303 else 403)


@pytest.mark.parametrize(
    ("host", "status"), [("localhost:1", 200), ("[::1]:1", 200), ("evil.test", 403), ("127.0.0.1.evil.test", 403)]
)
def test_another_hosts_name_is_refused(shop: Shop, host: str, status: int) -> None:
    """DNS rebinding: a website's own name, resolved to this machine."""
    assert shop.pages.get("/workbench", headers={"Host": host}).status_code == status
    assert shop.pages.get("/v1/customers", headers={"Host": host}).status_code == (401 if status == 200 else 403)


def test_events_come_in_pages_and_keep_the_filter(shop: Shop) -> None:
    ids = [shop.api.products.create({"name": f"Product {number}"}).id for number in range(102)]
    first = read(shop, "/events", type="product.*")
    [older] = re.findall(r'href="\?([^"]+)">Older', first)
    second = read(shop, "/events", **dict(parse_qsl(older)))
    assert (ids[0] in first, ids[0] in second, ids[-1] in second) == (False, True, False)
    assert "price.created" not in second
    assert "Newer" in second


def test_an_event_about_an_object_without_an_id_is_listed(shop: Shop) -> None:
    """[DOC] invoice.upcoming is about an invoice that there isn't yet: it has no id."""
    a_subscription(shop)
    press(shop, "clocks/forward")
    [event] = shop.emulator.events("invoice.upcoming")
    assert "invoice.upcoming" in read(shop, "/events")
    assert "invoice.upcoming" in read(shop, f"/events/{event['id']}")
    assert "invoice.upcoming" in read(shop, "")


def test_a_test_clock_goes_to_what_is_due_and_to_a_moment(shop: Shop) -> None:
    clock = shop.api.test_helpers.test_clocks.create({"frozen_time": 1_800_000_000})
    assert "Nothing is due" in press(shop, f"clocks/{clock.id}/advance")
    shop.subscribe(shop.customer(clock=clock.id).id, shop.price().id, trial_period_days=10)
    press(shop, f"clocks/{clock.id}/advance")
    shop.emulator.wait_for_deliveries()
    now = shop.api.test_helpers.test_clocks.retrieve(clock.id).frozen_time
    assert (now, len(shop.emulator.events("invoice.upcoming"))) == (1_800_000_000 + 3 * 86_400, 1), "a week before"
    press(shop, f"clocks/{clock.id}/advance", when="2027-01-20T00:00")
    shop.emulator.wait_for_deliveries()
    assert shop.api.test_helpers.test_clocks.retrieve(clock.id).frozen_time == 1_800_403_200
    assert "A moment is written as" in press(shop, f"clocks/{clock.id}/advance", when="soon")


def test_the_global_clock_goes_to_a_moment(shop: Shop) -> None:
    assert "put forward" in press(shop, "clocks/forward", when="2040-01-01T00:00:00")
    assert "2040-01-01 00:00" in read(shop, "/clocks")
    assert "Time goes forward only" in press(shop, "clocks/forward", when="2039-01-01T00:00:00")


def test_a_rule_picks_a_delivery_and_is_taken_back(shop: Shop) -> None:
    shop.emulator.add_endpoint(f"{shop.emulator.url}/nowhere")
    assert "The rule holds for customer.*." in press(
        shop,
        "deliveries/rules",
        type="customer.*",
        action="drop",
        nth="1",
        times="1",
        endpoint="",
        seconds="",
        until="",
    )
    assert "customer.*" in read(shop, "/webhooks")
    shop.api.customers.create({})
    shop.emulator.wait_for_deliveries(first_try=True)
    assert [one["status"] for one in shop.emulator.deliveries()] == ["dropped"]
    assert "rule: drop" in read(shop, "/webhooks")
    press(shop, "deliveries/rules", type="invoice.*", action="duplicate", times="all")
    [id] = re.findall(r"deliveries/rules/([^/\"]+)/delete", read(shop, "/webhooks"))
    assert "Taken back" in press(shop, f"deliveries/rules/{id}/delete")
    assert id not in read(shop, "/webhooks")
    assert "Say how long" in press(shop, "deliveries/rules", type="*", action="delay")


def test_rate_limits_are_switched_on_and_off(shop: Shop) -> None:
    """Documented at https://docs.stripe.com/rate-limits: 25 requests a second for a sandbox."""
    press(shop, "rate-limits", mode="sandbox")
    assert "25 requests a second in all" in read(shop, "/faults")
    press(shop, "rate-limits", mode="off")
    assert "There are none." in read(shop, "/faults")


def test_a_charge_is_declined_for_a_chosen_reason(shop: Shop) -> None:
    customer = shop.customer()
    press(shop, "faults/decline", code="lost_card", nth="1", times="1", on_session="on")
    assert "lost_card" in read(shop, "/faults")
    with pytest.raises(stripe.CardError) as refused:
        shop.subscribe(customer.id, shop.price().id, payment_behavior="error_if_incomplete", off_session=True)
    assert refused.value.error is not None
    assert refused.value.error.decline_code == "lost_card"
