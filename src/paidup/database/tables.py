"""
The tables, as mapped classes. Stripe's id is the primary key of a mirrored row.

Mirrored rows keep the raw snapshot beside the few columns that queries use, so a new reader needs no migration and no
new fetch. `synced_at` is when the fetch behind the row began. No foreign keys between mirrored rows: Stripe's events
name them in any order. Nothing here refers to the host app's tables.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    false,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC on every database; a naive datetime is refused instead of being taken for some zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime has no meaning here; pass an aware one")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From the database."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


_Json = JSON().with_variant(JSONB(), "postgresql")
_Id = String(255)


class Base(DeclarativeBase):
    """All of paidup's tables, in a MetaData of their own."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {dict[str, Any]: _Json, datetime: UtcDateTime(), int: BigInteger()}


class OwnerMapping(Base):
    """
    Which Stripe customer an owner has: the intent to create one, and its outcome.

    The row is committed before Stripe is called. Its key is the idempotency key and its parameters are what is sent,
    so a call repeated after a crash, from anywhere, finds the same customer.
    """

    __tablename__ = "billing_owners"

    owner: Mapped[str] = mapped_column(_Id, primary_key=True)
    livemode: Mapped[bool] = mapped_column(primary_key=True)
    customer_id: Mapped[str | None] = mapped_column(_Id, unique=True)
    intent: Mapped[str] = mapped_column(String(64))
    params: Mapped[dict[str, Any]]
    created: Mapped[datetime]


class Customer(Base):
    """A Stripe customer of ours."""

    __tablename__ = "billing_customers"

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    owner: Mapped[str] = mapped_column(_Id, index=True)
    email: Mapped[str | None] = mapped_column(String(512))
    name: Mapped[str | None] = mapped_column(String(512))
    deleted: Mapped[bool]
    livemode: Mapped[bool]
    created: Mapped[datetime] = mapped_column(index=True)
    snapshot: Mapped[dict[str, Any]]
    synced_at: Mapped[datetime]


class Product(Base):
    """A Stripe product."""

    __tablename__ = "billing_products"

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(512))
    active: Mapped[bool]
    deleted: Mapped[bool]
    plan: Mapped[str | None] = mapped_column(_Id)
    livemode: Mapped[bool]
    snapshot: Mapped[dict[str, Any]]
    synced_at: Mapped[datetime]


class Price(Base):
    """A Stripe price. `unit_amount` is in minor units, None for tiered prices."""

    __tablename__ = "billing_prices"

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    product_id: Mapped[str] = mapped_column(_Id, index=True)
    lookup_key: Mapped[str | None] = mapped_column(_Id, index=True)
    active: Mapped[bool]
    deleted: Mapped[bool]
    currency: Mapped[str] = mapped_column(String(3))
    unit_amount: Mapped[int | None]
    interval: Mapped[str | None] = mapped_column(String(16))
    interval_count: Mapped[int | None]
    plan: Mapped[str | None] = mapped_column(_Id)
    livemode: Mapped[bool]
    snapshot: Mapped[dict[str, Any]]
    synced_at: Mapped[datetime]


class Subscription(Base):
    """
    A Stripe subscription.

    `plan` is the plan it was last seen on; `past_due_since` is when the oldest of its open, failed invoices fell due;
    `awaits_first_payment` while its first invoice was never paid, though Stripe calls it active. `refunded` and
    `disputed` say that what was paid for it went back.
    """

    __tablename__ = "billing_subscriptions"

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    customer_id: Mapped[str] = mapped_column(_Id, index=True)
    status: Mapped[str] = mapped_column(String(64))
    plan: Mapped[str | None] = mapped_column(_Id)
    current_period_start: Mapped[datetime | None]
    current_period_end: Mapped[datetime | None]
    cancel_at: Mapped[datetime | None]
    cancel_at_period_end: Mapped[bool]
    trial_end: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    past_due_since: Mapped[datetime | None]
    awaits_first_payment: Mapped[bool] = mapped_column(default=False, server_default=false())
    refunded: Mapped[bool] = mapped_column(default=False, server_default=false())
    disputed: Mapped[bool] = mapped_column(default=False, server_default=false())
    created: Mapped[datetime] = mapped_column(index=True)
    livemode: Mapped[bool]
    snapshot: Mapped[dict[str, Any]]
    synced_at: Mapped[datetime]


