"""
What happened, for the app: the difference between what we knew and what Stripe says now.

Every kind, with its data and when it is told, stands in `docs/2_handlers.md`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from paidup.core.access import plan_of
from paidup.core.addons import addon_of, addons_held
from paidup.core.catalog import Catalog
from paidup.core.invoice import Invoice
from paidup.core.plan_change import plan_item
from paidup.core.quote import Quote
from paidup.core.reversal import Reversal
from paidup.core.subscription import Subscription

TRIAL_NOTICE = timedelta(days=3)
"""Stripe sends `trial_will_end` this long before; so do we."""

_LONGEST_OCCASION = 255

_ENTITLED = frozenset({"trialing", "active", "past_due", "unpaid", "paused"})

KINDS = frozenset(
    {
        "subscription.started",
        "trial.ending",
        "trial.repeated",
        "plan.changed",
        "terms.changed",
        "addons.changed",
        "change.planned",
        "change.waiting",
        "change.undone",
        "plan.unknown",
        "addon.unknown",
        "status.unknown",
        "seats.out_of_bounds",
        "payment.failed",
        "payment.recovered",
        "subscription.canceling",
        "subscription.resumed",
        "subscription.paused",
        "subscription.unpaused",
        "subscription.ended",
        "subscription.duplicated",
        "invoice.paid",
        "credits.granted",
        "credits.reversed",
        "invoice.refunded",
        "refund.failed",
        "dispute.opened",
        "dispute.closed",
        "customer.transferred",
        "customer.deleted",
        "checkout.expired",
    }
)
"""Every kind of Change there is."""

ALARMING = frozenset(
    {
        "plan.unknown",
        "addon.unknown",
        "status.unknown",
        "seats.out_of_bounds",
        "subscription.duplicated",
        "refund.failed",
        "dispute.opened",
    }
)
"""Kinds that somebody should look at: what paidup decided is safe and may not be what was meant, or a bank waits."""


@dataclass(frozen=True, slots=True)
class Change:
    """
    Something that happened to an owner's billing.

    `id` is stable: a handler that is called again for the same change sees the same id.
    """

    id: str
    kind: str
    owner: str
    customer: str
    subscription: str | None
    invoice: str | None
    data: Mapping[str, object]
    created: datetime


@dataclass(frozen=True, slots=True)
class Known:
    """The subscriptions and invoices of one customer at one moment, by id."""

    subscriptions: Mapping[str, Subscription] = field(default_factory=dict)
    invoices: Mapping[str, Invoice] = field(default_factory=dict)


def between(before: Known, after: Known, *, owner: str, customer: str, catalog: Catalog, now: datetime) -> list[Change]:
    """
    Everything that happened between two moments, in a sensible order.

    `now` is Stripe's time as far as we know it. Ids are the same whenever the same thing is found again.
    """
    found = _Finder(owner=owner, customer=customer, catalog=catalog, now=now)
    for subscription in sorted(after.subscriptions.values(), key=lambda s: (s.created, s.id)):
        found.subscription(before.subscriptions.get(subscription.id), subscription)
    for invoice in sorted(after.invoices.values(), key=lambda i: (i.created, i.id)):
        found.invoice(before.invoices.get(invoice.id), invoice)
    found.duplicates(after.subscriptions.values())
    return found.changes


def of_reversal(
    before: Reversal | None,
    after: Reversal,
    *,
    owner: str,
    customer: str,
    subscription: str | None,
    is_whole: bool,
    now: datetime,
) -> list[Change]:
    """
    What became of a refund or a dispute, None being one that was not known; `subscription` is the one that was paid.

    `is_whole` says whether all of the charge was refunded.
    """

    def money(kind: str, **more: object) -> list[Change]:
        data = {
            "amount": after.amount,
            "currency": after.currency,
            "reason": after.reason,
            "status": after.status,
            "charge": after.charge,
        }
        id = f"{kind}:{after.id}"
        return [Change(id, kind, owner, customer, subscription, after.invoice, data | more, now)]

    if after.gives_back and not (before and before.gives_back):
        return money("invoice.refunded", is_whole=is_whole)
    if before and before.gives_back and not after.gives_back:
        return money("refund.failed")
    if after.is_open_dispute and not (before and before.is_open_dispute):
        return money("dispute.opened")
    if after.is_decided_dispute and not (before and before.is_decided_dispute):
        return money("dispute.closed")
    return []


def of_deleted_customer(*, owner: str, customer: str, now: datetime) -> Change:
    """A customer is gone at Stripe, with everything that was still running."""
    return Change(
        id=f"customer.deleted:{customer}",
        kind="customer.deleted",
        owner=owner,
        customer=customer,
        subscription=None,
        invoice=None,
        data={},
        created=now,
    )


def of_expired_checkout(
    session: str,
    *,
    owner: str,
    customer: str,
    plan: str,
    interval: str,
    seats: int,
    addons: Mapping[str, int],
    now: datetime,
) -> Change:
    """Somebody left a Checkout unpaid until it ran out."""
    return Change(
        id=f"checkout.expired:{session}",
        kind="checkout.expired",
        owner=owner,
        customer=customer,
        subscription=None,
        invoice=None,
        data={"plan": plan, "interval": interval, "seats": seats, "addons": dict(addons)},
        created=now,
    )


def of_granted_credits(
    invoice: str,
    subscription: str | None,
    *,
    owner: str,
    customer: str,
    credit: str,
    units: int,
    balance: int,
    now: datetime,
) -> Change:
    """A paid invoice brought credits, or took some along with a part of a period that it gave back."""
    return Change(
        id=f"credits.granted:{invoice}:{credit}",
        kind="credits.granted",
        owner=owner,
        customer=customer,
        subscription=subscription,
        invoice=invoice,
        data={"credit": credit, "units": units, "balance": balance},
        created=now,
    )


def of_reversed_credits(
    invoice: str,
    subscription: str | None,
    *,
    owner: str,
    customer: str,
    credit: str,
    units: int,
    balance: int,
    occasion: int,
    now: datetime,
) -> Change:
    """Credits went with money that went back, or came back with it; `occasion` counts that from 0."""
    return Change(
        id=f"credits.reversed:{invoice}:{credit}:{occasion}",
        kind="credits.reversed",
        owner=owner,
        customer=customer,
        subscription=subscription,
        invoice=invoice,
        data={"credit": credit, "units": units, "balance": balance},
        created=now,
    )


def of_planned_change(quote: Quote, *, customer: str, now: datetime) -> Change:
    """A change was confirmed that takes effect when the period ends."""
    return Change(
        id=f"change.planned:{quote.id}",
        kind="change.planned",
        owner=quote.owner,
        customer=customer,
        subscription=quote.subscription,
        invoice=None,
        data={
            "plan": quote.after.plan,
            "interval": quote.after.interval,
            "seats": quote.after.seats,
            "addons": dict(quote.after.addons),
            "previous_plan": quote.before.plan,
            "effective_at": _iso(quote.effective_at),
        },
        created=now,
    )


def of_waiting_change(quote: Quote, *, customer: str, expires_at: datetime | None, now: datetime) -> Change:
    """A change was confirmed, and the user's bank asks them before it is paid."""
    return Change(
        id=f"change.waiting:{quote.id}",
        kind="change.waiting",
        owner=quote.owner,
        customer=customer,
        subscription=quote.subscription,
        invoice=None,
        data={
            "plan": quote.after.plan,
            "interval": quote.after.interval,
            "seats": quote.after.seats,
            "addons": dict(quote.after.addons),
            "previous_plan": quote.before.plan,
            "expires_at": _iso(expires_at),
        },
        created=now,
    )


