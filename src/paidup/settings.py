"""
Settings, from the environment alone. Everything that is missing or contradictory is reported at once.

Secrets are `SecretStr`: they never show in a repr, a log or an error.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
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
    "PAIDUP_TRIAL_KEY": "set it to 32 random characters or more and never change it, or unset it",
    "PAIDUP_WORKER": "use inside (beside the app) or outside (`paidup worker` runs elsewhere)",
}


class Settings(BaseSettings):
    """
    Everything paidup is configured with. Field by field, the environment variable is named in the docs and in errors.

    `app_url` has no trailing slash; paths are of the app; `webhook_tolerance` bounds the signature's age both ways;
    `keep_payloads` keeps webhooks' bodies, which name persons, beside what was done about them;
    `stripe_concurrency` is how many calls to Stripe a process has under way at most; `drain` is how long a worker that
    is told to stop lets what is under way finish; `event_retention` is how long events that are done with are kept,
    zero for ever; `reconcile_every` is how often a worker reconciles, zero for never; `sync_attempts` and
    `handler_attempts` are how often a target, or a change, is tried before it is given up; `trial_key` turns
    on one trial per person instead of per owner, and keys the hashes by which persons are told.
    """

    # Only the documented names count, not the fields': SECRET_KEY is what other frameworks sign their cookies with.
    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, case_sensitive=True)

    secret_key: SecretStr = Field(validation_alias="STRIPE_SECRET_KEY")
    webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = Field(validation_alias="STRIPE_WEBHOOK_SECRET")
    api_base: str | None = Field(validation_alias="STRIPE_API_BASE", default=None)
    database_url: SecretStr = Field(validation_alias="DATABASE_URL")
    app_url: str = Field(validation_alias="APP_URL")
    plans_file: str = Field(validation_alias="PAIDUP_PLANS", default="plans.toml")
    checkout_done: str = Field(validation_alias="PAIDUP_CHECKOUT_DONE", default="/")
    checkout_canceled: str = Field(validation_alias="PAIDUP_CHECKOUT_CANCELED", default="/")
    portal_return: str = Field(validation_alias="PAIDUP_PORTAL_RETURN", default="/")
    pricing_path: str = Field(validation_alias="PAIDUP_PRICING", default="/pricing")
    return_hosts: Annotated[tuple[str, ...], NoDecode] = Field(validation_alias="PAIDUP_RETURN_HOSTS", default=())
    worker: Literal["inside", "outside"] = Field(validation_alias="PAIDUP_WORKER", default="inside")
    past_due_grace: timedelta = Field(validation_alias="PAIDUP_PAST_DUE_GRACE_DAYS", default=timedelta(days=14))
    access_when_refunded: Literal["yes", "no"] = Field(validation_alias="PAIDUP_ACCESS_WHEN_REFUNDED", default="yes")
    access_when_disputed: Literal["yes", "no"] = Field(validation_alias="PAIDUP_ACCESS_WHEN_DISPUTED", default="no")
    keep_payloads: bool = Field(validation_alias="PAIDUP_KEEP_PAYLOADS", default=True)
    event_retention: timedelta = Field(validation_alias="PAIDUP_EVENT_RETENTION_DAYS", default=timedelta(days=90))
    sync_attempts: int = Field(validation_alias="PAIDUP_SYNC_ATTEMPTS", default=16, ge=1, le=100)
    handler_attempts: int = Field(validation_alias="PAIDUP_HANDLER_ATTEMPTS", default=12, ge=1, le=100)
    drain: timedelta = Field(validation_alias="PAIDUP_DRAIN_SECONDS", default=timedelta(seconds=20))
    reconcile_every: timedelta = Field(validation_alias="PAIDUP_RECONCILE_HOURS", default=timedelta(hours=24))
    webhook_tolerance: timedelta = Field(
        validation_alias="PAIDUP_WEBHOOK_TOLERANCE_SECONDS", default=timedelta(seconds=300)
    )
    stripe_concurrency: int = Field(validation_alias="PAIDUP_STRIPE_CONCURRENCY", default=20, ge=2, le=100)
    trial_key: SecretStr | None = Field(validation_alias="PAIDUP_TRIAL_KEY", default=None, min_length=32)
    webhook_max_bytes: int = Field(validation_alias="PAIDUP_WEBHOOK_MAX_BYTES", default=1_048_576, ge=65_536)

    @property
    def livemode(self) -> bool:
        """Is this real money? The key tells."""
        return self.secret_key.get_secret_value().startswith(_LIVE)

    @classmethod
    def from_env(cls, **overrides: Any) -> Settings:
        """
        Read the environment; `overrides` are values by field name and win.

        Raises SettingsError with every problem there is, TypeError for an override that is not a setting.
        """
        unknown = overrides.keys() - cls.model_fields.keys()
        if unknown:
            raise TypeError(f"there is no setting {', '.join(sorted(unknown))}")
        try:
            return cls(**{str(cls.model_fields[name].validation_alias): value for name, value in overrides.items()})
        except ValidationError as error:
            problems = [_problem(each) for each in error.errors(include_url=False, include_input=False)]
        raise SettingsError(problems)  # not from the ValidationError, which quotes the values

    @field_validator("webhook_secrets", "return_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("secret_key", mode="before")
    @classmethod
    def _strip(cls, value: object) -> object:
        return value.strip() if isinstance(value, str) else value

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

    @field_validator("return_hosts")
    @classmethod
    def _are_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            if urlsplit(f"//{each}").netloc != each or "@" in each or not each.isascii():
                raise ValueError("these are host names (with a port if it is not 443), without scheme and path")
        return value

    @field_validator("database_url")
    @classmethod
    def _has_a_driver(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        for prefix in ("postgres://", "postgresql://"):
            if url.startswith(prefix):
                return SecretStr("postgresql+psycopg://" + url.removeprefix(prefix))
        if not url.startswith(("sqlite:///", "postgresql+psycopg://")):
            raise ValueError("only PostgreSQL (with psycopg 3) and SQLite files are supported")
        if url == "sqlite:///" or ":memory:" in url:
            raise ValueError("an in-memory database would forget who has paid")
        return value

    @field_validator("api_base")
    @classmethod
    def _is_stripes_with_a_live_key(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        value = _address(value).rstrip("/")
        key: SecretStr | None = info.data.get("secret_key")
        if key is not None and key.get_secret_value().startswith(_LIVE) and value != STRIPE:
            raise ValueError("a live key must never be sent to a host that is not Stripe's")
        return value

    @field_validator("app_url")
    @classmethod
    def _is_an_origin(cls, value: str) -> str:
        parts = urlsplit(_address(value))
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise ValueError("plain http is only for this machine; use https")
        if parts.path not in ("", "/"):
            raise ValueError("this has a path; the paths of the app are settings of their own")
        return f"{parts.scheme}://{parts.netloc.lower()}"

    @field_validator("checkout_done", "checkout_canceled", "portal_return", "pricing_path")
    @classmethod
    def _is_a_path(cls, value: str) -> str:
        if not value.startswith("/") or value.startswith("//"):
            raise ValueError("this is a path of the app and starts with one slash")
        return value

    @field_validator("past_due_grace", "event_retention", mode="before")
    @classmethod
    def _days(cls, value: object) -> object:
        return _duration(value, timedelta(days=1))

    @field_validator("reconcile_every", mode="before")
    @classmethod
    def _hours(cls, value: object) -> object:
        return _duration(value, timedelta(hours=1))

    @field_validator("webhook_tolerance", "drain", mode="before")
    @classmethod
    def _seconds(cls, value: object) -> object:
        return _duration(value, timedelta(seconds=1))

    @field_validator("past_due_grace", "event_retention", "reconcile_every", "webhook_tolerance", "drain")
    @classmethod
    def _is_not_negative(cls, value: timedelta) -> timedelta:
        if value < timedelta(0):
            raise ValueError("this cannot be negative")
        return value

    @field_validator("event_retention")
    @classmethod
    def _outlasts_redelivery(cls, value: timedelta) -> timedelta:
        if timedelta(0) < value < timedelta(days=30):
            raise ValueError("Stripe can send an event again for 30 days; keep it as long, or 0 for ever")
        return value

    @field_validator("webhook_tolerance")
    @classmethod
    def _bounds_replay(cls, value: timedelta) -> timedelta:
        if not timedelta(seconds=1) <= value <= timedelta(hours=1):
            raise ValueError("between 1 and 3600 seconds; without a bound, old deliveries could be replayed")
        return value


def _address(value: str) -> str:
    parts = urlsplit(value)
    port_is_fine = parts.port is None or parts.port > 0  # reading it raises ValueError for what is not a number
    is_plain = "@" not in parts.netloc and not parts.query and not parts.fragment and value.isascii()
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_fine or not is_plain:
        raise ValueError("this is not an http(s) address")
    return value


def _duration(value: object, unit: timedelta) -> object:
    if isinstance(value, timedelta):
        return value
    try:
        return float(str(value)) * unit
    except (ValueError, OverflowError):
        raise ValueError("this is not a number") from None


def _problem(error: Any) -> Problem:
    key = str(error["loc"][0])
    message = "is not set" if error["type"] == "missing" else error["msg"].removeprefix("Value error, ")
    return Problem(key, message, _REMEDIES.get(key, "correct the value, or unset it for the default"))
