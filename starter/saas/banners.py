"""What a user is told about their subscription, and what to do about it: pure, from their access."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from paidup import Access, PaymentMethod


@dataclass(frozen=True, slots=True)
class Button:
    """
    What a notice offers.

    `action` is `portal`, `card` (the portal, at the card), `pay` (the open invoice, now), `pricing`, or `resume`.
    """

    action: str
    label: str


@dataclass(frozen=True, slots=True)
class Banner:
    """One notice. `tone` is info, warning or danger; the first of `buttons` is the one to press."""

    tone: str
    title: str
    text: str
    buttons: tuple[Button, ...]


_PAY = (Button("pay", "Pay now"), Button("card", "Update card"))


def banner_for(
    access: Access, *, held_name: str, card: PaymentMethod | None, day: Callable[[datetime | None], str]
) -> Banner | None:
    """
    The one thing the user should know now, or None.

    `held_name` is the name of the subscription's plan, which is not the plan in force while a payment is missing;
    `day` writes a date.
    """
    subscription = access.subscription
    if subscription is None:
        return None
    name = held_name
    if access.reason == "disputed":
        return Banner(
            "danger",
            f"{name} is on hold",
            "A payment was disputed at your bank. If that was a mistake, withdraw it there or write to us.",
            (Button("portal", "See your invoices"),),
        )
    if access.reason == "refunded":
        return Banner(
            "info",
            f"Your payment for {name} was refunded",
            "It is back with the next payment. Cancel it if you do not want one.",
            (Button("portal", "Manage"),),
        )
    if access.is_past_due and access.is_paid:
        return Banner(
            "danger",
            "Your last payment failed",
            f"Pay it, or update your card first, to keep {name}. Without a payment it stops on {day(access.until)}.",
            _PAY,
        )
    if subscription.status in ("past_due", "unpaid", "incomplete"):
        return Banner(
            "danger",
            f"{name} is on hold",
            "A payment is missing. Pay it and everything is back at once.",
            _PAY,
        )
    if subscription.is_paused:
        return Banner(
            "warning", f"{name} is paused", "Resume it to use it again.", (Button("resume", f"Resume {name}"),)
        )
    if subscription.is_canceling:
        return Banner(
            "warning",
            f"{name} ends on {day(subscription.ends_at)}",
            "You keep everything until then, and pay nothing more. Changed your mind?",
            (Button("resume", f"Keep {name}"),),
        )
    if access.is_trialing and card is None:
        return Banner(
            "info",
            f"Your {name} trial ends on {day(subscription.trial_end)}",
            f"Add a card to keep {name} after that. Without one it ends by itself, at no cost.",
            (Button("card", "Add a card"),),
        )
    if access.is_trialing:
        return Banner(
            "info",
            f"Your {name} trial ends on {day(subscription.trial_end)}",
            f"After that {card.label if card else 'your card'} is charged.",
            (Button("portal", "Manage"),),
        )
    if subscription.has_ended:
        return Banner(
            "info",
            f"Your {name} subscription ended on {day(subscription.ended_at)}",
            "Your projects are all still here.",
            (Button("pricing", "See plans"),),
        )
    return None
