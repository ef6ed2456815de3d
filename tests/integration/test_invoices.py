"""Invoices: by page, by fresh links, and the next one before it comes; always one owner's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest
import stripe as sdk

from paidup import AsyncBilling, Billing, InvalidRequest, InvoiceNotFound, StripeUnavailable
from stripe_emulator import Emulator
from tests.support.account import subscribe
from tests.support.host_app import HostApp
from tests.support.paying import pay
from tests.support.waiting import eventually

OWNER = "user:1"
OTHER = "user:2"


@pytest.fixture
def client(stripe: Emulator) -> sdk.StripeClient:
    """Stripe as anybody sees it, to compare with."""
    return sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url})


@pytest.fixture
def subscriber(billing: Billing) -> Billing:
    subscribe(billing)
    billing.sync(OWNER)
    return billing


@pytest.fixture
def user(host_app: HostApp) -> Iterator[httpx.Client]:
    with host_app.client(OWNER) as client:
        yield client


def bill(billing: Billing, client: sdk.StripeClient, times: int) -> None:
    """Invoices of one and the same second, beside the one of the subscription."""
    customer = billing.customer(OWNER)
    assert customer is not None
    for _ in range(times):
        invoice = client.v1.invoices.create({"customer": customer.id, "pending_invoice_items_behavior": "exclude"})
        client.v1.invoices.finalize_invoice(invoice.id)
    billing.sync(OWNER)


def test_pages_hold_every_invoice_once_and_in_one_order(subscriber: Billing, client: sdk.StripeClient) -> None:
    bill(subscriber, client, 5)
    everything = [each.id for each in subscriber.invoices(OWNER)]
    assert len(set(everything)) == 6
    found: list[str] = []
    while page := subscriber.invoices(OWNER, limit=2, before=found[-1] if found else None):
        assert len(page) == 2
        found += [each.id for each in page]
    assert found == everything


def test_a_page_stays_in_place_when_new_invoices_come(
    subscriber: Billing, client: sdk.StripeClient, stripe: Emulator
) -> None:
    bill(subscriber, client, 3)
    _, second, *rest = [each.id for each in subscriber.invoices(OWNER)]
    stripe.advance(seconds=60)
    bill(subscriber, client, 2)
    assert len(subscriber.invoices(OWNER)) == 6
    assert [each.id for each in subscriber.invoices(OWNER, before=second)] == rest


def test_another_owners_invoice_is_no_place_to_go_on_from(subscriber: Billing) -> None:
    """H39."""
    [theirs] = subscriber.invoices(OWNER)
    for invoice_id in (theirs.id, "in_unknown", ""):
        with pytest.raises(InvoiceNotFound):
            subscriber.invoices(OTHER, before=invoice_id)


def test_a_page_without_invoices_is_a_mistake_of_the_code(subscriber: Billing) -> None:
    with pytest.raises(ValueError, match="at least one"):
        subscriber.invoices(OWNER, limit=0)


def test_the_page_and_the_pdf_are_asked_for_at_the_click(subscriber: Billing, client: sdk.StripeClient) -> None:
    [invoice] = subscriber.invoices(OWNER)
    at_stripe = client.v1.invoices.retrieve(invoice.id)
    assert subscriber.invoice_page(OWNER, invoice.id) == at_stripe.hosted_invoice_url
    assert httpx.get(subscriber.invoice_page(OWNER, invoice.id)).status_code == 200
    pdf = httpx.get(subscriber.invoice_page(OWNER, invoice.id, pdf=True))
    assert pdf.content.startswith(b"%PDF")


def test_nothing_of_another_owner_is_shown_nor_asked_about(subscriber: Billing, stripe: Emulator) -> None:
    """H39: the answer is the same for what is somebody else's and for what nobody has."""
    [invoice] = subscriber.invoices(OWNER)
    stripe.fail_next("/v1/invoices/*", status=500, times=9)
    for owner, invoice_id in ((OTHER, invoice.id), (OWNER, "in_unknown")):
        with pytest.raises(InvoiceNotFound) as error:
            subscriber.invoice_page(owner, invoice_id)
        assert (error.value.status, error.value.code) == (404, "invoice_not_found")