class SubscriptionItem(Base):
    """One price of a subscription."""

    __tablename__ = "billing_subscription_items"

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    subscription_id: Mapped[str] = mapped_column(_Id, index=True)
    price_id: Mapped[str] = mapped_column(_Id, index=True)
    product_id: Mapped[str] = mapped_column(_Id)
    quantity: Mapped[int]
    current_period_start: Mapped[datetime | None]
    current_period_end: Mapped[datetime | None]
    livemode: Mapped[bool]
    synced_at: Mapped[datetime]


class Invoice(Base):
    """
    A Stripe invoice. Amounts are in minor units of `currency`.

    `amount_refunded` and `dispute` come from its reversals: Stripe's invoice says nothing of them.
    """

    __tablename__ = "billing_invoices"

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    customer_id: Mapped[str] = mapped_column(_Id)
    subscription_id: Mapped[str | None] = mapped_column(_Id, index=True)
    number: Mapped[str | None] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(32))
    currency: Mapped[str] = mapped_column(String(3))
    total: Mapped[int]
    amount_due: Mapped[int]
    amount_paid: Mapped[int]
    amount_remaining: Mapped[int]
    attempt_count: Mapped[int]
    amount_refunded: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    dispute: Mapped[str | None] = mapped_column(String(64))
    created: Mapped[datetime] = mapped_column(index=True)
    finalized_at: Mapped[datetime | None]
    paid_at: Mapped[datetime | None]
    livemode: Mapped[bool]
    snapshot: Mapped[dict[str, Any]]
    synced_at: Mapped[datetime]

    __table_args__ = (Index("ix_billing_invoices_customer_id_created", "customer_id", "created"),)


class Reversal(Base):
    """
    A refund or a dispute, of anybody's charge: so that it is told once, and asked for no more.

    `customer_id` is None when the charge has none, `invoice_id` when it paid no invoice. `amount` is in minor units.
    """

    __tablename__ = "billing_reversals"

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    charge_id: Mapped[str] = mapped_column(_Id, index=True)
    payment_intent_id: Mapped[str | None] = mapped_column(_Id)
    customer_id: Mapped[str | None] = mapped_column(_Id, index=True)
    invoice_id: Mapped[str | None] = mapped_column(_Id, index=True)
    amount: Mapped[int]
    currency: Mapped[str] = mapped_column(String(3))
    status: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str | None] = mapped_column(String(64))
    created: Mapped[datetime] = mapped_column(index=True)
    livemode: Mapped[bool]
    snapshot: Mapped[dict[str, Any]]
    synced_at: Mapped[datetime]


class StoredEvent(Base):
    """
    A webhook, as it came. One row per Stripe event id, whatever was delivered how often.

    `state` is pending, done, ignored (with `reason`) or failed (with `error`). One that is processed may have a
    `reason` as well, for somebody to look at: `other_version`, when its endpoint speaks another release of the API.
    """

    __tablename__ = "billing_events"

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    type: Mapped[str] = mapped_column(_Id)
    api_version: Mapped[str | None] = mapped_column(String(64))
    account: Mapped[str | None] = mapped_column(_Id)
    livemode: Mapped[bool]
    target: Mapped[str | None] = mapped_column(String(300))
    payload: Mapped[str] = mapped_column(Text)
    """The body as received, for audit, empty where it is not kept; paidup reads only ids from it."""
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(String(64))
    error: Mapped[str | None] = mapped_column(Text)
    secret: Mapped[int] = mapped_column(Integer)
    """
    Which of the configured secrets matched, counted from 0, so that an old one can be retired.

    -1 is none: the event never came and was fetched from Stripe's API.
    """
    deliveries: Mapped[int] = mapped_column(Integer)
    created: Mapped[datetime | None]
    received_at: Mapped[datetime]
    processed_at: Mapped[datetime | None]

    __table_args__ = (
        Index("ix_billing_events_target_state", "target", "state"),
        Index("ix_billing_events_state_received_at", "state", "received_at"),
    )