def of_undone_change(quote: Quote, *, owner: str, customer: str, now: datetime) -> Change:
    """A change that was planned, or waited for the user's bank, will not come."""
    return Change(
        id=f"change.undone:{quote.id}",
        kind="change.undone",
        owner=owner,
        customer=customer,
        subscription=quote.subscription,
        invoice=None,
        data={
            "plan": quote.after.plan,
            "interval": quote.after.interval,
            "seats": quote.after.seats,
            "addons": dict(quote.after.addons),
            "kept_plan": quote.before.plan,
            "effective_at": _iso(quote.effective_at),
        },
        created=now,
    )


class _Finder:
    def __init__(self, *, owner: str, customer: str, catalog: Catalog, now: datetime) -> None:
        self.changes: list[Change] = []
        self._owner, self._customer, self._catalog, self._now = owner, customer, catalog, now

    def subscription(self, old: Subscription | None, new: Subscription) -> None:
        plan = plan_of(new, self._catalog)
        key = plan.key if plan else new.plan
        if _is_entitled(new) and not (old and _is_entitled(old)):
            addons = addons_held(new, self._catalog)
            trial_end = _iso(new.trial_end)
            self._add("subscription.started", new, "", plan=key, status=new.status, trial_end=trial_end, addons=addons)
        if new.is_trialing and new.trial_end and self._now <= new.trial_end <= self._now + TRIAL_NOTICE:
            self._add("trial.ending", new, _iso(new.trial_end), plan=key, trial_end=_iso(new.trial_end))
        if new.is_live and not any(self._is_known(item.lookup_key, item.plan_hint) for item in new.items):
            prices = sorted(item.price for item in new.items)
            self._add("plan.unknown", new, "+".join(prices), prices=prices, kept_plan=new.plan)
        if new.is_live and (unknown := self._unknown_addons(new)):
            self._add("addon.unknown", new, "+".join(unknown), addons=unknown, plan=key)
        if new.has_unknown_status:
            self._add("status.unknown", new, new.status, status=new.status, plan=key)
        if new.is_live:
            self._check_seats(new)
        if old is None:
            return
        self._compare(old, new, key)

    def _check_seats(self, subscription: Subscription) -> None:
        """Somebody may have sold more seats in the portal or the Dashboard, or fewer, than the plans file allows."""
        for group in {plan.group for plan in self._catalog.plans}:
            found = plan_item(subscription, self._catalog, group)
            if found is None:
                continue
            plan, item = found
            least, most = (plan.seats.min, plan.seats.max) if plan.seats else (1, 1)
            if not least <= item.quantity <= most:
                occasion = f"{plan.key}:{item.quantity}"
                self._add(
                    "seats.out_of_bounds",
                    subscription,
                    occasion,
                    plan=plan.key,
                    seats=item.quantity,
                    min=least,
                    max=most,
                )

    def _compare(self, old: Subscription, new: Subscription, plan: str | None) -> None:
        moment = f"{self._now.timestamp():.0f}"
        if old.status in _ENTITLED and new.is_live and old.plan is not None and plan is not None and plan != old.plan:
            prices = "+".join(sorted(item.price for item in new.items))
            self._add("plan.changed", new, f"{prices}:{moment}", plan=plan, previous_plan=old.plan)
        if new.is_live and plan is not None and plan == old.plan:
            self._compare_terms(old, new, plan)
        if old.status in _ENTITLED and new.is_live:
            self._compare_addons(old, new, plan, moment)
        if old.status in ("past_due", "unpaid") and new.is_active:
            self._add("payment.recovered", new, str(new.latest_invoice), plan=plan)
        if new.is_canceling and not old.is_canceling:
            self._add("subscription.canceling", new, _iso(new.canceled_at), plan=plan, ends_at=_iso(new.ends_at))
        if old.is_canceling and new.is_live and not new.is_canceling:
            self._add("subscription.resumed", new, _iso(old.canceled_at), plan=plan)
        if new.is_live and new.is_paused and not old.is_paused:
            kind, resumes_at = _pause_of(new), _iso(new.resumes_at)
            self._add("subscription.paused", new, f"{kind}:{moment}", plan=plan, pause=kind, resumes_at=resumes_at)
        if new.is_live and old.is_paused and not new.is_paused:
            self._add("subscription.unpaused", new, f"{_pause_of(old)}:{moment}", plan=plan)
        if old.is_live and new.has_ended:
            self._add("subscription.ended", new, "", plan=plan, reason=new.status)

    def _compare_terms(self, old: Subscription, new: Subscription, plan: str) -> None:
        group = self._catalog.plan(plan).group if self._catalog.has(plan) else ""
        was, found = plan_item(old, self._catalog, group), plan_item(new, self._catalog, group)
        if was is None or found is None:
            return
        before, after = was[1], found[1]
        if (before.interval, before.quantity) != (after.interval, after.quantity):
            self._add(
                "terms.changed",
                new,
                f"{after.interval}:{after.quantity}:{self._now.timestamp():.0f}",
                plan=plan,
                interval=after.interval,
                seats=after.quantity,
                previous_interval=before.interval,
                previous_seats=before.quantity,
            )

    def _compare_addons(self, old: Subscription, new: Subscription, plan: str | None, moment: str) -> None:
        before, after = addons_held(old, self._catalog), addons_held(new, self._catalog)
        if before != after:
            occasion = "+".join(f"{key}:{quantity}" for key, quantity in after.items())
            self._add("addons.changed", new, f"{occasion}:{moment}", plan=plan, addons=after, previous_addons=before)

    def invoice(self, old: Invoice | None, new: Invoice) -> None:
        failed_before = old.attempt_count if old else 0
        if new.is_open and new.attempt_count > failed_before:
            self._add_invoice(
                "payment.failed",
                new,
                str(new.attempt_count),
                attempt=new.attempt_count,
                amount_due=new.amount_remaining,
                next_attempt=_iso(new.next_payment_attempt),
            )
        if new.is_paid and not (old and old.is_paid):
            self._add_invoice(
                "invoice.paid",
                new,
                "",
                amount_paid=new.amount_paid,
                billing_reason=new.billing_reason,
                period_start=_iso(new.service_start) if new.begins_a_period else None,
                period_end=_iso(new.service_end) if new.begins_a_period else None,
            )

    def duplicates(self, subscriptions: Iterable[Subscription]) -> None:
        groups: dict[str, list[Subscription]] = {}
        for subscription in subscriptions:
            plan = plan_of(subscription, self._catalog)
            if subscription.is_live and plan is not None:
                groups.setdefault(plan.group, []).append(subscription)
        for group, members in groups.items():
            if len(members) > 1:
                ids = sorted(each.id for each in members)
                newest = max(members, key=lambda each: (each.created, each.id))
                self._add("subscription.duplicated", newest, "+".join(ids), subscriptions=ids, group=group)

    def _unknown_addons(self, subscription: Subscription) -> list[str]:
        """Add-ons that paidup sold once and that stand no more in the plans file."""
        return sorted(
            item.addon_hint for item in subscription.items if item.addon_hint and addon_of(item, self._catalog) is None
        )

    def _is_known(self, lookup_key: str | None, plan_hint: str | None) -> bool:
        by_key = lookup_key is not None and self._catalog.find_by_lookup_key(lookup_key) is not None
        return by_key or (plan_hint is not None and self._catalog.has(plan_hint))

    def _add(self, kind: str, subject: Subscription, occasion: str | None, **data: object) -> None:
        self._append(kind, subject.id, occasion, subscription=subject.id, invoice=None, data=data)

    def _add_invoice(self, kind: str, subject: Invoice, occasion: str | None, **data: object) -> None:
        data["currency"] = subject.currency
        self._append(kind, subject.id, occasion, subscription=subject.subscription, invoice=subject.id, data=data)

    def _append(
        self,
        kind: str,
        subject: str,
        occasion: str | None,
        *,
        subscription: str | None,
        invoice: str | None,
        data: Mapping[str, object],
    ) -> None:
        self.changes.append(
            Change(
                id=":".join(part for part in (kind, subject, _named(occasion)) if part),
                kind=kind,
                owner=self._owner,
                customer=self._customer,
                subscription=subscription,
                invoice=invoice,
                data=dict(data),
                created=self._now,
            )
        )


def _is_entitled(subscription: Subscription) -> bool:
    return subscription.status in _ENTITLED and not subscription.awaits_first_payment


def _pause_of(subscription: Subscription) -> str:
    """Which of Stripe's two ways it is paused in."""
    return "subscription" if subscription.paused_collection is None else "collection"


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None


def _named(occasion: str | None) -> str | None:
    """What tells two changes of a kind apart, as part of an id: a digest when there is much to tell."""
    if occasion is None or len(occasion) <= _LONGEST_OCCASION:
        return occasion
    return hashlib.sha256(occasion.encode()).hexdigest()
