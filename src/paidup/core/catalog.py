"""What the app sells: plans, their prices, features and limits, as read from the plans file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

_SHOWN_IN_PORTAL = 10
"""The most products that Stripe's portal shows."""


@dataclass(frozen=True, slots=True)
class Feature:
    """Something a plan includes or does not."""

    key: str
    name: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class LimitName:
    """Something a plan includes a number of."""

    key: str
    name: str


@dataclass(frozen=True, slots=True)
class CreditName:
    """Something that is paid for in advance and spent by the unit."""

    key: str
    name: str


@dataclass(frozen=True, slots=True)
class PlanPrice:
    """
    What a plan costs per interval: `day`, `week`, `month`, `year` or `once`; `amount` is in minor units per seat.

    `credits` is how many units of which credit a paid interval brings, per seat as well.
    `currencies` is what it costs in further ones, by lower-case code, in minor units of each (whole yen, fils).
    """

    interval: str
    amount: int
    currency: str
    lookup_key: str
    credits: Mapping[str, int] = field(default_factory=dict)
    currencies: Mapping[str, int] = field(default_factory=dict)

    @property
    def amounts(self) -> Mapping[str, int]:
        """What it costs in each currency it is sold in, its own first; in minor units of each."""
        return {self.currency: self.amount, **self.currencies}

    def amount_in(self, currency: str) -> int | None:
        """What it costs in a currency, in minor units of it; None when it is not sold in it."""
        return self.amounts.get(currency)


@dataclass(frozen=True, slots=True)
class SeatBounds:
    """How many seats can be bought, both ends included."""

    min: int
    max: int


@dataclass(frozen=True, slots=True)
class CheckoutTerms:
    """
    What Stripe's page lets buyers do beside paying.

    They may type `promotion_codes`; `automatic_tax` is worked out by Stripe from the address they give; `tax_ids` lets
    businesses give theirs. `repeated_trial` is what becomes of a trial whose card had one before, with another owner,
    where such are looked for: `cancel` ends the subscription and charges nothing, `bill` ends the trial alone and
    charges at once, `keep` only tells the app.
    """

    promotion_codes: bool = False
    automatic_tax: bool = False
    tax_ids: bool = False
    repeated_trial: Literal["cancel", "bill", "keep"] = "cancel"