class EventCursor(Base):
    """
    Up to when every event of a mode that leads somewhere is here: those that never came were fetched.

    `has_gap` when some may have been too old to be listed, until everything was compared.
    """

    __tablename__ = "billing_event_cursors"

    livemode: Mapped[bool] = mapped_column(primary_key=True)
    filled_until: Mapped[datetime]
    has_gap: Mapped[bool] = mapped_column(default=False, server_default=false())


class RefusedWebhook(Base):
    """How often webhooks were refused for a reason, and why the last one was. Nothing of them is kept."""

    __tablename__ = "billing_refused_webhooks"

    reason: Mapped[str] = mapped_column(String(32), primary_key=True)
    count: Mapped[int]
    first_at: Mapped[datetime]
    last_at: Mapped[datetime]
    detail: Mapped[str] = mapped_column(Text)


class StripeAccount(Base):
    """Whose data this is, for each mode."""

    __tablename__ = "billing_accounts"

    livemode: Mapped[bool] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(_Id)
    noted_at: Mapped[datetime]


class SyncTarget(Base):
    """
    Something at Stripe that has to be synchronised, and how far that is.

    Dirty means `applied < requested`. A worker owns the row while it holds `lease_token` and `lease_until` is ahead.
    `gave_up_at` is set after the last attempt; a new event, or a replay, starts it again.
    """

    __tablename__ = "billing_sync_targets"

    target: Mapped[str] = mapped_column(String(300), primary_key=True)
    requested: Mapped[int]
    applied: Mapped[int]
    available_at: Mapped[datetime]
    applied_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(Integer)
    lease_token: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None]
    last_error: Mapped[str | None] = mapped_column(Text)
    gave_up_at: Mapped[datetime | None]

    __table_args__ = (
        Index(
            "ix_billing_sync_targets_dirty",
            "available_at",
            postgresql_where=text("applied < requested AND gave_up_at IS NULL"),
            sqlite_where=text("applied < requested AND gave_up_at IS NULL"),
        ),
    )


class CheckoutIntent(Base):
    """
    A Checkout that was asked for: the claim of its owner's plan group, and the session it led to.

    Committed before Stripe is called. Its id is the idempotency key and stands in the metadata at Stripe; `params` is
    exactly what is sent. At most one row per owner, mode and group is `creating` or `open`.
    """

    __tablename__ = "billing_checkouts"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str] = mapped_column(_Id)
    livemode: Mapped[bool]
    plan_group: Mapped[str] = mapped_column(_Id)
    plan: Mapped[str] = mapped_column(_Id)
    interval: Mapped[str] = mapped_column(String(16))
    seats: Mapped[int] = mapped_column(Integer)
    addons: Mapped[dict[str, Any] | None]
    """How many of which, by key; None on rows of before they were noted."""
    customer_id: Mapped[str] = mapped_column(_Id, index=True)
    params: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(16))
    """creating, open, complete, failed (complete, and its payment never came), expired, or refused by Stripe."""
    payment_status: Mapped[str | None] = mapped_column(String(32))
    session_id: Mapped[str | None] = mapped_column(_Id, unique=True)
    url: Mapped[str | None] = mapped_column(Text)
    client_secret: Mapped[str | None] = mapped_column(Text)
    """Opens the page inside the app's own; None for one of Stripe's."""
    expires_at: Mapped[datetime | None]
    created: Mapped[datetime]

    __table_args__ = (
        Index(
            "uq_billing_checkouts_claim",
            "owner",
            "livemode",
            "plan_group",
            unique=True,
            postgresql_where=text("state IN ('creating', 'open')"),
            sqlite_where=text("state IN ('creating', 'open')"),
        ),
    )


