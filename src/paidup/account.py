"""
Whose data a database holds: one Stripe account's for each mode, noted when it is first asked.

Every mirrored row has its mode, so its account follows. A key of another account would find none of what is here, and
would make customers that the rest knows nothing of: it is refused before that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from paidup.database import accounts
from paidup.database.engine import Database
from paidup.errors import StripeError, StripeUnauthorized, WrongAccount
from paidup.stripe_api.gateway import Gateway

logger = logging.getLogger("paidup")


class Account:
    """The account of this mode's data, held against that of the key, once in a process."""

    def __init__(self, *, database: Database, gateway: Gateway, livemode: bool, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._gateway = gateway
        self._livemode = livemode
        self._clock = clock
        self._is_checked = False

    def check(self) -> None:
        """
        Raises WrongAccount when this mode's data is another account's than the key, StripeError.

        A restricted key that may not read its account is let through: nobody can tell.
        """
        if self._is_checked:
            return
        try:
            account_id = self._gateway.account_id()
        except StripeUnauthorized as error:
            logger.info("whether this database is the key's account's is not known: %s", error)
        else:
            now = self._clock()
            noted = self._database.run(
                lambda session: accounts.noted(session, account_id, livemode=self._livemode, at=now)
            )
            if noted != account_id:
                mode = "live" if self._livemode else "test"
                raise WrongAccount(
                    f"this database holds the {mode} data of account {noted}, and the key is for {account_id}",
                    remedy=f"use a key of {noted}, or another database",
                )
        self._is_checked = True

    def may_be_called(self) -> bool:
        """Is the key the right account's, as far as is known? For a worker, which goes on trying."""
        try:
            self.check()
        except WrongAccount as error:
            logger.error("nothing is synchronised: %s", error)
            return False
        except StripeError:
            pass  # the call that comes next says it as well, and is repeated
        return True
