"""
Settings, from the environment alone. Everything that is missing or contradictory is reported at once.

Secrets are `SecretStr`: they never show in a repr, a log or an error.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from paidup.errors import Problem, SettingsError

STRIPE = "https://api.stripe.com"
_LIVE = ("sk_live_", "rk_live_")
_TEST = ("sk_test_", "rk_test_")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")

_REMEDIES = {
    "STRIPE_SECRET_KEY": "set it to a secret (sk_…) or restricted (rk_…) key from the Dashboard's API keys page",
    "STRIPE_WEBHOOK_SECRET": "set it to the endpoint's secret (whsec_…); several, comma separated, while rotating",
    "STRIPE_API_BASE": "leave it unset for Stripe itself",
    "DATABASE_URL": "set it, for example to postgresql://user:password@host/name or sqlite:///./app.db",
    "APP_URL": "set it to the public address of the app, for example https://app.example.com",
    "PAIDUP_WORKER": "use inside (beside the app) or outside (`paidup worker` runs elsewhere)",
}


def _env(name: str, **rest: Any) -> Any:
    """A field of this environment variable; by field name too, for overrides in code."""
    return Field(validation_alias=AliasChoices(name, _FIELD_OF[name]), **rest)


_FIELD_OF = {
    "STRIPE_SECRET_KEY": "secret_key",
    "STRIPE_WEBHOOK_SECRET": "webhook_secrets",
    "STRIPE_API_BASE": "api_base",
    "DATABASE_URL": "database_url",
    "APP_URL": "app_url",
    "PAIDUP_PLANS": "plans_file",
    "PAIDUP_CHECKOUT_DONE": "checkout_done",
    "PAIDUP_CHECKOUT_CANCELED": "checkout_canceled",
    "PAIDUP_PORTAL_RETURN": "portal_return",
    "PAIDUP_PRICING": "pricing_path",
    "PAIDUP_RETURN_HOSTS": "return_hosts",
    "PAIDUP_WORKER": "worker",
    "PAIDUP_PAST_DUE_GRACE_DAYS": "past_due_grace",
    "PAIDUP_WEBHOOK_TOLERANCE_SECONDS": "webhook_tolerance",
    "PAIDUP_WEBHOOK_MAX_BYTES": "webhook_max_bytes",
}
_ENV_OF = {field: env for env, field in _FIELD_OF.items()}


class Settings(BaseSettings):
    """
    Everything paidup is configured with. Field by field, the environment variable is named in the docs and in errors.

    `app_url` has no trailing slash; paths are of the app; `webhook_tolerance` bounds the signature's age both ways.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, populate_by_name=True)

    secret_key: SecretStr = _env("STRIPE_SECRET_KEY")
    webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = _env("STRIPE_WEBHOOK_SECRET")
    api_base: str | None = _env("STRIPE_API_BASE", default=None)
    database_url: SecretStr = _env("DATABASE_URL")
    app_url: str = _env("APP_URL")
    plans_file: str = _env("PAIDUP_PLANS", default="plans.toml")
    checkout_done: str = _env("PAIDUP_CHECKOUT_DONE", default="/")
    checkout_canceled: str = _env("PAIDUP_CHECKOUT_CANCELED", default="/")
    portal_return: str = _env("PAIDUP_PORTAL_RETURN", default="/")
    pricing_path: str = _env("PAIDUP_PRICING", default="/pricing")
    return_hosts: Annotated[tuple[str, ...], NoDecode] = _env("PAIDUP_RETURN_HOSTS", default=())
    worker: Literal["inside", "outside"] = _env("PAIDUP_WORKER", default="inside")
    past_due_grace: timedelta = _env("PAIDUP_PAST_DUE_GRACE_DAYS", default=timedelta(days=14))
    webhook_tolerance: timedelta = _env("PAIDUP_WEBHOOK_TOLERANCE_SECONDS", default=timedelta(seconds=300))
    webhook_max_bytes: int = _env("PAIDUP_WEBHOOK_MAX_BYTES", default=1_048_576, ge=65_536)

    @property
    def livemode(self) -> bool:
        """Is this real money? The key tells."""
        return self.secret_key.get_secret_value().startswith(_LIVE)

    @classmethod
    def from_env(cls, **overrides: Any) -> Settings:
        """
        Read the environment; `overrides` are values by field name and win.

        Raises SettingsError with every problem there is.
        """
        problems = _contradictions(overrides)
        try:
            settings = cls(**overrides)
        except ValidationError as error:
            problems += [_problem(each) for each in error.errors(include_url=False, include_input=False)]
            raise SettingsError(problems) from None  # the cause would quote the values
        if problems:
            raise SettingsError(problems)
        return settings

    @field_validator("webhook_secrets", "return_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("secret_key")
    @classmethod
    def _is_a_secret_key(cls, value: SecretStr) -> SecretStr:
        key = value.get_secret_value()
        if key.startswith("pk_"):
            raise ValueError("this is a publishable key, which cannot do anything on a server")
        if not key.startswith(_LIVE + _TEST) or len(key) <= len(_LIVE[0]):
            raise ValueError("a secret key starts with sk_live_, sk_test_, rk_live_ or rk_test_")
        return value

    @field_validator("webhook_secrets")
    @classmethod
    def _are_webhook_secrets(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if not value:
            raise ValueError("without a secret anybody could send webhooks")
        for each in value:
            secret = each.get_secret_value()
            if not secret.startswith("whsec_") or len(secret) <= len("whsec_"):
                raise ValueError("every signing secret starts with whsec_")
        return value

    @field_validator("database_url")
    @classmethod
    def _has_a_driver(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        for prefix in ("postgres://", "postgresql://"):
            if url.startswith(prefix):
                return SecretStr("postgresql+psycopg://" + url.removeprefix(prefix))
        if not url.startswith(("sqlite:///", "postgresql+psycopg://")):
            raise ValueError("only PostgreSQL and SQLite files are supported")
        if url == "sqlite:///" or ":memory:" in url:
            raise ValueError("an in-memory database would forget who has paid")
        return value

    @field_validator("app_url", "api_base")
    @classmethod
    def _is_an_origin(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise ValueError("this is not an http(s) address")
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise ValueError("plain http is only for this machine; use https")
        return value.rstrip("/")

    @field_validator("checkout_done", "checkout_canceled", "portal_return", "pricing_path")
    @classmethod
    def _is_a_path(cls, value: str) -> str:
        if not value.startswith("/") or value.startswith("//"):
            raise ValueError("this is a path of the app and starts with one slash")
        return value

    @field_validator("past_due_grace", mode="before")
    @classmethod
    def _days(cls, value: object) -> object:
        return timedelta(days=float(value)) if isinstance(value, str | int | float) else value

    @field_validator("webhook_tolerance", mode="before")
    @classmethod
    def _seconds(cls, value: object) -> object:
        return timedelta(seconds=float(value)) if isinstance(value, str | int | float) else value

    @field_validator("past_due_grace", "webhook_tolerance")
    @classmethod
    def _is_not_negative(cls, value: timedelta) -> timedelta:
        if value < timedelta(0):
            raise ValueError("this cannot be negative")
        return value

    @field_validator("webhook_tolerance")
    @classmethod
    def _bounds_replay(cls, value: timedelta) -> timedelta:
        if not timedelta(seconds=1) <= value <= timedelta(hours=1):
            raise ValueError("between 1 and 3600 seconds; without a bound, old deliveries could be replayed")
        return value


def _problem(error: Any) -> Problem:
    name = str(error["loc"][0]) if error["loc"] else "settings"
    key = _ENV_OF.get(name, name)
    message = "is not set" if error["type"] == "missing" else error["msg"].removeprefix("Value error, ")
    return Problem(key, message, _REMEDIES.get(key, "correct the value, or unset it for the default"))


def _contradictions(overrides: Mapping[str, Any]) -> list[Problem]:
    """What no single value shows; read from the raw ones, so that it is reported beside everything else."""
    key = overrides.get("secret_key", os.environ.get("STRIPE_SECRET_KEY", ""))
    key = key.get_secret_value() if isinstance(key, SecretStr) else str(key)
    base = str(overrides.get("api_base", os.environ.get("STRIPE_API_BASE")) or STRIPE).rstrip("/")
    if key.startswith(_LIVE) and base != STRIPE:
        return [
            Problem(
                "STRIPE_API_BASE",
                "a live key must never be sent to a host that is not Stripe's",
                "unset it, or use a test key",
            )
        ]
    return []