class StoredQuote(Base):
    """
    What a change was said to cost, and how far it got.

    `terms` is the Quote, `params` exactly what Stripe is asked for, `fingerprint` a hash of the subscription it was
    computed from; `item_id` is the plan's item, `price_id` the price it is at afterwards. At most one quote of a
    subscription is being confirmed at any time.
    """

    __tablename__ = "billing_quotes"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str] = mapped_column(_Id, index=True)
    livemode: Mapped[bool]
    customer_id: Mapped[str] = mapped_column(_Id)
    subscription_id: Mapped[str] = mapped_column(_Id, index=True)
    item_id: Mapped[str] = mapped_column(_Id)
    price_id: Mapped[str] = mapped_column(_Id)
    terms: Mapped[dict[str, Any]]
    params: Mapped[dict[str, Any]]
    fingerprint: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    """open, confirming, waiting (for the user to pay), done, or outdated."""
    attempt: Mapped[int] = mapped_column(Integer)
    """How often it was declined, and with that part of the idempotency key."""
    schedule_id: Mapped[str | None] = mapped_column(_Id)
    confirmed_at: Mapped[datetime | None]
    expires_at: Mapped[datetime]
    created: Mapped[datetime]

    __table_args__ = (
        Index(
            "uq_billing_quotes_confirming",
            "subscription_id",
            unique=True,
            postgresql_where=text("state = 'confirming'"),
            sqlite_where=text("state = 'confirming'"),
        ),
    )


class TrialMark(Base):
    """
    A keyed hash of an e-mail address or a card of a customer, by which a second trial of one person is told.

    One of an owner is theirs who gave this customer away. Nothing in it names anybody; whether the customer had a
    trial, their subscriptions tell.
    """

    __tablename__ = "billing_trial_marks"

    livemode: Mapped[bool] = mapped_column(primary_key=True)
    mark: Mapped[str] = mapped_column(String(64), primary_key=True)
    customer_id: Mapped[str] = mapped_column(_Id, primary_key=True, index=True)


class StoredChange(Base):
    """
    A Change waiting for the app's handlers, written in the transaction that found it.

    The unique `id` makes each happen once; `number` keeps their order. `state` is pending, done or failed. `handled`
    names the handlers that have had it, so that a repetition leaves them out.
    """

    __tablename__ = "billing_changes"

    number: Mapped[int] = mapped_column(BigInteger().with_variant(Integer(), "sqlite"), primary_key=True)
    id: Mapped[str] = mapped_column(String(1024), unique=True)
    kind: Mapped[str] = mapped_column(String(64))
    owner: Mapped[str] = mapped_column(_Id, index=True)
    customer: Mapped[str] = mapped_column(_Id)
    subscription: Mapped[str | None] = mapped_column(_Id)
    invoice: Mapped[str | None] = mapped_column(_Id)
    data: Mapped[dict[str, Any]]
    created: Mapped[datetime]
    state: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(Integer)
    available_at: Mapped[datetime]
    lease_until: Mapped[datetime | None]
    last_error: Mapped[str | None] = mapped_column(Text)

    handled: Mapped[list[str]] = mapped_column(_Json)

    __table_args__ = (
        Index("ix_billing_changes_state_available_at", "state", "available_at"),
        Index(
            "ix_billing_changes_pending",
            "owner",
            "number",
            postgresql_where=text("state = 'pending'"),
            sqlite_where=text("state = 'pending'"),
        ),
    )


