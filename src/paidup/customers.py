"""
One owner, one Stripe customer.

The mapping row is committed before Stripe is called; its key makes the call repeatable from any process after any
crash. Owners are never matched by e-mail. Stripe's search, which lags, is asked for one thing alone: whether a call of
more than a day ago, whose key Stripe has forgotten, made a customer with our intent on it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from time import monotonic, sleep
from typing import Any

from sqlalchemy.orm import Session

from paidup import inbox
from paidup.arguments import email_of, name_of
from paidup.core import targets
from paidup.core.parse import INTENT_KEY, OWNER_KEY
from paidup.database import store
from paidup.database.engine import Database
from paidup.database.tables import Customer, OwnerMapping, SyncTarget
from paidup.errors import (
    InvalidOwner,
    InvalidRequest,
    StripeError,
    StripeNotFound,
    StripeRejected,
    StripeUnavailable,
)
from paidup.stripe_api import idempotency
from paidup.stripe_api.gateway import Gateway

_OWNER_LENGTH = 200
_WAIT_SECONDS = 15.0
_POLL_SECONDS = 0.1


def check_owner(owner: object) -> str:
    """The owner itself. Raises InvalidOwner for what cannot be one."""
    if not isinstance(owner, str) or not owner.strip() or len(owner) > _OWNER_LENGTH or not owner.isprintable():
        raise InvalidOwner(
            f"{owner!r} is not an owner"
            if isinstance(owner, str)
            else f"an owner is a str, not {type(owner).__name__}",
            remedy=f"pass a printable string of 1 to {_OWNER_LENGTH} characters, such as 'user:42'",
        )
    return owner


class Customers:
    """Makes sure that an owner has a customer at Stripe."""

    def __init__(self, *, database: Database, gateway: Gateway, livemode: bool, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._gateway = gateway
        self._livemode = livemode
        self._clock = clock

    def ensure(self, owner: str, *, email: str | None = None, name: str | None = None) -> str:
        """
        The id of the owner's customer, created if there is none.

        `email` and `name` are used for a new customer only. Raises StripeError; then the same call may be repeated.
        """
        check_owner(owner)
        deadline = monotonic() + _WAIT_SECONDS
        while True:
            mapping = self._database.run(lambda session: self._mapping(session, owner, email, name))
            if mapping.customer_id is not None:
                return mapping.customer_id
            intent, params = mapping.intent, dict(mapping.params)
            try:
                body = self._made_long_ago(mapping) or self._gateway.create_customer(
                    params, idempotency_key=idempotency.key("customer", intent, params)
                )
            except (StripeRejected, StripeNotFound) as error:
                # A definite no: nothing was created, and a corrected call must not meet this one's stored answer.
                self._new_intent(owner, intent)
                if (refused := _refusal(error)) is not None:
                    raise refused from error
                raise
            except StripeUnavailable as error:
                if error.stripe_code != "idempotency_key_in_use" or monotonic() >= deadline:
                    raise
                sleep(_POLL_SECONDS)  # another process is creating this very customer
                continue
            return self._adopt(owner, intent, body)

    def update(self, owner: str, *, email: str | None, name: str | None) -> bool:
        """Tell Stripe what differs. False when there is nothing, or nobody. Raises InvalidRequest, StripeError."""
        check_owner(owner)
        email, name = email_of(email), name_of(name)
        with self._database.read() as session:
            customer = store.customer_of(session, owner, livemode=self._livemode)
        if customer is None:
            return False
        body = self._gateway.retrieve_customer(customer.id)
        wanted = {key: value for key, value in (("email", email), ("name", name)) if value is not None}
        params = {key: value for key, value in wanted.items() if (body.get(key) or "") != value}
        if body.get("deleted") or not params:
            return False
        try:
            self._gateway.update_customer(customer.id, params)
        except StripeRejected as error:
            raise (_refusal(error) or error) from error
        self._database.run(lambda session: inbox.request(session, targets.customer(customer.id), now=self._clock()))
        return True

    def _made_long_ago(self, mapping: OwnerMapping) -> dict[str, Any] | None:
        """
        The customer of a call whose answer never came, if its key is worn out: repeated, it would make a second one.

        By the intent, which nobody else can know; a lagging search is no danger a day later.
        """
        if self._clock() - mapping.created < idempotency.LIFETIME:
            return None
        return self._gateway.search_customer(INTENT_KEY, mapping.intent)

    def _mapping(self, session: Session, owner: str, email: str | None, name: str | None) -> OwnerMapping:
        key = (owner, self._livemode)
        mapping = session.get(OwnerMapping, key, with_for_update=True)
        if mapping is None:
            intent = uuid.uuid4().hex
            session.execute(
                store.insert(session, OwnerMapping)
                .values(
                    owner=owner,
                    livemode=self._livemode,
                    intent=intent,
                    params=_params(owner, intent, email, name),
                    created=self._clock(),
                )
                .on_conflict_do_nothing()
            )
            return session.get_one(OwnerMapping, key, with_for_update=True)
        if mapping.customer_id is not None:
            known = session.get(Customer, mapping.customer_id)
            if known is not None and known.deleted:
                # Deleted at Stripe: "No such customer" for ever, unless the owner gets a new one.
                mapping.customer_id = None
                mapping.intent = uuid.uuid4().hex
                mapping.params = _params(owner, mapping.intent, email, name)
        elif not mapping.params:  # nothing was sent yet
            mapping.params = _params(owner, mapping.intent, email, name)
        return mapping

    def _new_intent(self, owner: str, refused: str) -> None:
        def renew(session: Session) -> None:
            mapping = session.get_one(OwnerMapping, (owner, self._livemode), with_for_update=True)
            if mapping.intent == refused and mapping.customer_id is None:
                mapping.intent, mapping.params = uuid.uuid4().hex, {}

        self._database.run(renew)

    def _adopt(self, owner: str, intent: str, body: dict[str, Any]) -> str:
        def adopt(session: Session) -> str:
            mapping = session.get_one(OwnerMapping, (owner, self._livemode), with_for_update=True)
            if mapping.customer_id is None and mapping.intent == intent:
                mapping.customer_id = body["id"]
                if session.get(Customer, body["id"]) is None:
                    store.save_customer(session, body, owner=owner, livemode=self._livemode, synced_at=self._clock())
                self._look_again(session, targets.customer(body["id"]))
            return mapping.customer_id or str(body["id"])

        return self._database.run(adopt)

    def _look_again(self, session: Session, target: str) -> None:
        """
        Have a customer synchronised whose events came, and were nobody's, before we knew whose they are.

        A call that is repeated gets the old answer, even if the customer was deleted since.
        """
        if session.get(SyncTarget, target) is not None:
            inbox.request(session, target, now=self._clock())


def _refusal(error: StripeError) -> InvalidRequest | None:
    """What Stripe says of a name or an e-mail that it does not take; None when it is about something else."""
    if error.param not in ("email", "name"):
        return None
    return InvalidRequest(f"Stripe takes no such {error.param}", remedy=f"correct the {error.param}, or leave it out")


def _params(owner: str, intent: str, email: str | None, name: str | None) -> dict[str, Any]:
    params: dict[str, Any] = {"metadata": {OWNER_KEY: owner, INTENT_KEY: intent}}
    if email:
        params["email"] = email
    if name:
        params["name"] = name
    return params
