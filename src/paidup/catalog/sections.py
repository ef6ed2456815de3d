"""The plans file's sections: which keys there are, and what may stand at each by itself."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Currency = Annotated[str, Field(pattern=r"^[a-z]{3}$")]
Amount = Annotated[int, Field(ge=1, le=99_999_999)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class NamedSection(_Strict):
    """Something with a name for people."""

    name: str = Field(min_length=1, max_length=80)


class FeatureSection(NamedSection):
    """A feature that plans can include."""

    description: str = ""


class PriceSection(_Strict):
    """A price per interval; `currencies` are further ones with their amounts."""

    amount: Amount
    currency: Currency | None = None
    currencies: dict[Currency, Amount] = {}
    lookup_key: str | None = Field(default=None, min_length=1, max_length=200)
    credits: dict[str, Annotated[int, Field(ge=1, le=1_000_000_000)]] = {}


class FeeSection(_Strict):
    """A price that is charged once."""

    amount: Amount
    currencies: dict[Currency, Amount] = {}
    lookup_key: str | None = Field(default=None, min_length=1, max_length=200)


class SeatsSection(_Strict):
    """How many seats can be bought."""

    min: int = Field(default=1, ge=1)
    max: int = Field(ge=1, le=100_000)


class PlanSection(NamedSection):
    """A plan."""

    description: str = ""
    group: str = Field(default="default", min_length=1, max_length=40)
    features: list[str] = []
    limits: dict[str, Annotated[int, Field(ge=0)] | Literal["unlimited"]] = {}
    trial_days: int | None = Field(default=None, ge=1, le=730)
    trial_requires_card: bool = True
    seats: SeatsSection | None = None
    highlights: list[str] = []
    prices: dict[str, PriceSection] = {}
    setup_fee: FeeSection | None = None


class AddonSection(NamedSection):
    """What is sold beside plans; `plans` left out means all that have prices."""

    description: str = ""
    features: list[str] = []
    limits: dict[str, Annotated[int, Field(ge=0)] | Literal["unlimited"]] = {}
    max: int = Field(default=1, ge=1, le=100_000)
    plans: list[str] | None = None
    prices: dict[str, PriceSection] = Field(min_length=1)


class ChangeSection(_Strict):
    """When a change from one plan to another takes effect."""

    before: str = Field(alias="from")
    after: str = Field(alias="to")
    when: Literal["now", "period_end"]


class CheckoutSection(_Strict):
    """What buyers may do on Stripe's page."""

    promotion_codes: bool = False
    automatic_tax: bool = False
    tax_ids: bool = False
    repeated_trial: Literal["cancel", "bill", "keep"] = "cancel"


class PortalSection(_Strict):
    """What owners may do in Stripe's portal."""

    change_plans: bool = True
    change_seats: bool = False
    pause: bool = False


class PlansFile(_Strict):
    """The whole file."""

    currency: Currency = "usd"
    default_plan: str
    features: dict[str, FeatureSection] = {}
    limits: dict[str, NamedSection] = {}
    credits: dict[str, NamedSection] = {}
    checkout: CheckoutSection = CheckoutSection()
    portal: PortalSection = PortalSection()
    plans: dict[str, PlanSection] = Field(min_length=1)
    addons: dict[str, AddonSection] = {}
    changes: list[ChangeSection] = []