class StoredCreditEntry(Base):
    """
    A change of an owner's balance of a credit; `key` makes each happen once, `number` keeps their order.

    `kind` is paid, reversed, given, spent or forfeited. One that is `paid` names the line of the invoice that brought
    it, its price and its period, so that what is given back of it can be told.
    """

    __tablename__ = "billing_credit_entries"

    number: Mapped[int] = mapped_column(BigInteger().with_variant(Integer(), "sqlite"), primary_key=True)
    key: Mapped[str] = mapped_column(String(1024), unique=True)
    owner: Mapped[str] = mapped_column(_Id)
    livemode: Mapped[bool]
    credit: Mapped[str] = mapped_column(_Id)
    units: Mapped[int]
    kind: Mapped[str] = mapped_column(String(16))
    invoice_id: Mapped[str | None] = mapped_column(_Id, index=True)
    subscription_id: Mapped[str | None] = mapped_column(_Id, index=True)
    line_id: Mapped[str | None] = mapped_column(_Id)
    price_id: Mapped[str | None] = mapped_column(_Id)
    period_start: Mapped[datetime | None]
    period_end: Mapped[datetime | None]
    note: Mapped[str | None] = mapped_column(Text)
    created: Mapped[datetime]

    __table_args__ = (Index("ix_billing_credit_entries_owner_number", "owner", "number"),)


class CreditBalance(Base):
    """How much an owner has of a credit: the sum of its entries, which is spent from in one statement."""

    __tablename__ = "billing_credit_balances"

    owner: Mapped[str] = mapped_column(_Id, primary_key=True)
    livemode: Mapped[bool] = mapped_column(primary_key=True)
    credit: Mapped[str] = mapped_column(_Id, primary_key=True)
    units: Mapped[int]


class ReconciliationRun(Base):
    """
    A reconciliation: who is at it, how far it is, and what it counted.

    A runner owns the row while it holds `lease_token` and `lease_until` is ahead; `cursors` is where the next one goes
    on. At most one per mode is `running`; it becomes `done` after the last page only, or `failed` with `error`.
    """

    __tablename__ = "billing_reconciliations"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    livemode: Mapped[bool]
    fix: Mapped[bool]
    adopts: Mapped[bool]
    """Does it take in customers? Then only a runner that can say whose they are goes on with it."""
    state: Mapped[str] = mapped_column(String(16))
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    lease_token: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None]
    cursors: Mapped[dict[str, Any]]
    counts: Mapped[dict[str, Any]]
    error: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        Index(
            "uq_billing_reconciliations_running",
            "livemode",
            unique=True,
            postgresql_where=text("state = 'running'"),
            sqlite_where=text("state = 'running'"),
        ),
    )


class FoundDifference(Base):
    """A difference that a reconciliation found; `state` is found, fixed or unsafe (with `reason`)."""

    __tablename__ = "billing_differences"

    number: Mapped[int] = mapped_column(BigInteger().with_variant(Integer(), "sqlite"), primary_key=True)
    run_id: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(32))
    object_id: Mapped[str] = mapped_column(_Id)
    customer_id: Mapped[str | None] = mapped_column(_Id)
    field: Mapped[str] = mapped_column(_Id)
    ours: Mapped[str | None] = mapped_column(Text)
    theirs: Mapped[str | None] = mapped_column(Text)
    amount: Mapped[int]
    currency: Mapped[str | None] = mapped_column(String(3))
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(String(64))
    found_at: Mapped[datetime]

    __table_args__ = (
        Index("uq_billing_differences_field", "run_id", "kind", "object_id", "field", unique=True),
        Index("ix_billing_differences_run_id_state", "run_id", "state"),
    )


class Adoption(Base):
    """
    A customer that an import is taking in, until everything of them is stored; then the mapping is made.

    One owner has one: a second claim has no row.
    """

    __tablename__ = "billing_adoptions"

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    """The customer's."""
    livemode: Mapped[bool]
    owner: Mapped[str] = mapped_column(_Id)
    email: Mapped[str | None] = mapped_column(String(512))
    name: Mapped[str | None] = mapped_column(String(512))
    created: Mapped[datetime]
    snapshot: Mapped[dict[str, Any]]
    fetched_at: Mapped[datetime]

    __table_args__ = (Index("uq_billing_adoptions_owner", "owner", "livemode", unique=True),)
