"""
Billing for async hosts: the same verbs; what waits does so in a thread, so that nothing blocks the event loop.

What needs the database alone has threads that nothing else has (`threads.py`): a slow Stripe holds up no decision about
access.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from paidup.billing import Billing
from paidup.checkout import Checkout
from paidup.core.access import Access
from paidup.core.credits import CreditEntry
from paidup.core.customer import Customer, PaymentMethod
from paidup.core.invoice import Invoice, UpcomingInvoice
from paidup.core.quote import PendingChange, Quote, ScheduledChange
from paidup.core.reconciliation import Progress, Reconciliation
from paidup.core.subscription import Subscription
from paidup.ending import Owed, PauseKind, When
from paidup.inbox import Receipt
from paidup.reconciliation.adoption import OwnerOf
from paidup.reconciliation.missed import Filled
from paidup.refunding import Unused


class AsyncBilling:
    """The same verbs for async hosts; what waits does so in a thread, so that nothing blocks the event loop."""

    def __init__(self, billing: Billing) -> None:
        self.billing = billing

    async def access(self, owner: str) -> Access:
        """See `Billing.access`."""
        return await self.billing.threads.read(self.billing.access, owner)

    async def require(self, owner: str, feature: str | None = None) -> Access:
        """See `Billing.require`."""
        return await self.billing.threads.read(self.billing.require, owner, feature)

    async def require_limit(self, owner: str, limit: str, used: int) -> Access:
        """See `Billing.require_limit`."""
        return await self.billing.threads.read(self.billing.require_limit, owner, limit, used)

    async def credits(self, owner: str) -> dict[str, int]:
        """See `Billing.credits`."""
        return await self.billing.threads.read(self.billing.credits, owner)

    async def spend_credits(self, owner: str, credit: str, units: int, *, key: str, note: str | None = None) -> int:
        """See `Billing.spend_credits`; inside a transaction of yours, call that by `AsyncSession.run_sync`."""
        return await self.billing.threads.read(self.billing.spend_credits, owner, credit, units, key=key, note=note)

    async def give_credits(self, owner: str, credit: str, units: int, *, key: str, note: str | None = None) -> int:
        """See `Billing.give_credits`."""
        return await self.billing.threads.read(self.billing.give_credits, owner, credit, units, key=key, note=note)

    async def credit_entries(
        self, owner: str, *, credit: str | None = None, limit: int = 50, before: int | None = None
    ) -> list[CreditEntry]:
        """See `Billing.credit_entries`."""
        return await self.billing.threads.read(
            self.billing.credit_entries, owner, credit=credit, limit=limit, before=before
        )

    async def subscription(self, owner: str, *, group: str | None = None) -> Subscription | None:
        """See `Billing.subscription`."""
        return await self.billing.threads.read(self.billing.subscription, owner, group=group)

    async def customer(self, owner: str) -> Customer | None:
        """See `Billing.customer`."""
        return await self.billing.threads.read(self.billing.customer, owner)

    async def payment_method(self, owner: str) -> PaymentMethod | None:
        """See `Billing.payment_method`."""
        return await self.billing.threads.read(self.billing.payment_method, owner)

    async def invoices(self, owner: str, *, limit: int = 24, before: str | None = None) -> list[Invoice]:
        """See `Billing.invoices`."""
        return await self.billing.threads.read(self.billing.invoices, owner, limit=limit, before=before)

    async def invoice_page(self, owner: str, invoice_id: str, *, pdf: bool = False) -> str:
        """See `Billing.invoice_page`."""
        return await self.billing.threads.call(self.billing.invoice_page, owner, invoice_id, pdf=pdf)

    async def upcoming_invoice(self, owner: str, *, group: str | None = None) -> UpcomingInvoice | None:
        """See `Billing.upcoming_invoice`."""
        return await self.billing.threads.call(self.billing.upcoming_invoice, owner, group=group)

    async def open_invoice(self, owner: str, *, group: str | None = None) -> Invoice | None:
        """See `Billing.open_invoice`."""
        return await self.billing.threads.read(self.billing.open_invoice, owner, group=group)

    async def payment_url(self, owner: str, *, group: str | None = None) -> str:
        """See `Billing.payment_url`."""
        return await self.billing.threads.call(self.billing.payment_url, owner, group=group)

    async def retry_payment(
        self, owner: str, *, group: str | None = None, wait: timedelta = timedelta(seconds=5)
    ) -> Invoice | None:
        """See `Billing.retry_payment`."""
        return await self.billing.threads.call(self.billing.retry_payment, owner, group=group, wait=wait)

    async def update_customer(self, owner: str, *, email: str | None = None, name: str | None = None) -> bool:
        """See `Billing.update_customer`."""
        return await self.billing.threads.call(self.billing.update_customer, owner, email=email, name=name)

    async def transfer(self, owner: str, to: str) -> None:
        """See `Billing.transfer`."""
        return await self.billing.threads.call(self.billing.transfer, owner, to)

    async def delete_customer(self, owner: str, *, wait: timedelta = timedelta(seconds=10)) -> bool:
        """See `Billing.delete_customer`."""
        return await self.billing.threads.call(self.billing.delete_customer, owner, wait=wait)

    async def checkout(
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
        """See `Billing.checkout`."""
        return await self.billing.threads.call(
            self.billing.checkout,
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
            return_to=return_to,
            cancel_to=cancel_to,
        )

    async def finish_checkout(self, owner: str, session_id: str, *, wait: timedelta = timedelta(seconds=5)) -> Checkout:
        """See `Billing.finish_checkout`."""
        return await self.billing.threads.call(self.billing.finish_checkout, owner, session_id, wait=wait)

    async def find_checkout(self, owner: str, session_id: str) -> Checkout:
        """See `Billing.find_checkout`."""
        return await self.billing.threads.read(self.billing.find_checkout, owner, session_id)

    async def portal(
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
        """See `Billing.portal`."""
        return await self.billing.threads.call(
            self.billing.portal,
            owner,
            return_to=return_to,
            flow=flow,
            group=group,
            plan=plan,
            interval=interval,
            seats=seats,
            promotion_code=promotion_code,
            coupon=coupon,
            wait=wait,
        )

    async def preview_change(
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
        """See `Billing.preview_change`."""
        return await self.billing.threads.call(
            self.billing.preview_change,
            owner,
            plan,
            interval=interval,
            seats=seats,
            addons=addons,
            promotion_code=promotion_code,
            coupon=coupon,
            wait=wait,
        )

    async def change_plan(self, owner: str, quote_id: str, *, wait: timedelta = timedelta(seconds=5)) -> Subscription:
        """See `Billing.change_plan`."""
        return await self.billing.threads.call(self.billing.change_plan, owner, quote_id, wait=wait)

    async def scheduled_change(self, owner: str, *, group: str | None = None) -> ScheduledChange | None:
        """See `Billing.scheduled_change`."""
        return await self.billing.threads.call(self.billing.scheduled_change, owner, group=group)

    async def pending_change(self, owner: str, *, group: str | None = None) -> PendingChange | None:
        """See `Billing.pending_change`."""
        return await asyncio.to_thread(self.billing.pending_change, owner, group=group)

    async def undo_change(
        self, owner: str, *, group: str | None = None, wait: timedelta = timedelta(seconds=5)
    ) -> Subscription:
        """See `Billing.undo_change`."""
        return await self.billing.threads.call(self.billing.undo_change, owner, group=group, wait=wait)

    async def cancel(
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
        """See `Billing.cancel`."""
        return await self.billing.threads.call(
            self.billing.cancel,
            owner,
            group=group,
            when=when,
            feedback=feedback,
            comment=comment,
            refund_unused=refund_unused,
            owed=owed,
            wait=wait,
        )

    async def unused(self, owner: str, *, group: str | None = None) -> Unused | None:
        """See `Billing.unused`."""
        return await self.billing.threads.call(self.billing.unused, owner, group=group)

    async def resume(
        self, owner: str, *, group: str | None = None, wait: timedelta = timedelta(seconds=5)
    ) -> Subscription:
        """See `Billing.resume`."""
        return await self.billing.threads.call(self.billing.resume, owner, group=group, wait=wait)

    async def pause(
        self,
        owner: str,
        *,
        group: str | None = None,
        until: datetime | None = None,
        kind: PauseKind = "collection",
        wait: timedelta = timedelta(seconds=5),
    ) -> Subscription:
        """See `Billing.pause`."""
        return await self.billing.threads.call(
            self.billing.pause, owner, group=group, until=until, kind=kind, wait=wait
        )

    async def receive(self, body: bytes, signature: str | None) -> Receipt:
        """See `Billing.receive`."""
        answer: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self.billing.receive_soon(body, signature, answer)
        return await answer

    async def sync(self, owner_or_customer: str, *, wait: timedelta = timedelta(seconds=30)) -> None:
        """See `Billing.sync`."""
        await self.billing.threads.call(self.billing.sync, owner_or_customer, wait=wait)

    async def fill_missed_events(self, *, on_progress: Callable[[Progress], None] | None = None) -> Filled:
        """See `Billing.fill_missed_events`; the function is called in another thread."""
        return await self.billing.threads.call(self.billing.fill_missed_events, on_progress=on_progress)

    async def reconcile(
        self,
        *,
        fix: bool = False,
        owner_of: OwnerOf | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Reconciliation:
        """See `Billing.reconcile`; both functions are called in another thread."""
        return await self.billing.threads.call(
            self.billing.reconcile, fix=fix, owner_of=owner_of, on_progress=on_progress
        )

    async def last_reconciliation(self) -> Reconciliation | None:
        """See `Billing.last_reconciliation`."""
        return await self.billing.threads.read(self.billing.last_reconciliation)
