"""
Every call paidup makes to Stripe, through the official SDK.

Plain dicts come out, exactly Stripe's JSON; `core.parse` turns them into our types. Every list is read to its end.
Every call has a timeout; the SDK repeats a call that failed on the way with the same idempotency key. Errors are ours
(`errors.StripeError` and below). No global state: one client per key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import stripe
from stripe import StripeObject

from paidup import fast_json
from paidup.core.parse import PORTAL_MARK, reference
from paidup.errors import StripeNotFound
from paidup.stripe_api.budget import Budget, in_background
from paidup.stripe_api.failures import translated
from paidup.stripe_api.transport import Transport, unparsed
from paidup.stripe_api.version import API_VERSION

Json = dict[str, Any]
Params = Mapping[str, Any]

_PAGE = 100
_WITH_METHOD: Any = {"expand": ["default_payment_method"]}
_CUSTOMER_PARTS = ("invoice_settings.default_payment_method", "discount.source.coupon")
_SUBSCRIPTION_PARTS = ("default_payment_method", "discounts.source.coupon")
_PRICE_PARTS = ("currency_options",)
"""What is expanded in what is stored."""


def _in_list(parts: Sequence[str]) -> list[str]:
    return [f"data.{part}" for part in parts]


_LISTS: Mapping[str, tuple[str, Params]] = {
    "product": ("/v1/products", {}),
    "price": ("/v1/prices", {"expand": _in_list(_PRICE_PARTS)}),
    "customer": ("/v1/customers", {"expand": _in_list(_CUSTOMER_PARTS)}),
    "subscription": ("/v1/subscriptions", {"status": "all", "expand": _in_list(_SUBSCRIPTION_PARTS)}),
    "invoice": ("/v1/invoices", {}),
    "refund": ("/v1/refunds", {}),
    "dispute": ("/v1/disputes", {}),
    "event": ("/v1/events", {}),
}
"""Where everything of a kind is listed, and in which shape."""


class RawPage(NamedTuple):
    """A page of a list: Stripe's JSON, its objects, and whether there are more after them."""

    json: bytes
    bodies: list[Json]
    has_more: bool


