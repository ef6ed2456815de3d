"""
What older API versions called things.

The SDK names its version in every request. A request that names none, as the Stripe CLI's, is of the account's
default version, which may be older; the little that the CLI still sends from there is understood.
"""

from __future__ import annotations

from typing import Any

from stripe_emulator.protocol.errors import invalid

_WITHOUT_TYPES = frozenset(
    {
        "checkout.SessionCreateParams",
        "PaymentIntentCreateParams",
        "PaymentIntentUpdateParams",
        "PaymentIntentConfirmParams",
        "SetupIntentCreateParams",
        "SetupIntentUpdateParams",
    }
)


def translate(sent: dict[str, Any], params: str | type[Any], version: str | None) -> dict[str, Any]:
    """
    The parameters of a request by today's names.

    `payment_method_types` of intents and Checkout sessions is gone since endive, and an error of its own for who names
    that version. See
    https://docs.stripe.com/changelog/endive/2026-09-30/remove-payment-method-types-checkout-sessions and
    https://docs.stripe.com/changelog/endive/2026-09-30/removes-the-payment-method-types-parameter-from-payment-intents-and-setup-intents
    """
    if params not in _WITHOUT_TYPES or "payment_method_types" not in sent:
        return sent
    if version is not None:
        raise invalid(
            "The payment_method_types parameter is no longer supported in this API version. Use dynamic payment "
            "methods, excluded_payment_method_types or allowed_payment_method_types instead.",
            param="payment_method_types",
            code="payment_method_types_no_longer_supported",
        )
    renamed = {name: value for name, value in sent.items() if name != "payment_method_types"}
    return {**renamed, "allowed_payment_method_types": sent["payment_method_types"]}
