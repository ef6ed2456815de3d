"""
Where a Checkout session leads back to: from Stripe's page, from a form embedded in the merchant's, or from Elements.

See https://docs.stripe.com/payments/checkout/custom-success-page
"""

from __future__ import annotations

from stripe_emulator.ids import token
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params

HOSTED = "hosted_page"
UI_MODES = (HOSTED, "embedded_page", "elements")


def read(params: Params, id: str) -> Json:
    """The session's fields for it: `success_url` and `cancel_url`, or `return_url` and `client_secret`."""
    ui_mode = params.get("ui_mode", HOSTED)
    if ui_mode not in UI_MODES:
        raise invalid(f"stripe_emulator has the ui_modes {', '.join(UI_MODES)}", param="ui_mode")
    for name in ("success_url", "cancel_url", "return_url"):
        _check_url(params.get(name), name)
    if ui_mode == HOSTED:
        _refuse(params, ui_mode, "return_url", "redirect_on_completion")
        _require(params, "success_url")
        return {"ui_mode": ui_mode, "success_url": params["success_url"], "cancel_url": params.get("cancel_url")}
    _refuse(params, ui_mode, "success_url", "cancel_url")
    found: Json = {"ui_mode": ui_mode, "client_secret": f"{id}_secret_{token(48)}"}
    redirect = "always"
    if ui_mode == "elements":
        _refuse(params, ui_mode, "redirect_on_completion")
    else:
        redirect = found["redirect_on_completion"] = params.get("redirect_on_completion", redirect)
    if redirect == "never":
        _refuse(params, "redirect_on_completion=never", "return_url")
        return found
    _require(params, "return_url")
    return {**found, "return_url": params["return_url"]}


def _refuse(params: Params, where: str, *names: str) -> None:
    for name in names:
        if name in params:
            raise invalid(f"`{name}` is not allowed with {where}.", param=name)


def _require(params: Params, name: str) -> None:
    if name not in params:
        raise invalid(f"Missing required param: {name}.", param=name, code="parameter_missing")


def _check_url(url: str | None, name: str) -> None:
    if url is not None and not url.startswith(("http://", "https://")):
        raise invalid("Not a valid URL", param=name, code="url_invalid")
