"""
Billing: the one object an app holds. It wires the parts and is where transactions are committed.

Every verb is synchronous and safe to call from any thread; `AsyncBilling` has the same verbs as coroutines.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from paidup import fast_json, gate, inbox, outbox
from paidup.account import Account
from paidup.arguments import check_group, is_id
from paidup.catalog.apply import Step, portal_drift, push
from paidup.catalog.file import load
from paidup.changing import Changing
from paidup.checkout import Checkout, Checkouts
from paidup.core import event as events
from paidup.core import targets
from paidup.core.access import Access, best, decide, of_group
from paidup.core.catalog import Catalog
from paidup.core.credits import CreditEntry
from paidup.core.customer import Customer, PaymentMethod
from paidup.core.health import Health, judge
from paidup.core.invoice import Invoice, UpcomingInvoice
from paidup.core.policy import AccessPolicy, Grants
from paidup.core.quote import PendingChange, Quote, ScheduledChange
from paidup.core.reconciliation import Progress, Reconciliation
from paidup.core.subscription import Subscription
from paidup.crediting import Crediting
from paidup.credits import Credits
from paidup.customers import Customers, check_owner
from paidup.database import migrate, store
from paidup.database.engine import Database
from paidup.database.event_filter import EventFilter
from paidup.database.health import gather
from paidup.database.tables import StoredChange, StoredEvent, SyncTarget
from paidup.ending import Ending, Owed, PauseKind, When
from paidup.errors import (
    CustomerNotFound,
    EventNotFound,
    InvalidPayload,
    InvalidSignature,
    PayloadTooLarge,
    ReconciliationRunning,
    StripeUnavailable,
)
from paidup.handlers import Handlers
from paidup.intake import Answer, Intake
from paidup.invoices import Invoices
from paidup.leaving import Leaving
from paidup.metrics import HealthCollector
from paidup.paying import Payments
from paidup.portal import ExactChange, Portal
from paidup.quotes import Quotes
from paidup.reconciliation.adoption import OwnerOf
from paidup.reconciliation.missed import Filled, MissedEvents
from paidup.reconciliation.reconciler import Reconciler
from paidup.refunding import Unused
from paidup.refusals import Refusals
from paidup.settings import Settings
from paidup.stripe_api.gateway import Gateway
from paidup.stripe_api.signature import verify
from paidup.sync import Synchroniser
from paidup.threads import Threads
from paidup.transfer import Transfers
from paidup.trials import Trials
from paidup.web.return_urls import safe_return_url
from paidup.worker import WakeUp, Worker

_Handler = TypeVar("_Handler", bound=Callable[..., Any])
_OwnerOf = TypeVar("_OwnerOf", bound=OwnerOf)
_WORKER_THREADS = 4
_WRONG_ACCOUNT_PAUSE = 60.0
_RETURNS = 8


class Billing:
    """
    Plans, Checkout, webhooks and access for one Stripe account and mode.

    `catalog` defaults to the plans file of the settings, `policy` to the settings' grace period; `clock` gives aware
    UTC. Building one opens nothing: the database and Stripe are first touched by the first verb.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        catalog: Catalog | None = None,
        policy: AccessPolicy | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.settings = settings
        self.catalog = catalog or load(Path(settings.plans_file))
        self.policy = policy or AccessPolicy(
            past_due_grace=settings.past_due_grace,
            refunded=Grants(settings.access_when_refunded),
            disputed=Grants(settings.access_when_disputed),
        )
        self.gateway = Gateway(
            settings.secret_key.get_secret_value(),
            api_base=settings.api_base,
            concurrency=settings.stripe_concurrency,
        )
        self._clock = clock
        self._livemode = settings.livemode
        self._database = Database(settings.database_url.get_secret_value())
        self._handlers = Handlers(attempts=settings.handler_attempts)
        self._wake_up = WakeUp()
        self._intake = Intake(self._database, on_stored=self._wake_up.give)
        self._calls = ThreadPoolExecutor(settings.stripe_concurrency, thread_name_prefix="paidup-stripe")
        self._refusals = Refusals(self._database)
        self._users_calls = ThreadPoolExecutor(settings.stripe_concurrency, thread_name_prefix="paidup-stripe-users")
        self.threads = Threads()
        self._returns = ThreadPoolExecutor(_RETURNS, thread_name_prefix="paidup-return")
        trials = Trials(
            gateway=self.gateway,
            key=settings.trial_key.get_secret_value() if settings.trial_key else None,
            terms=self.catalog.checkout,
            livemode=self._livemode,
        )
        crediting = Crediting(
            database=self._database, gateway=self.gateway, catalog=self.catalog, livemode=self._livemode
        )
        self._credits = Credits(database=self._database, catalog=self.catalog, livemode=self._livemode, clock=clock)
        self._customers = Customers(database=self._database, gateway=self.gateway, livemode=self._livemode, clock=clock)
        self._synchroniser = Synchroniser(
            database=self._database,
            gateway=self.gateway,
            catalog=self.catalog,
            handlers=self._handlers,
            livemode=self._livemode,
            clock=clock,
            calls=self._calls,
            users_calls=self._users_calls,
            trials=trials,
            crediting=crediting,
            make_customer=self._customers.ensure,
            attempts=settings.sync_attempts,
        )
        self._account = Account(database=self._database, gateway=self.gateway, livemode=self._livemode, clock=clock)
        self._missed = MissedEvents(
            database=self._database,
            gateway=self.gateway,
            livemode=self._livemode,
            keep_payloads=settings.keep_payloads,
            clock=clock,
        )
        self._owner_of: OwnerOf | None = None
        self._reconciler = Reconciler(
            database=self._database,
            gateway=self.gateway,
            synchroniser=self._synchroniser,
            missed=self._missed,
            catalog=self.catalog,
            livemode=self._livemode,
            clock=clock,
            also=lambda: portal_drift(self.catalog, self.gateway),
        )
        self._checkouts = Checkouts(
            database=self._database,
            gateway=self.gateway,
            catalog=self.catalog,
            customers=self._customers,
            synchroniser=self._synchroniser,
            livemode=self._livemode,
            clock=clock,
            returns=self._returns,
            trials=trials,
        )
        self._ending = Ending(
            database=self._database,
            gateway=self.gateway,
            catalog=self.catalog,
            handlers=self._handlers,
            synchroniser=self._synchroniser,
            livemode=self._livemode,
            clock=clock,
            returns=self._returns,
        )
        self._quotes = Quotes(
            database=self._database,
            gateway=self.gateway,
            catalog=self.catalog,
            synchroniser=self._synchroniser,
            livemode=self._livemode,
            clock=clock,
            returns=self._returns,
        )
        self._changing = Changing(
            database=self._database,
            gateway=self.gateway,
            quotes=self._quotes,
            handlers=self._handlers,
            livemode=self._livemode,
            clock=clock,
        )
        self._invoices = Invoices(database=self._database, gateway=self.gateway, livemode=self._livemode)
        self._payments = Payments(
            database=self._database,
            gateway=self.gateway,
            catalog=self.catalog,
            synchroniser=self._synchroniser,
            livemode=self._livemode,
            clock=clock,
            returns=self._returns,
        )
        self._transfers = Transfers(
            database=self._database,
            gateway=self.gateway,
            changing=self._changing,
            handlers=self._handlers,
            livemode=self._livemode,
            clock=clock,
        )
        self._leaving = Leaving(
            database=self._database,
            synchroniser=self._synchroniser,
            livemode=self._livemode,
            clock=clock,
            returns=self._returns,
        )
        self._portal = Portal(
            database=self._database,
            gateway=self.gateway,
            catalog=self.catalog,
            quotes=self._quotes,
            livemode=self._livemode,
        )

    @classmethod
    def from_env(cls, **overrides: Any) -> Billing:
        """
        Billing from environment variables; `overrides` are settings by field name.

        Raises SettingsError or CatalogError, which list everything that is wrong at once.
        """
        return cls(Settings.from_env(**overrides))

    # access

    def access(self, owner: str, *, session: Session | None = None) -> Access:
        """
        What the owner may use now. One indexed query, no call to Stripe.

        `session` reads inside the app's own transaction; it must reach the same database.
        """
        check_owner(owner)
        if session is not None:
            found = store.subscriptions_of(session, owner, livemode=self._livemode)
        else:
            with self._database.read() as own:
                found = store.subscriptions_of(own, owner, livemode=self._livemode)
        return decide(owner, found, catalog=self.catalog, policy=self.policy, now=self._clock())

    def require(self, owner: str, feature: str | None = None) -> Access:
        """
        The owner's access, if it includes the feature; without a feature, if a subscription stands behind it.

        Raises FeatureNotInPlan, PaymentPastDue or NoSubscription (all AccessRefused).
        """
        access = self.access(owner)
        if feature is None:
            gate.check_paid(access, self.catalog)
        else:
            gate.check_feature(access, self.catalog, feature)
        return access

    def require_limit(self, owner: str, limit: str, used: int) -> Access:
        """
        The owner's access, if one more than `used` is within the limit.

        Raises LimitReached or PaymentPastDue (both AccessRefused).
        """
        access = self.access(owner)
        gate.check_limit(access, self.catalog, limit, used)
        return access

    # credits

    def credits(self, owner: str, *, session: Session | None = None) -> dict[str, int]:
        """
        How many units of each credit the owner has, by its key; below zero is a debt. No call to Stripe.

        `session` reads inside the app's own transaction; it must reach the same database.
        """
        return self._credits.balances(owner, session)

    def spend_credits(
        self,
        owner: str,
        credit: str,
        units: int,
        *,
        key: str,
        note: str | None = None,
        session: Session | None = None,
    ) -> int:
        """
        Spend units of a credit, once per `key` of this owner; how many there are then. No call to Stripe.

        All of them or none, also of many at the same moment. `session` spends in the app's own transaction, and what
        is spent is spent when the app commits. Raises InsufficientCredits (AccessRefused), UnknownCredit,
        InvalidQuantity, and InvalidRequest for a key that was used for something else.
        """
        is_spent, balance = self._credits.spend(owner, credit, units, key=key, note=note, session=session)
        if not is_spent:
            raise gate.short_of_credits(self.access(owner, session=session), self.catalog, credit, units, balance)
        return balance

    def give_credits(
        self,
        owner: str,
        credit: str,
        units: int,
        *,
        key: str,
        note: str | None = None,
        session: Session | None = None,
    ) -> int:
        """
        Give units of a credit by hand, or back, once per `key` of this owner; how many there are then.

        For support, and for what was spent on something that failed. Raises UnknownCredit, InvalidQuantity,
        InvalidRequest.
        """
        return self._credits.give(owner, credit, units, key=key, note=note, session=session)

    def credit_entries(
        self, owner: str, *, credit: str | None = None, limit: int = 50, before: int | None = None
    ) -> list[CreditEntry]:
        """
        What has changed the owner's balances, newest first; their sum is the balance.

        `before` is the number of the last entry of the page before. Raises InvalidRequest.
        """
        return self._credits.entries(owner, credit=credit, limit=limit, before=before)

    # what is known of an owner

    def subscription(self, owner: str, *, group: str | None = None) -> Subscription | None:
        """
        The subscription that speaks for the owner, an ended one if there is no other; None without any.

        In a `group` that is one on a plan that nobody knows, if it has no other. Raises InvalidRequest for no group.
        """
        check_group(group, self.catalog)
        with self._database.read() as session:
            found = store.subscriptions_of(session, check_owner(owner), livemode=self._livemode)
        if group is not None:
            found = of_group(found, group, self.catalog)
        return best(found, self.catalog)

    def customer(self, owner: str) -> Customer | None:
        """The owner's Stripe customer; None before the first Checkout."""
        with self._database.read() as session:
            return store.customer_of(session, check_owner(owner), livemode=self._livemode)

    def payment_method(self, owner: str) -> PaymentMethod | None:
        """What the next invoice will be charged to: the subscription's own method, else the customer's."""
        subscription = self.subscription(owner)
        if subscription is not None and subscription.is_live and subscription.payment_method is not None:
            return subscription.payment_method
        customer = self.customer(owner)
        return customer.payment_method if customer else None

    # invoices

    def invoices(self, owner: str, *, limit: int = 24, before: str | None = None) -> list[Invoice]:
        """
        The owner's invoices, newest first, drafts left out. No call to Stripe.

        `before` is the id of the last invoice of the page before. Raises InvoiceNotFound unless it is this owner's.
        """
        return self._invoices.listed(owner, limit=limit, before=before)

    def invoice_page(self, owner: str, invoice_id: str, *, pdf: bool = False) -> str:
        """
        A fresh URL of an invoice's page at Stripe, or of its PDF: send the user there, never store it.

        Raises InvoiceNotFound when it is unknown or another owner's, StripeError.
        """
        return self._invoices.page(owner, invoice_id, pdf=pdf)

    def upcoming_invoice(self, owner: str, *, group: str | None = None) -> UpcomingInvoice | None:
        """
        The next invoice, as Stripe would draw it up now; None when there will be none. Raises StripeError.

        There is none without a customer, while the subscription is canceling, ended, unpaid or paused, and in a trial
        that ends or pauses for want of a card.
        """
        return self._invoices.upcoming(self.subscription(owner, group=group))

    # customers

    def update_customer(self, owner: str, *, email: str | None = None, name: str | None = None) -> bool:
        """
        Tell Stripe an owner's new e-mail or name, where receipts and invoices take them from.

        None leaves a field alone, as does an empty e-mail, and what Stripe has already is not sent. Call it once an
        e-mail is verified. False when nothing was to be told, as for somebody without a customer. Raises InvalidRequest
        for what is no e-mail or name, and StripeError: then nothing changed, and the same call may be repeated.
        """
        told = self._customers.update(owner, email=email, name=name)
        self._wake_up.give()
        return told

    def transfer(self, owner: str, to: str) -> None:
        """
        Give an owner's customer, with subscriptions and invoices, to another owner, who has none.

        All of it or nothing; a Change `customer.transferred` tells it. `owner` may buy anew afterwards. Raises
        CustomerNotFound when there is nothing to give, unless this very call has given it before; TransferRefused when
        `to` has a customer or a Checkout is open; StripeError. Then nothing has changed, and the same call may be
        repeated.
        """
        self._transfers.transfer(owner, to)
        self._wake_up.give()

    def delete_customer(self, owner: str, *, wait: timedelta = timedelta(seconds=10)) -> bool:
        """
        Let an owner go, before the app deletes their account: nothing is charged any more.

        Open Checkouts expire, every subscription ends now with nothing refunded, open invoices become void, and the
        customer is deleted at Stripe with their cards. Invoices stay, who they were does not. True once all of that is
        done, at once for somebody without a customer; False when it takes longer than `wait` or Stripe fails: it is
        stored, and the workers finish it, which `paidup queue --kind leaving` shows. Repeating it is safe. An owner
        who comes back is a new customer. Raises DatabaseUnavailable.
        """
        done = self._leaving.delete(owner, wait=wait)
        self._wake_up.give()
        return done

    # paying

    def open_invoice(self, owner: str, *, group: str | None = None) -> Invoice | None:
        """The invoice that a past due, unpaid or incomplete subscription waits for. No call to Stripe."""
        return self._payments.open_invoice(owner, group=group)

    def payment_url(self, owner: str, *, group: str | None = None) -> str:
        """
        A fresh URL of Stripe's page on which that invoice is paid: send the user there, never store it.

        Raises NothingToPay, StripeError.
        """
        return self._payments.page(owner, group=group)

    def retry_payment(
        self, owner: str, *, group: str | None = None, wait: timedelta = timedelta(seconds=5)
    ) -> Invoice | None:
        """
        Pay that invoice now with the payment method on file; repeating the call never charges twice.

        The invoice as Stripe then has it: paid, by this call or before it, or still open while a bank takes its days;
        None when nothing was to be paid. The customer is synchronised there and then, for at most `wait`. Raises
        PaymentDeclined and PaymentNeedsUser, whose `url` leads on, and StripeError.
        """
        found = self._payments.retry(owner, group=group, wait=wait)
        self._wake_up.give()
        return found

    # Checkout and portal

    def checkout(
        self,
        owner: str,
        plan: str,
        *,
        interval: str = "month",
        seats: int = 1,
        email: str | None = None,
        name: str | None = None,
        promotion_code: str | None = None,
        coupon: str | None = None,
        addons: Mapping[str, int] | None = None,
        currency: str | None = None,
        embedded: bool = False,
        return_to: str | None = None,
        cancel_to: str | None = None,
    ) -> Checkout:
        """
        A Checkout for the owner: send them to its `url`. The same request again gives the same one.

        `return_to` is where Stripe sends the user afterwards (the address of your return route), `cancel_to` where
        the back link leads; paths of the app, or URLs of an allowed host. `email` and `name` go to a new customer.
        `promotion_code` is what people type, `coupon` a coupon's id: one of them, and chosen by the app, never taken
        from a browser that may not. `addons` is how many of each add-on, by key. `currency` is what the owner is billed
        in (`eur`), from the app as well; left out, it is what Stripe bills them in already, else the plan's own.
        `embedded` gives a `client_secret` for
        Stripe's script on your own page instead of a `url`. Raises CheckoutRefused with the right action when the owner
        has a live subscription, CurrencyRefused, UnknownDiscount, DiscountExpired, DiscountNotApplicable, UnknownPlan,
        UnknownInterval, InvalidSeats, UnknownAddon, InvalidQuantity, PlanNotForSale, InvalidRequest, InvalidReturnUrl,
        WrongAccount, StripeError.
        """
        self._account.check()
        return self._checkouts.start(
            owner,
            plan,
            interval=interval,
            seats=seats,
            email=email,
            name=name,
            promotion_code=promotion_code,
            coupon=coupon,
            addons=addons,
            currency=currency,
            embedded=embedded,
            return_url=self._url(return_to or self.settings.checkout_done),
            cancel_url=self._url(cancel_to or self.settings.checkout_canceled),
        )

    def finish_checkout(self, owner: str, session_id: str, *, wait: timedelta = timedelta(seconds=5)) -> Checkout:
        """
        How the owner's Checkout ended, after asking Stripe, for at most `wait`.

        Raises CheckoutNotFound when the session is unknown or another owner's.
        """
        found = self._checkouts.finish(check_owner(owner), session_id, wait=wait)
        self._wake_up.give()
        return found

    def find_checkout(self, owner: str, session_id: str) -> Checkout:
        """What is known of the owner's Checkout, from the database alone. Raises CheckoutNotFound."""
        return self._checkouts.find(check_owner(owner), session_id)

    def portal(
        self,
        owner: str,
        *,
        return_to: str | None = None,
        flow: str | None = None,
        group: str | None = None,
        plan: str | None = None,
        interval: str | None = None,
        seats: int | None = None,
        promotion_code: str | None = None,
        coupon: str | None = None,
        wait: timedelta = timedelta(seconds=5),
    ) -> str:
        """
        A URL of Stripe's Billing Portal for this owner, good for one click within minutes.

        `flow` opens it at the card (`payment_method_update`), at name, address and tax ids (`customer_update`), at the
        end (`subscription_cancel`), a pause (`subscription_pause`) or the plans (`subscription_update`) of the owner's
        subscription, in `group` if named, and leads back once that is done. `subscription_update_confirm` has the user
        confirm one change: to `plan`, in whose group the subscription is, with `interval`, `seats` and a discount as in
        `preview_change`; what it costs Stripe's page shows. Raises CustomerNotFound, InvalidReturnUrl,
        SubscriptionRefused with the right action for what the portal cannot do, for a change what `preview_change`
        raises, InvalidRequest, StripeError.
        """
        subscription = self.subscription(owner, group=group) if plan is None else None
        change = ExactChange(plan, interval, seats, promotion_code, coupon) if plan is not None else None
        return_url = self._url(return_to or self.settings.portal_return)
        return self._portal.open(
            owner, return_url=return_url, flow=flow, subscription=subscription, change=change, wait=wait
        )

    def _url(self, value: str) -> str:
        return safe_return_url(value, app_url=self.settings.app_url, allowed_hosts=self.settings.return_hosts)

    # changing

    def preview_change(
        self,
        owner: str,
        plan: str,
        *,
        interval: str | None = None,
        seats: int | None = None,
        addons: Mapping[str, int] | None = None,
        promotion_code: str | None = None,
        coupon: str | None = None,
        wait: timedelta = timedelta(seconds=5),
    ) -> Quote:
        """
        What changing the owner's subscription costs, as Stripe computes it; nothing is changed yet.

        The subscription is the one in the plan's group. `interval`, `seats` and each of `addons`, how many by key, stay
        as they are if they are left out; 0 takes an add-on away, and one that is not sold with the new plan goes with
        the old. `promotion_code`, as people type it, or `coupon`, an id, holds from the change on, beside the discounts
        there are. The quote binds for half an hour: show it, and pass its id to `change_plan`. Raises
        SubscriptionRefused with the right action, UnknownPlan, UnknownInterval, InvalidSeats, UnknownAddon,
        InvalidQuantity, PlanNotForSale, DiscountRefused, StripeError.
        """
        return self._quotes.preview(
            owner,
            plan,
            interval=interval,
            seats=seats,
            addons=addons,
            promotion_code=promotion_code,
            coupon=coupon,
            wait=wait,
        )

    def change_plan(self, owner: str, quote_id: str, *, wait: timedelta = timedelta(seconds=5)) -> Subscription:
        """
        Carry out a quote of `preview_change`: charge exactly that, or nothing; how the subscription stands then.

        More takes effect at once and only once paid, less when the period ends (`scheduled_change` shows it then).
        Repeating the call is safe, and finishes what was interrupted. Raises QuoteChanged, whose `quote` is the new
        one; PaymentNeedsUser, whose `url` leads on, after which the change happens by itself; ChangeNotPaid, with the
        old plan kept and nothing owed; QuoteNotFound, SubscriptionRefused, StripeError.
        """
        found = self._changing.confirm(owner, quote_id, wait=wait)
        self._wake_up.give()
        return found

    def scheduled_change(self, owner: str, *, group: str | None = None) -> ScheduledChange | None:
        """The change that takes effect when the period ends; None without one."""
        return self._changing.scheduled(owner, group=group)

    def pending_change(self, owner: str, *, group: str | None = None) -> PendingChange | None:
        """
        The change that was confirmed and waits for the user's bank, with the page where they answer; None without one.

        Stripe is asked only where there is one. Raises StripeError.
        """
        return self._changing.pending(owner, group=group)

    def undo_change(
        self, owner: str, *, group: str | None = None, wait: timedelta = timedelta(seconds=5)
    ) -> Subscription:
        """
        Drop the change that is to come, or the one that waits for the user's bank; how the subscription stands then.

        Without either nothing happens. Raises SubscriptionRefused, StripeError.
        """
        found = self._changing.undo(owner, group=group, wait=wait)
        self._wake_up.give()
        return found

    # ending and coming back

    def cancel(
        self,
        owner: str,
        *,
        group: str | None = None,
        when: When = "period_end",
        feedback: str | None = None,
        comment: str | None = None,
        refund_unused: bool = False,
        owed: Owed = "void",
        wait: timedelta = timedelta(seconds=5),
    ) -> Subscription:
        """
        End the owner's subscription at the end of what is paid for, or now; how it stands then.

        `feedback` is one of Stripe's values, `comment` the owner's own words, at most 1,000 characters. Ended now,
        nothing more is collected: its open invoices and its drafts are voided, or written off as bad debts (`owed` is
        `uncollectible`), or left to be collected (`keep`). With `refund_unused` what `unused` tells goes back to where
        it was paid from, else nothing is given back. Ended at the end of the period, invoices stay what they are.
        Repeating the call is safe, and finishes what was interrupted; one that has ended already may be canceled `now`
        again. Raises SubscriptionRefused, InvalidRequest, StripeError.
        """
        found = self._ending.cancel(
            owner,
            group=group,
            when=when,
            feedback=feedback,
            comment=comment,
            refund_unused=refund_unused,
            owed=owed,
            wait=wait,
        )
        self._wake_up.give()
        return found

    def unused(self, owner: str, *, group: str | None = None) -> Unused | None:
        """
        What is left of the owner's paid period: what `cancel(when="now", refund_unused=True)` would give back now.

        Stripe's own proration, with taxes and discounts, and at most what was paid for this period and not refunded
        since. None without a subscription that runs. Raises SubscriptionRefused for several, and StripeError.
        """
        return self._ending.unused(owner, group=group)

    def resume(self, owner: str, *, group: str | None = None, wait: timedelta = timedelta(seconds=5)) -> Subscription:
        """
        Take back a cancellation, end a pause, or both; how the subscription stands then. One that runs stays as it is.

        A subscription whose status is `paused` begins a new period and is charged for it. Raises SubscriptionRefused
        with the right action: `checkout` when it is over, `fix_payment` when it is back only once an invoice is paid,
        `update_payment_method` when there is no card; InvalidRequest, StripeError.
        """
        found = self._ending.resume(owner, group=group, wait=wait)
        self._wake_up.give()
        return found

    def pause(
        self,
        owner: str,
        *,
        group: str | None = None,
        until: datetime | None = None,
        kind: PauseKind = "collection",
        wait: timedelta = timedelta(seconds=5),
    ) -> Subscription:
        """
        Pause the owner's subscription until then (aware, within five years) or until resumed; how it stands then.

        The kind `collection` lets periods go on: their invoices are void, and time that was paid for is not given back.
        With `subscription` its status is `paused`: no period goes on, what is left of this one is taken off the next
        invoice, and it lasts until it is resumed. The policy decides about access: by default there is none. Raises
        SubscriptionRefused with the right action, InvalidRequest, StripeError.
        """
        found = self._ending.pause(owner, group=group, until=until, kind=kind, wait=wait)
        self._wake_up.give()
        return found

    # webhooks

    def receive(self, body: bytes, signature: str | None) -> inbox.Receipt:
        """
        Accept a webhook: verify the raw bytes, store the event, and only then return.

        Answer 2xx when this returns, whatever the receipt says. Raises InvalidSignature, InvalidPayload and
        PayloadTooLarge (4xx, nothing stored), DatabaseUnavailable (5xx, so that Stripe delivers again).
        """
        answer: Future[inbox.Receipt] = Future()
        self.receive_soon(body, signature, answer)
        return answer.result()

    def receive_soon(self, body: bytes, signature: str | None, answer: Answer) -> None:
        """
        `receive` without waiting: `answer` is a Future that is done once the event is committed; no 2xx before.

        What is wrong with the body or its signature is raised at once; the Future raises DatabaseUnavailable.
        """
        now = self._clock()
        try:
            delivery = self._verified(body, signature, now)
        except (InvalidSignature, InvalidPayload, PayloadTooLarge) as error:
            self._refusals.note(error, at=now)
            raise
        self._intake.submit(delivery, answer)

    def _verified(self, body: bytes, signature: str | None, now: datetime) -> inbox.Delivery:
        if len(body) > self.settings.webhook_max_bytes:
            raise PayloadTooLarge(
                f"the body has {len(body)} bytes, more than the {self.settings.webhook_max_bytes} allowed",
                remedy="no Stripe event is that large",
            )
        secret = verify(
            body,
            signature,
            secrets=[each.get_secret_value() for each in self.settings.webhook_secrets],
            tolerance=self.settings.webhook_tolerance,
            now=now,
        )
        try:
            event = events.parse(fast_json.loads(body))
        except (ValueError, RecursionError) as error:
            raise InvalidPayload(f"the body is not a Stripe event: {error}", remedy="send Stripe's bytes") from error
        route = targets.route(event, livemode=self._livemode, api_version=self.gateway.api_version)
        payload = body.decode() if self.settings.keep_payloads else ""
        return inbox.Delivery(event, route, payload, secret, now)

    def events(
        self,
        *,
        state: str | None = None,
        type: str | None = None,
        customer: str | None = None,
        reason: str | None = None,
        since: datetime | None = None,
        before: datetime | None = None,
        limit: int = 50,
    ) -> list[StoredEvent]:
        """
        Received events, newest first.

        `state` is pending, done, ignored or failed; `type` may end with an asterisk; `customer` is `cus_…` or an owner;
        `since` and `before` are about when they were received. Raises CustomerNotFound for an owner without one.
        """
        wanted = EventFilter(state, type, self._named_customer(customer), reason, since, before)
        query = select(StoredEvent).where(*wanted.conditions())
        with self._database.read() as session:
            return list(session.scalars(query.order_by(StoredEvent.received_at.desc(), StoredEvent.id).limit(limit)))

    def event(self, event_id: str) -> StoredEvent:
        """One received event. Raises EventNotFound."""
        found = None
        if is_id(event_id):
            with self._database.read() as session:
                found = session.get(StoredEvent, event_id)
        if found is None:
            raise EventNotFound(f"no event {event_id!r:.80} was received", remedy="`paidup events list` shows them")
        return found

    def replay(self, event_id: str) -> None:
        """Process an event again. Raises EventNotFound; ValueError for one that names nothing to synchronise."""
        if self.event(event_id).target is None:
            raise ValueError(f"event {event_id!r} was ignored and names nothing to synchronise")
        self._database.run(lambda session: inbox.replay(session, event_id, now=self._clock()))
        self._wake_up.give()

    def replay_events(
        self,
        *,
        state: str | None = None,
        type: str | None = None,
        customer: str | None = None,
        reason: str | None = None,
        since: datetime | None = None,
        before: datetime | None = None,
    ) -> int:
        """
        Process all these events again, as `events` would list them, but for those that name nothing; how many.

        Events of one customer cost one look at Stripe, however many they are.
        """
        wanted = EventFilter(state, type, self._named_customer(customer), reason, since, before)
        count = 0
        after: str | None = ""
        while after is not None:
            found, after = self._database.run(
                partial(inbox.replay_some, conditions=wanted.conditions(), after=after, now=self._clock())
            )
            count += found
        self._wake_up.give()
        return count

    def _named_customer(self, owner_or_customer: str | None) -> str | None:
        """A customer's id, given by itself or by the owner. Raises CustomerNotFound for an owner without one."""
        if owner_or_customer is None or (is_id(owner_or_customer) and owner_or_customer.startswith("cus_")):
            return owner_or_customer
        with self._database.read() as session:
            mapping = store.mapping_of(session, check_owner(owner_or_customer), livemode=self._livemode)
        if mapping is None or mapping.customer_id is None:
            raise CustomerNotFound(f"no customer for owner {owner_or_customer!r} yet", remedy="start a checkout first")
        return mapping.customer_id

    def fill_missed_events(self, *, on_progress: Callable[[Progress], None] | None = None) -> Filled:
        """
        Store the events that never came, from Stripe's list of the last 30 days; the workers process them.

        Events are `from the API` then instead of signed. Raises WrongAccount, StripeError and DatabaseUnavailable;
        it may be repeated at any time.
        """
        self._account.check()
        filled = self._missed.fill(on_progress)
        self._wake_up.give()
        return filled

    def queue(self, *, limit: int = 50, kind: str | None = None, only_failed: bool = False) -> list[SyncTarget]:
        """
        Targets that are not in step, those we gave up on included, the longest waiting first.

        `kind` is that of their object, such as customer or product; `only_failed` are those we gave up on.
        """
        query = (
            select(SyncTarget)
            .where(SyncTarget.applied < SyncTarget.requested)
            .order_by(SyncTarget.available_at)
            .limit(limit)
        )
        if kind is not None:
            query = query.where(SyncTarget.target.startswith(f"{kind}:", autoescape=True))
        if only_failed:
            query = query.where(SyncTarget.gave_up_at.is_not(None))
        with self._database.read() as session:
            return list(session.scalars(query))

    def retry_queue(self) -> int:
        """Start everything again that we gave up on; how much that is."""
        count = self._database.run(lambda session: inbox.retry_given_up(session, now=self._clock()))
        self._wake_up.give()
        return count

    def changes(self, *, state: str | None = None, owner: str | None = None, limit: int = 50) -> list[StoredChange]:
        """Changes for the app's handlers, newest first; `state` is pending, done or failed (given up)."""
        query = select(StoredChange).order_by(StoredChange.number.desc()).limit(limit)
        if state is not None:
            query = query.where(StoredChange.state == state)
        if owner is not None:
            query = query.where(StoredChange.owner == owner)
        with self._database.read() as session:
            return list(session.scalars(query))

    def retry_changes(self, change_id: str | None = None) -> int:
        """
        Hand changes that were given up to their handlers again: this one, or all there are; how many that is.

        Handlers that have had a change are left out. What happened to its owner since may have been handed out before.
        """
        return self._database.run(lambda session: outbox.retry(session, change_id, now=self._clock()))

    def health(self) -> Health:
        """How the work goes, and what somebody should look at. No call to Stripe. Raises DatabaseUnavailable."""
        self._refusals.write()
        facts = gather(
            self._database,
            now=self._clock(),
            livemode=self._livemode,
            secrets=len(self.settings.webhook_secrets),
            api_version=self.gateway.api_version,
            reconcile_every=self.settings.reconcile_every,
        )
        return judge(facts)

    def health_metrics(self) -> HealthCollector:
        """
        `health` as metrics, for a registry of `prometheus_client`: one process's is enough, they all say the same.

        What this process itself does is counted in the default registry without being asked.
        """
        return HealthCollector(self.health)

    # synchronisation and work

    def sync(self, owner_or_customer: str, *, wait: timedelta = timedelta(seconds=30)) -> None:
        """
        Bring an owner, or a customer given by `cus_…`, in step with Stripe now, in this process.

        Raises CustomerNotFound for an owner without one, StripeError, StripeUnavailable when `wait` runs out.
        """
        customer_id = str(self._named_customer(owner_or_customer))
        if not self._synchroniser.now(targets.customer(customer_id), wait=wait):
            raise StripeUnavailable("another worker holds this customer", remedy="try again in a minute")
        self._wake_up.give()

    def worker(
        self, *, threads: int = _WORKER_THREADS, handler_threads: int = 4, deliver_changes: bool = True
    ) -> Worker:
        """A worker on this database: `start()` it beside the app, or `run_forever()` in a process of its own."""
        return Worker(
            database=self._database,
            synchroniser=self._synchroniser,
            handlers=self._handlers,
            wake_up=self._wake_up,
            clock=self._clock,
            threads=threads,
            handler_threads=handler_threads,
            deliver_changes=deliver_changes,
            drain=self.settings.drain,
            retention=self.settings.event_retention,
            pause=self._pause,
            reconcile=self._reconcile_when_due if self.settings.reconcile_every else None,
        )

    def run_until_idle(self, timeout: float = 30.0) -> None:
        """Process everything there is, here. For scripts and tests; raises TimeoutError after `timeout` seconds."""
        self.worker().run_until_idle(timeout)

    def on_change(self, kind: str | None = None, *, in_transaction: bool = False) -> Callable[[_Handler], _Handler]:
        """
        Register a handler for a kind of Change, or for all of them.

        `handler(change)` runs after the commit, at least once, and may be `async def`; `change.id` is the key to tell a
        repetition by. `handler(change, session)` with `in_transaction=True` writes with `session` in the transaction
        that stores what it is about; its writes are there exactly once. A handler that raises holds up nothing but the
        same owner's later changes: it is called again until it succeeds or, after about an hour, the change is given
        up, which `paidup changes list --state failed` shows.
        """

        def register(handler: _Handler) -> _Handler:
            self._handlers.add(handler, kind=kind, in_transaction=in_transaction)
            return handler

        return register

    # reconciliation

    def reconcile(
        self,
        *,
        fix: bool = False,
        owner_of: OwnerOf | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Reconciliation:
        """
        Compare every mirrored row with Stripe, both ways; with `fix`, mend what is safe and take in customers.

        `owner_of(customer)` says whose a customer is that nobody here knows, or None; it defaults to the registered
        one. A run that was cut short is gone on with. Raises ReconciliationRunning while another process is at it,
        WrongAccount, StripeError, DatabaseUnavailable.
        """
        self._account.check()
        found = self._reconciler.run(fix=fix, owner_of=owner_of or self._owner_of, on_progress=on_progress)
        self._wake_up.give()
        return found

    def last_reconciliation(self) -> Reconciliation | None:
        """What the newest reconciliation found, whether it has ended or not; None before the first."""
        return self._reconciler.latest()

    def owner_of(self, function: _OwnerOf) -> _OwnerOf:
        """
        Register the function that says whose a customer is, when an existing account is taken in.

        It gets a Customer and returns an owner, or None to leave the customer alone.
        """
        self._owner_of = function
        return function

    def _pause(self) -> float:
        """For how many seconds the worker should not call Stripe."""
        return self.gateway.budget.pause() if self._account.may_be_called() else _WRONG_ACCOUNT_PAUSE

    def _reconcile_when_due(self, stopping: threading.Event) -> None:
        if self._reconciler.is_due(self.settings.reconcile_every) and self._account.may_be_called():
            with suppress(ReconciliationRunning):
                self._reconciler.run(fix=True, owner_of=self._owner_of, stopping=stopping)
            self._wake_up.give()

    # catalog and database

    def push_catalog(self, *, on_step: Callable[[Step], None] | None = None) -> list[Step]:
        """Create the plans' products and prices at Stripe, and the portal's configuration. Repeating it is safe."""
        return push(self.catalog, self.gateway, on_step=on_step)

    def upgrade_database(self) -> None:
        """Create paidup's tables, or bring them up to date."""
        migrate.upgrade(self._database)

    def database_revision(self) -> str | None:
        """The migration the database is at; None before the first."""
        return migrate.revision(self._database)

    def close(self) -> None:
        """Give back connections and threads. The object is not used after this."""
        self._intake.close()
        self._refusals.close()
        self.threads.close()
        for threads in (self._returns, self._users_calls, self._calls):
            threads.shutdown(wait=True, cancel_futures=True)
        self._database.close()
