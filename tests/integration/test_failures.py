"""What Stripe says no with, in our words: never the SDK's exception, never a secret."""

from __future__ import annotations

import pytest

from paidup import (
    Billing,
    StripeError,
    StripeNotFound,
    StripeRateLimited,
    StripeRejected,
    StripeUnauthorized,
    StripeUnavailable,
)
from paidup.stripe_api.budget import in_background
from paidup.stripe_api.gateway import Gateway
from stripe_emulator import Emulator
from tests.support.serving import free_port


@pytest.mark.parametrize(
    ("status", "kind"), [(429, StripeRateLimited), (500, StripeUnavailable), (503, StripeUnavailable)]
)
def test_a_stripe_that_is_unwell_is_told_from_one_that_refuses(
    stripe: Emulator, status: int, kind: type[StripeError]
) -> None:
    stripe.fail_next("/v1/products", status=status, times=9)
    with pytest.raises(kind) as error, in_background():
        Gateway("sk_test_paidup", api_base=stripe.url, max_network_retries=0).list_products()
    assert (error.value.status, error.value.retry_after > 0) == (503, True)


def test_a_stripe_that_does_not_answer_is_unavailable() -> None:
    gateway = Gateway("sk_test_paidup", api_base=f"http://127.0.0.1:{free_port()}", max_network_retries=0)
    with pytest.raises(StripeUnavailable, match="no answer from Stripe"):
        gateway.list_products()


def test_only_a_404_means_that_something_is_absent(stripe: Emulator) -> None:
    """H35: a lookup that failed is not a lookup that found nothing."""
    gateway = Gateway("sk_test_paidup", api_base=stripe.url, max_network_retries=0)
    assert gateway.find_customer("cus_unknown") is None
    with pytest.raises(StripeNotFound) as missing:
        gateway.retrieve_checkout_session("cs_unknown")
    assert missing.value.request_id
    for status in (429, 500):
        stripe.fail_next("/v1/customers/*", status=status, times=9)
        with pytest.raises(StripeError), in_background():
            gateway.find_customer("cus_unknown")


def test_a_parameter_stripe_does_not_take_is_named(stripe: Emulator) -> None:
    gateway = Gateway("sk_test_paidup", api_base=stripe.url, max_network_retries=0)
    with pytest.raises(StripeRejected) as error:
        gateway.create_customer({"emial": "a@example.com"}, idempotency_key="k1")
    assert (error.value.stripe_code, error.value.param) == ("parameter_unknown", "emial")


def test_a_key_used_with_other_parameters_is_rejected_not_retried(stripe: Emulator) -> None:
    """H67."""
    gateway = Gateway("sk_test_paidup", api_base=stripe.url, max_network_retries=0)
    gateway.create_customer({"email": "a@example.com"}, idempotency_key="k1")
    with pytest.raises(StripeRejected, match="idempotency key"):
        gateway.create_customer({"email": "b@example.com"}, idempotency_key="k1")


def test_a_key_stripe_does_not_know_is_never_quoted(stripe: Emulator) -> None:
    """H117."""
    gateway = Gateway("sk_live_hunter2hunter2", api_base=stripe.url, max_network_retries=0)
    with pytest.raises(StripeUnauthorized) as error:
        gateway.list_products()
    assert "hunter2" not in str(error.value) + repr(error.value.as_dict())


def test_a_detail_of_stripes_no_is_not_shown_to_users(billing: Billing) -> None:
    from paidup.web import problems

    error = StripeRejected("could not create a customer: No such thing 'x'", stripe_code="resource_missing")
    assert "No such thing" not in repr(problems.document(error, upgrade_url="/pricing"))