def test_an_invoice_of_the_other_mode_is_nobodys(subscriber: Billing, stripe: Emulator) -> None:
    """H39."""
    [invoice] = subscriber.invoices(OWNER)
    subscriber._invoices._livemode = True
    with pytest.raises(InvoiceNotFound):
        subscriber.invoice_page(OWNER, invoice.id)


def test_a_draft_has_no_page_yet_and_one_that_was_deleted_never_will(
    subscriber: Billing, client: sdk.StripeClient
) -> None:
    customer = subscriber.customer(OWNER)
    assert customer is not None
    draft = client.v1.invoices.create({"customer": customer.id})
    subscriber.sync(OWNER)
    with pytest.raises(InvoiceNotFound, match="no page yet"):
        subscriber.invoice_page(OWNER, draft.id)
    client.v1.invoices.delete(draft.id)
    with pytest.raises(InvoiceNotFound, match="there is no invoice"):
        subscriber.invoice_page(OWNER, draft.id)


def test_the_upcoming_invoice_is_the_renewal_with_what_is_pending(
    subscriber: Billing, client: sdk.StripeClient
) -> None:
    subscription = subscriber.subscription(OWNER)
    assert subscription is not None
    client.v1.invoice_items.create(
        {
            "customer": subscription.customer,
            "subscription": subscription.id,
            "amount": 700,
            "currency": "usd",
            "description": "Help",
        }
    )
    found = subscriber.upcoming_invoice(OWNER)
    assert found is not None
    assert (found.subscription, found.currency, found.amount_due) == (subscription.id, "usd", 3600)
    assert found.date == subscription.current_period_end
    assert sorted(line.amount for line in found.lines) == [700, 2900]
    assert "Help" in [line.description for line in found.lines]
    assert len(client.v1.invoices.list({"customer": subscription.customer}).data) == 1


def test_there_is_none_upcoming_without_a_customer(billing: Billing) -> None:
    assert billing.upcoming_invoice(OWNER) is None


def test_one_is_upcoming_in_a_group_of_the_plans_file_alone(subscriber: Billing) -> None:
    assert subscriber.upcoming_invoice(OWNER, group="main") is not None
    with pytest.raises(InvalidRequest, match="no plan group 'another'"):
        subscriber.upcoming_invoice(OWNER, group="another")


def test_there_is_none_upcoming_once_it_is_canceling_or_over(subscriber: Billing, client: sdk.StripeClient) -> None:
    subscription = subscriber.subscription(OWNER)
    assert subscription is not None
    client.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    assert subscriber.upcoming_invoice(OWNER) is None  # Stripe knows before we do
    subscriber.sync(OWNER)
    assert subscriber.upcoming_invoice(OWNER) is None
    client.v1.subscriptions.cancel(subscription.id)
    subscriber.sync(OWNER)
    assert subscriber.upcoming_invoice(OWNER) is None


def test_there_is_none_upcoming_while_collection_is_paused(subscriber: Billing, client: sdk.StripeClient) -> None:
    subscription = subscriber.subscription(OWNER)
    assert subscription is not None
    client.v1.subscriptions.update(subscription.id, {"pause_collection": {"behavior": "void"}})
    subscriber.sync(OWNER)
    assert subscriber.upcoming_invoice(OWNER) is None


def test_there_is_none_upcoming_in_a_trial_that_ends_for_want_of_a_card(
    billing: Billing, client: sdk.StripeClient
) -> None:
    pay(str(billing.checkout(OWNER, "basic").url), number=None)
    billing.sync(OWNER)
    subscription = billing.subscription(OWNER)
    assert subscription is not None
    assert subscription.is_trialing
    assert billing.upcoming_invoice(OWNER) is None
    card = client.v1.payment_methods.attach("pm_card_visa", {"customer": subscription.customer})
    client.v1.customers.update(subscription.customer, {"invoice_settings": {"default_payment_method": card.id}})
    billing.sync(OWNER)
    found = billing.upcoming_invoice(OWNER)
    assert found is not None
    assert (found.amount_due, found.date) == (900, subscription.trial_end)


def test_the_invoice_of_a_trial_that_bills_without_a_card_is_upcoming(
    billing: Billing, client: sdk.StripeClient
) -> None:
    pay(str(billing.checkout(OWNER, "basic").url), number=None)
    billing.sync(OWNER)
    subscription = billing.subscription(OWNER)
    assert subscription is not None
    for behavior, is_billed in (("create_invoice", True), ("pause", False)):
        client.v1.subscriptions.update(
            subscription.id, {"trial_settings": {"end_behavior": {"missing_payment_method": behavior}}}
        )
        billing.sync(OWNER)
        assert (billing.upcoming_invoice(OWNER) is not None) == is_billed