class Gateway:
    """
    Stripe, for one account and mode.

    `timeout` is (connect, read) in seconds, `concurrency` how many calls are under way at most. Safe to use from
    several threads.
    """

    def __init__(
        self,
        secret_key: str,
        *,
        api_base: str | None = None,
        timeout: tuple[float, float] = (5.0, 20.0),
        max_network_retries: int = 2,
        concurrency: int = 20,
    ) -> None:
        self.budget = Budget(concurrency)
        # The SDK's default client never retries and waits 80 seconds for an answer.
        self._client = stripe.StripeClient(
            secret_key,
            stripe_version=API_VERSION,
            base_addresses={"api": api_base} if api_base else {},
            max_network_retries=max_network_retries,
            http_client=Transport(self.budget, timeout=timeout),
        )
        self._v1 = self._client.v1

    @property
    def api_version(self) -> str:
        """The API version every answer is in, whatever the account's is."""
        return API_VERSION

    # the whole account

    def account_id(self) -> str:
        """Whose key this is."""
        with translated("read the account"):
            return str(self._v1.accounts.retrieve_current().id)

    def read_page(self, kind: str, *, after: str | None, created_from: int | None = None) -> RawPage:
        """
        A page of everything of one kind there is in the account, newest first.

        Each object has the shape in which it is synchronised. It is plain JSON, because what the SDK builds costs many
        times as much. `created_from` is in Unix seconds; what is older is left out.
        """
        path, params = _LISTS[kind]
        with translated(f"list every {kind}"), in_background(), unparsed() as answers:
            self._client.raw_request(
                "get",
                path,
                limit=_PAGE,
                **params,
                **({"starting_after": after} if after else {}),
                **({"created": {"gte": created_from}} if created_from is not None else {}),
            )
        found = fast_json.loads(answers[-1])
        return RawPage(answers[-1], found["data"], found["has_more"])

    def complete_items(self, subscription: Json) -> None:
        """Give a subscription all its items; a list brings the first of them only."""
        if subscription["items"]["has_more"]:
            with translated(f"list the items of {subscription['id']}"):
                items = self._items(subscription["id"])
            subscription["items"] = {**subscription["items"], "data": items, "has_more": False}

    # customers

    def retrieve_customer(self, customer_id: str) -> Json:
        """A customer with its default payment method; a deleted one is a stub with `deleted`."""
        with translated(f"read customer {customer_id}"):
            return _plain(self._v1.customers.retrieve(customer_id, params={"expand": list(_CUSTOMER_PARTS)}))

    def find_customer(self, customer_id: str) -> Json | None:
        """A customer, or None when there is none with this id. Any other failure is raised."""
        return _found(self.retrieve_customer, customer_id)

    def update_customer(self, customer_id: str, params: Params) -> Json:
        """Change a customer."""
        with translated(f"change customer {customer_id}"):
            return _plain(self._v1.customers.update(customer_id, cast(Any, params)))

    def delete_customer(self, customer_id: str) -> None:
        """Delete a customer for good; their subscriptions end at once. No harm if it is deleted already."""
        with translated(f"delete customer {customer_id}"):
            self._v1.customers.delete(customer_id)

    def search_customer(self, key: str, value: str) -> Json | None:
        """A customer with this in its metadata, as of a minute ago; deleted ones aside."""
        with translated("search for a customer"):
            page = self._v1.customers.search({"query": f"metadata['{key}']:'{value}'", "limit": 1})
            return _plain(page.data[0]) if page.data else None

    def create_customer(self, params: Params, *, idempotency_key: str) -> Json:
        """Create a customer, once per key."""
        with translated("create a customer"):
            return _plain(self._v1.customers.create(cast(Any, params), {"idempotency_key": idempotency_key}))

    def list_subscriptions(self, customer_id: str) -> list[Json]:
        """Every subscription a customer ever had, each with all its items and its payment method."""
        with translated(f"list the subscriptions of {customer_id}"):
            page = self._v1.subscriptions.list(
                {
                    "customer": customer_id,
                    "status": "all",
                    "limit": _PAGE,
                    "expand": _in_list(_SUBSCRIPTION_PARTS),
                }
            )
            found = [_plain(each) for each in page.auto_paging_iter()]
        for subscription in found:
            self.complete_items(subscription)
        return found

    def _items(self, subscription_id: str) -> list[Json]:
        page = self._v1.subscription_items.list({"subscription": subscription_id, "limit": _PAGE})
        return [_plain(item) for item in page.auto_paging_iter()]

    # how a subscription ends, pauses and goes on

    def retrieve_subscription(self, subscription_id: str) -> Json:
        """A subscription as it is now, with all its items, its payment method and what is taken off it."""
        with translated(f"read subscription {subscription_id}"):
            parts: Any = {"expand": list(_SUBSCRIPTION_PARTS)}
            found = _plain(self._v1.subscriptions.retrieve(subscription_id, params=parts))
        self.complete_items(found)
        return found

    def update_subscription(self, subscription_id: str, params: Params, *, idempotency_key: str | None = None) -> Json:
        """Change a subscription, once per key if there is one; as it is then."""
        with translated(f"change subscription {subscription_id}"):
            asked = {**params, **_WITH_METHOD}
            options: stripe.RequestOptions = {"idempotency_key": idempotency_key} if idempotency_key else {}
            found = _plain(self._v1.subscriptions.update(subscription_id, cast(Any, asked), options))
        self.complete_items(found)
        return found

    def cancel_subscription(self, subscription_id: str, params: Params) -> Json:
        """End a subscription now. One that has ended is a StripeNotFound."""
        with translated(f"cancel subscription {subscription_id}"):
            asked = {**params, **_WITH_METHOD}
            found = _plain(self._v1.subscriptions.cancel(subscription_id, cast(Any, asked)))
        self.complete_items(found)
        return found

    def pause_subscription(self, subscription_id: str, params: Params) -> Json:
        """Give a subscription the status `paused`."""
        with translated(f"pause subscription {subscription_id}"):
            found = _plain(self._v1.subscriptions.pause(subscription_id, cast(Any, {**params, **_WITH_METHOD})))
        self.complete_items(found)
        return found

    def resume_subscription(self, subscription_id: str, params: Params) -> Json:
        """Bring a subscription back whose status is `paused`."""
        with translated(f"resume subscription {subscription_id}"):
            asked = {**params, **_WITH_METHOD}
            found = _plain(self._v1.subscriptions.resume(subscription_id, cast(Any, asked)))
        self.complete_items(found)
        return found

    def retrieve_schedule(self, schedule_id: str) -> Json:
        """A subscription schedule as it is now."""
        with translated(f"read schedule {schedule_id}"):
            return _plain(self._v1.subscription_schedules.retrieve(schedule_id))

    def create_schedule(self, subscription_id: str, *, idempotency_key: str) -> Json:
        """Put a subscription under a schedule that changes nothing yet, once per key."""
        with translated(f"schedule subscription {subscription_id}"):
            options: stripe.RequestOptions = {"idempotency_key": idempotency_key}
            params: Any = {"from_subscription": subscription_id}
            return _plain(self._v1.subscription_schedules.create(params, options))

    def update_schedule(self, schedule_id: str, params: Params) -> Json:
        """Say what a schedule does from now on: all its phases, the current one included."""
        with translated(f"change schedule {schedule_id}"):
            return _plain(self._v1.subscription_schedules.update(schedule_id, cast(Any, params)))

    def release_schedule(self, schedule_id: str) -> None:
        """Take a subscription out of its schedule and leave it as it is."""
        with translated(f"release schedule {schedule_id}"):
            self._v1.subscription_schedules.release(schedule_id)

    def list_subscription_invoices(self, subscription_id: str, *, status: str) -> list[Json]:
        """Every invoice of a subscription that has this status."""
        with translated(f"list the {status} invoices of {subscription_id}"):
            page = self._v1.invoices.list(
                cast(Any, {"subscription": subscription_id, "status": status, "limit": _PAGE})
            )
            return [_plain(each) for each in page.auto_paging_iter()]

    def retrieve_invoice(self, invoice_id: str, *, expand: Sequence[str] = ()) -> Json:
        """An invoice as it is now, with fresh links to its page and PDF."""
        with translated(f"read invoice {invoice_id}"):
            return _plain(self._v1.invoices.retrieve(invoice_id, {"expand": list(expand)} if expand else {}))

    def finalize_invoice(self, invoice_id: str) -> Json:
        """Make a draft final without collecting it."""
        with translated(f"finalise invoice {invoice_id}"):
            return _plain(self._v1.invoices.finalize_invoice(invoice_id, {"auto_advance": False}))

    def void_invoice(self, invoice_id: str) -> Json:
        """Take back an invoice that is open: nobody owes it any more."""
        with translated(f"void invoice {invoice_id}"):
            return _plain(self._v1.invoices.void_invoice(invoice_id))

    def mark_uncollectible(self, invoice_id: str) -> Json:
        """Write an open invoice off as a bad debt: it stays in the books, and is tried no more."""
        with translated(f"write off invoice {invoice_id}"):
            return _plain(self._v1.invoices.mark_uncollectible(invoice_id))

    def list_invoices(self, customer_id: str) -> list[Json]:
        """Every invoice of a customer, newest first."""
        with translated(f"list the invoices of {customer_id}"):
            page = self._v1.invoices.list({"customer": customer_id, "limit": _PAGE})
            return [_plain(each) for each in page.auto_paging_iter()]

    def list_invoice_lines(self, invoice_id: str) -> list[Json]:
        """Every line of an invoice: one that has more than ten comes without the rest."""
        with translated(f"list the lines of {invoice_id}"):
            page = self._v1.invoices.line_items.list(invoice_id, {"limit": _PAGE})
            return [_plain(each) for each in page.auto_paging_iter()]

    def pay_invoice(self, invoice_id: str, params: Params, *, idempotency_key: str) -> Json:
        """Charge an open invoice now, once per key. StripeDeclined when the bank says no, or asks the payer."""
        with translated(f"pay invoice {invoice_id}"):
            options: stripe.RequestOptions = {"idempotency_key": idempotency_key}
            return _plain(self._v1.invoices.pay(invoice_id, cast(Any, params), options))

    def preview_invoice(self, params: Params) -> Json:
        """What the next invoice would be; nothing is made. StripeNotFound with a code of its own when none will be."""
        with translated("preview an invoice"):
            return _plain(self._v1.invoices.create_preview(cast(Any, params)))

    def customer_of(self, kind: str, object_id: str) -> str | None:
        """Whose an object is, by Stripe's name of its kind; None when it is nobody's, or gone."""
        retrieve: dict[str, Callable[[str], StripeObject]] = {
            "checkout.session": self._v1.checkout.sessions.retrieve,
            "invoice": self._v1.invoices.retrieve,
            "payment_method": self._v1.payment_methods.retrieve,
            "subscription": self._v1.subscriptions.retrieve,
            "subscription_schedule": self._v1.subscription_schedules.retrieve,
        }
        try:
            with translated(f"read {kind} {object_id}"):
                return reference(_plain(retrieve[kind](object_id)).get("customer"))
        except StripeNotFound:
            return None

    # money that went back

    def retrieve_charge(self, charge_id: str) -> Json:
        """A charge as it is now."""
        with translated(f"read charge {charge_id}"):
            return _plain(self._v1.charges.retrieve(charge_id))

    def charge_of(self, kind: str, object_id: str) -> str | None:
        """Which charge a refund or a dispute is of; None when there is no such thing."""
        retrieve: Callable[[str], StripeObject]
        retrieve = self._v1.refunds.retrieve if kind == "refund" else self._v1.disputes.retrieve
        try:
            with translated(f"read {kind} {object_id}"):
                return reference(_plain(retrieve(object_id)).get("charge"))
        except StripeNotFound:
            return None

    def list_refunds(self, charge_id: str) -> list[Json]:
        """Every refund of a charge."""
        with translated(f"list the refunds of {charge_id}"):
            page = self._v1.refunds.list({"charge": charge_id, "limit": _PAGE})
            return [_plain(each) for each in page.auto_paging_iter()]

    def list_disputes(self, charge_id: str) -> list[Json]:
        """Every dispute of a charge."""
        with translated(f"list the disputes of {charge_id}"):
            page = self._v1.disputes.list({"charge": charge_id, "limit": _PAGE})
            return [_plain(each) for each in page.auto_paging_iter()]

    def invoice_paid_by(self, payment_intent_id: str) -> Json | None:
        """The invoice that a payment paid, wholly or in part; None when it paid none."""
        with translated(f"find the invoice of {payment_intent_id}"):
            page = self._v1.invoice_payments.list(
                {
                    "payment": {"type": "payment_intent", "payment_intent": payment_intent_id},
                    "limit": 1,
                    "expand": ["data.invoice"],
                }
            )
            return cast(Json, _plain(page.data[0])["invoice"]) if page.data else None

    def charge_of_payment(self, payment_intent_id: str) -> Json | None:
        """The last charge of a payment as it is now; None before there was one."""
        with translated(f"read payment {payment_intent_id}"):
            found = _plain(self._v1.payment_intents.retrieve(payment_intent_id, params={"expand": ["latest_charge"]}))
        return cast("Json | None", found["latest_charge"])

    def create_refund(self, params: Params, *, idempotency_key: str) -> Json:
        """Give back a payment or a part of it, once per key."""
        with translated("refund a payment"):
            return _plain(self._v1.refunds.create(cast(Any, params), {"idempotency_key": idempotency_key}))

    # Checkout and portal

    def create_checkout_session(self, params: Params, *, idempotency_key: str) -> Json:
        """Create a Checkout session, once per key."""
        with translated("create a Checkout session"):
            return _plain(self._v1.checkout.sessions.create(cast(Any, params), {"idempotency_key": idempotency_key}))

    def retrieve_checkout_session(self, session_id: str) -> Json:
        """A Checkout session as it is now."""
        with translated(f"read Checkout session {session_id}"):
            return _plain(self._v1.checkout.sessions.retrieve(session_id))

    def list_open_checkout_sessions(self, customer_id: str) -> list[Json]:
        """Every session in which a customer may still pay."""
        with translated(f"list the open Checkout sessions of {customer_id}"):
            page = self._v1.checkout.sessions.list({"customer": customer_id, "status": "open", "limit": _PAGE})
            return [_plain(each) for each in page.auto_paging_iter()]

    def expire_checkout_session(self, session_id: str) -> Json:
        """End an open session, so that nobody can pay it any more."""
        with translated(f"expire Checkout session {session_id}"):
            return _plain(self._v1.checkout.sessions.expire(session_id))

    def list_promotion_codes(self, code: str) -> list[Json]:
        """Every promotion code that is written like this, in whatever case; one of them at most is active."""
        with translated("look up a promotion code"):
            page = self._v1.promotion_codes.list({"code": code, "limit": _PAGE})
            return [_plain(each) for each in page.auto_paging_iter()]

    def coupon_of(self, discount: Mapping[str, str]) -> Json:
        """The coupon that an element of `discounts` is about: it names the coupon, or a promotion code by its id."""
        with translated("read a coupon"):
            if "coupon" in discount:
                return _plain(self._v1.coupons.retrieve(discount["coupon"]))
            found = self._v1.promotion_codes.retrieve(discount["promotion_code"], {"expand": ["promotion.coupon"]})
            coupon: Json = _plain(found)["promotion"]["coupon"]
            return coupon

    def create_portal_session(self, params: Params) -> Json:
        """Create a Billing Portal session; its URL lives for minutes, so it is made per click."""
        with translated("open the Billing Portal"):
            return _plain(self._v1.billing_portal.sessions.create(cast(Any, params)))

    def find_portal_configuration(self) -> Json | None:
        """The active portal configuration that the catalog made, None before it did."""
        key, value = PORTAL_MARK
        with translated("list portal configurations"):
            page = self._v1.billing_portal.configurations.list({"active": True, "limit": _PAGE})
            for each in page.auto_paging_iter():
                found = _plain(each)
                if (found.get("metadata") or {}).get(key) == value:
                    return found
            return None

    def create_portal_configuration(self, params: Params, *, idempotency_key: str) -> Json:
        """Create a portal configuration, once per key."""
        with translated("create a portal configuration"):
            options: stripe.RequestOptions = {"idempotency_key": idempotency_key}
            return _plain(self._v1.billing_portal.configurations.create(cast(Any, params), options))

    def update_portal_configuration(self, configuration_id: str, params: Params) -> Json:
        """Change a portal configuration."""
        with translated(f"change portal configuration {configuration_id}"):
            return _plain(self._v1.billing_portal.configurations.update(configuration_id, cast(Any, params)))

    # catalog

    def retrieve_product(self, product_id: str) -> Json:
        """A product."""
        with translated(f"read product {product_id}"):
            return _plain(self._v1.products.retrieve(product_id))

    def find_product(self, product_id: str) -> Json | None:
        """A product, or None when there is none with this id. Any other failure is raised."""
        return _found(self.retrieve_product, product_id)

    def list_products(self, **filters: Any) -> list[Json]:
        """Products, with Stripe's own filters."""
        with translated("list products"):
            page = self._v1.products.list(cast(Any, {**filters, "limit": _PAGE}))
            return [_plain(each) for each in page.auto_paging_iter()]

    def create_product(self, params: Params, *, idempotency_key: str) -> Json:
        """Create a product, once per key."""
        with translated("create a product"):
            return _plain(self._v1.products.create(cast(Any, params), {"idempotency_key": idempotency_key}))

    def update_product(self, product_id: str, params: Params) -> Json:
        """Change a product."""
        with translated(f"change product {product_id}"):
            return _plain(self._v1.products.update(product_id, cast(Any, params)))

    def retrieve_price(self, price_id: str) -> Json:
        """A price, with what it costs in every currency, its own among them."""
        with translated(f"read price {price_id}"):
            return _plain(self._v1.prices.retrieve(price_id, {"expand": list(_PRICE_PARTS)}))

    def find_price(self, price_id: str) -> Json | None:
        """A price, or None when there is none with this id. Any other failure is raised."""
        return _found(self.retrieve_price, price_id)

    def list_prices(self, **filters: Any) -> list[Json]:
        """Prices, as `retrieve_price`, with Stripe's own filters: `lookup_keys=[…]` (at most ten), `active=True`…"""
        with translated("list prices"):
            page = self._v1.prices.list(cast(Any, {**filters, "limit": _PAGE, "expand": _in_list(_PRICE_PARTS)}))
            return [_plain(each) for each in page.auto_paging_iter()]

    def create_price(self, params: Params, *, idempotency_key: str) -> Json:
        """Create a price, once per key."""
        with translated("create a price"):
            return _plain(self._v1.prices.create(cast(Any, params), {"idempotency_key": idempotency_key}))

    def update_price(self, price_id: str, params: Params) -> Json:
        """Change what can be changed of a price: never its amount, but further currencies can be added."""
        with translated(f"change price {price_id}"):
            return _plain(self._v1.prices.update(price_id, cast(Any, params)))


def _found(retrieve: Callable[[str], Json], object_id: str) -> Json | None:
    """Only Stripe's 404 means that something is absent; a timeout does not."""
    try:
        return retrieve(object_id)
    except StripeNotFound:
        return None


def _plain(found: StripeObject) -> Json:
    return found.to_dict(for_json=True)
