"""Who is asking, as the app's own sign-in tells it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Owner:
    """
    Who pays, and whether the person asking may manage it.

    `id` is the app's own name for them, such as `user:42` or `org:7`. `manages_billing` has no default on purpose: a
    member who may use an organisation's plan may not open its portal. `email` and `name` go to a new Stripe customer.
    `currency` is what they are to be billed in (`eur`), as your app knows it of them: a browser never says. None is the
    currency Stripe bills them in already, else the plan's own; another one than Stripe's is refused at the checkout.
    """

    id: str
    manages_billing: bool = field(kw_only=True)
    email: str | None = field(default=None, kw_only=True)
    name: str | None = field(default=None, kw_only=True)
    currency: str | None = field(default=None, kw_only=True)