@pytest.mark.parametrize("after_work", [False, True])
def test_with_stripe_away_both_say_so_and_work_again(subscriber: Billing, stripe: Emulator, after_work: bool) -> None:
    [invoice] = subscriber.invoices(OWNER)
    stripe.cut_next("/v1/invoices/*", after_work=after_work, times=6)
    with pytest.raises(StripeUnavailable):
        subscriber.invoice_page(OWNER, invoice.id)
    with pytest.raises(StripeUnavailable):
        subscriber.upcoming_invoice(OWNER)
    assert subscriber.invoice_page(OWNER, invoice.id)
    assert subscriber.upcoming_invoice(OWNER)


def test_the_verbs_are_coroutines_as_well(subscriber: Billing) -> None:
    async def ask() -> tuple[str, str, int]:
        verbs = AsyncBilling(subscriber)
        [invoice] = await verbs.invoices(OWNER, limit=5)
        upcoming = await verbs.upcoming_invoice(OWNER, group="main")
        assert upcoming is not None
        return invoice.id, await verbs.invoice_page(OWNER, invoice.id, pdf=True), upcoming.total

    invoice_id, page, total = asyncio.run(ask())
    assert (page, total) == (subscriber.invoice_page(OWNER, invoice_id, pdf=True), 2900)


class TestRoutes:
    def test_the_list_is_paged_by_links(
        self, user: httpx.Client, host_app: HostApp, subscriber: Billing, client: sdk.StripeClient
    ) -> None:
        bill(subscriber, client, 2)
        first = user.get("/billing/invoices", params={"limit": 2})
        rest = user.get(first.links["next"]["url"])
        assert [each["id"] for each in first.json() + rest.json()] == [each.id for each in subscriber.invoices(OWNER)]
        assert "next" not in rest.links

    def test_an_invoices_links_lead_to_stripe_through_us(self, user: httpx.Client, subscriber: Billing) -> None:
        [invoice] = user.get("/billing/invoices").json()
        page, pdf = user.get(invoice["page"]), user.get(invoice["pdf"])
        assert (page.status_code, pdf.status_code) == (303, 303)
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["location"] == subscriber.invoice_page(OWNER, invoice["id"])
        assert pdf.headers["location"] == subscriber.invoice_page(OWNER, invoice["id"], pdf=True)

    def test_they_are_the_callers_alone(self, user: httpx.Client, host_app: HostApp, subscriber: Billing) -> None:
        """H39."""
        [invoice] = user.get("/billing/invoices").json()
        with host_app.client(OTHER) as thief:
            for path in (invoice["page"], invoice["pdf"], f"/billing/invoices?before={invoice['id']}"):
                answer = thief.get(path, params={"owner": OWNER} if "?" not in path else None)
                assert (answer.status_code, answer.json()["code"]) == (404, "invoice_not_found")
            assert thief.get("/billing/upcoming-invoice", params={"owner": OWNER}).json() is None

    def test_who_may_not_manage_billing_sees_none(self, host_app: HostApp, subscriber: Billing) -> None:
        """H40."""
        [invoice] = subscriber.invoices(OWNER)
        paths = [f"/billing/invoices/{invoice.id}", f"/billing/invoices/{invoice.id}/pdf", "/billing/upcoming-invoice"]
        for role, owner, status in (("member", OWNER, 403), ("admin", None, 401)):
            with host_app.client(owner, role=role) as somebody:
                assert [somebody.get(path).status_code for path in paths] == [status] * 3

    def test_the_upcoming_invoice_is_told(self, user: httpx.Client, subscriber: Billing) -> None:
        found = eventually(lambda: user.get("/billing/upcoming-invoice").json())
        assert (found["amount_due"], found["currency"], len(found["lines"])) == (2900, "usd", 1)

    def test_a_page_of_too_many_is_refused(self, user: httpx.Client) -> None:
        for limit in (0, -1, 101):
            answer = user.get("/billing/invoices", params={"limit": limit})
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
