"""Everything that browsers and programs may say to the routes: a field that stands not here is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from paidup.ending import LONGEST_COMMENT, PauseKind

_ADDON = "addons."

Addons = dict[Annotated[str, Field(max_length=40)], Annotated[int, Field(ge=0, le=100_000)]]
"""How many of each add-on. A form has a field each, such as `addons.storage`; one that is left empty says nothing."""


class CheckoutBody(BaseModel):
    """Everything a browser may say about a purchase. Prices, trials and discounts are the server's."""

    model_config = ConfigDict(extra="forbid")

    plan: str = Field(min_length=1, max_length=40)
    interval: str = Field(default="month", max_length=10)
    seats: int = Field(default=1, ge=1, le=100_000)
    addons: Addons = Field(default={}, max_length=100)
    promotion_code: str = Field(default="", max_length=100)
    """Only for an app whose plans file lets buyers type one."""
    embedded: bool = False


class GroupBody(BaseModel):
    """Which subscription is meant, for an owner who has several: a plan group, never an id."""

    model_config = ConfigDict(extra="forbid")

    group: str = Field(default="", max_length=40)


class CancelBody(GroupBody):
    """Everything a browser may say about an end; a field of a form that is left empty says nothing."""

    when: Literal["period_end", "now"] = "period_end"
    feedback: str = Field(default="", max_length=40)
    comment: str = Field(default="", max_length=LONGEST_COMMENT)


class PortalChangeBody(BaseModel):
    """A change that Stripe's portal asks to confirm; what is left out, or left empty in a form, stays as it is."""

    model_config = ConfigDict(extra="forbid")

    plan: str = Field(min_length=1, max_length=40)
    interval: str = Field(default="", max_length=10)
    seats: Literal[""] | Annotated[int, Field(ge=1, le=100_000)] | None = None
    promotion_code: str = Field(default="", max_length=100)


class PreviewBody(PortalChangeBody):
    """Everything a browser may say about a change."""

    addons: Addons = Field(default={}, max_length=100)


class ChangeBody(BaseModel):
    """The quote that is agreed to: what it says stands here, not in the browser."""

    model_config = ConfigDict(extra="forbid")

    quote: str = Field(min_length=1, max_length=64)


class PauseBody(GroupBody):
    """Everything a browser may say about a pause; the kind `subscription` has no end, and credits what is left."""

    until: Literal[""] | AwareDatetime = ""
    kind: PauseKind = "collection"


def of_form(fields: Mapping[str, str]) -> dict[str, Any]:
    """The body that the fields of a form are: those named `addons.key` are one, without what was left empty."""
    found: dict[str, Any] = {name: value for name, value in fields.items() if not name.startswith(_ADDON)}
    addons = {name.removeprefix(_ADDON): value for name, value in fields.items() if name.startswith(_ADDON)}
    if addons:
        found["addons"] = {key: value for key, value in addons.items() if value}
    return found