@dataclass(frozen=True, slots=True)
class PortalTerms:
    """
    What Stripe's portal lets owners do beside cards, invoices and canceling.

    `change_plans` between the plans of one group: at once, less too, which is given back as a credit. Stripe has no
    other way between products; quotes and what `changes` says about pairs of plans are the app's own pages alone.
    `change_seats` as well, within the plans' bounds. `pause` a subscription: at once, until somebody resumes it.
    """

    change_plans: bool = True
    change_seats: bool = False
    pause: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan. A limit of None is unlimited; one that is not named is 0."""

    key: str
    name: str
    description: str = ""
    group: str = "default"
    features: frozenset[str] = frozenset()
    limits: Mapping[str, int | None] = field(default_factory=dict)
    prices: tuple[PlanPrice, ...] = ()
    setup_fee: PlanPrice | None = None
    """Charged once, with the first invoice, however many seats."""
    trial_days: int | None = None
    trial_requires_card: bool = True
    seats: SeatBounds | None = None
    highlights: tuple[str, ...] = ()

    @property
    def everything_sold(self) -> tuple[PlanPrice, ...]:
        """Its prices, and the fee beside them."""
        return (*self.prices, self.setup_fee) if self.setup_fee else self.prices

    @property
    def is_free(self) -> bool:
        """Has it no price?"""
        return not self.prices

    def price(self, interval: str) -> PlanPrice | None:
        """The price per interval, None when it is not sold so."""
        return next((each for each in self.prices if each.interval == interval), None)


@dataclass(frozen=True, slots=True)
class Addon:
    """
    What is sold beside a plan, per interval of that plan: `max` is how many of it can be bought.

    Each one that is bought adds its `limits` to those of the plan, None being unlimited. `plans` are those it is sold
    with; whoever has it beside another keeps it.
    """

    key: str
    name: str
    description: str = ""
    features: frozenset[str] = frozenset()
    limits: Mapping[str, int | None] = field(default_factory=dict)
    prices: tuple[PlanPrice, ...] = ()
    plans: frozenset[str] = frozenset()
    max: int = 1

    @property
    def everything_sold(self) -> tuple[PlanPrice, ...]:
        """Its prices."""
        return self.prices

    def price(self, interval: str) -> PlanPrice | None:
        """The price per interval, None when it is not sold so."""
        return next((each for each in self.prices if each.interval == interval), None)


@dataclass(frozen=True, slots=True)
class Catalog:
    """All plans in rank order, lowest first, what is sold beside them, and the names of what they include."""

    plans: tuple[Plan, ...]
    features: Mapping[str, Feature]
    limits: Mapping[str, LimitName]
    default_plan: str
    currency: str
    change_timing: Mapping[tuple[str, str], Literal["now", "period_end"]] = field(default_factory=dict)
    """When a change from one plan to another takes effect, where it isn't what its direction says."""
    checkout: CheckoutTerms = CheckoutTerms()
    portal: PortalTerms = PortalTerms()
    addons: tuple[Addon, ...] = ()
    credits: Mapping[str, CreditName] = field(default_factory=dict)

    @property
    def plans_in_portal(self) -> tuple[Plan, ...]:
        """The plans between which owners change in Stripe's portal; none where it changes nothing."""
        sold = tuple(each for each in self.plans if not each.is_free)
        # One configuration serves every customer: with several groups it would offer another group's plans as a change.
        if not self.portal.change_plans or len(sold) < 2 or len({each.group for each in sold}) > 1:
            return ()
        return sold[:_SHOWN_IN_PORTAL]

    def has(self, key: str) -> bool:
        """Is there such a plan?"""
        return any(each.key == key for each in self.plans)

    def plan(self, key: str) -> Plan:
        """A plan by its key. Raises KeyError."""
        for each in self.plans:
            if each.key == key:
                return each
        raise KeyError(key)

    @property
    def default(self) -> Plan:
        """The plan of an owner without a subscription."""
        return self.plan(self.default_plan)

    def rank(self, key: str) -> int:
        """The plan's place in the order, 0 for the lowest. Raises KeyError."""
        return self.plans.index(self.plan(key))

    def find_by_lookup_key(self, lookup_key: str) -> tuple[Plan, PlanPrice] | None:
        """The plan and price that a Stripe lookup key stands for."""
        for plan in self.plans:
            for price in plan.prices:
                if price.lookup_key == lookup_key:
                    return plan, price
        return None

    def addon(self, key: str) -> Addon | None:
        """An add-on by its key."""
        return next((each for each in self.addons if each.key == key), None)

    def addons_of(self, plan: str) -> tuple[Addon, ...]:
        """The add-ons that are sold with a plan, in the file's order."""
        return tuple(each for each in self.addons if plan in each.plans)

    def find_addon(self, lookup_key: str) -> Addon | None:
        """The add-on that a Stripe lookup key stands for."""
        return next((each for each in self.addons if any(p.lookup_key == lookup_key for p in each.prices)), None)

    def plans_with_credit(self, credit: str) -> tuple[Plan, ...]:
        """The plans that bring a credit, lowest first."""
        return tuple(each for each in self.plans if any(price.credits.get(credit) for price in each.prices))

    def plans_with_feature(self, feature: str) -> tuple[Plan, ...]:
        """The plans that include a feature, lowest first."""
        return tuple(each for each in self.plans if feature in each.features)

    def plans_with_limit_above(self, limit: str, used: int) -> tuple[Plan, ...]:
        """The plans in which one more than `used` is included, lowest first."""
        return tuple(each for each in self.plans if (n := each.limits.get(limit, 0)) is None or n > used)
