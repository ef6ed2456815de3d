"""Settings: everything that is wrong, at once, with its key and its remedy, and never a secret."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest

from paidup.errors import SettingsError
from paidup.settings import Settings

GOOD = {
    "STRIPE_SECRET_KEY": "sk_test_abcdef",
    "STRIPE_WEBHOOK_SECRET": "whsec_new, whsec_old",
    "DATABASE_URL": "postgres://user:hunter2@db.example/app",
    "APP_URL": "https://app.example.com/",
}


@pytest.fixture(autouse=True)
def _only_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("STRIPE_", "PAIDUP_")) or name in ("DATABASE_URL", "APP_URL"):
            monkeypatch.delenv(name)


def settings_of(monkeypatch: pytest.MonkeyPatch, **env: str) -> Settings:
    for name, value in (GOOD | env).items():
        monkeypatch.setenv(name, value)
    return Settings.from_env()


def problems_of(monkeypatch: pytest.MonkeyPatch, **env: str) -> dict[str, str]:
    with pytest.raises(SettingsError) as error:
        settings_of(monkeypatch, **env)
    assert all(each.remedy for each in error.value.problems)
    return {each.key: each.message for each in error.value.problems}


def test_good_settings_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(monkeypatch, PAIDUP_PAST_DUE_GRACE_DAYS="3", PAIDUP_RETURN_HOSTS="a.example, b.example")
    assert [each.get_secret_value() for each in settings.webhook_secrets] == ["whsec_new", "whsec_old"]
    assert settings.database_url.get_secret_value() == "postgresql+psycopg://user:hunter2@db.example/app"
    assert (settings.app_url, settings.livemode, settings.past_due_grace) == (
        "https://app.example.com",
        False,
        timedelta(days=3),
    )
    assert settings.return_hosts == ("a.example", "b.example")


@pytest.mark.parametrize(("key", "livemode"), [("sk_live_abc", True), ("rk_live_abc", True), ("rk_test_abc", False)])
def test_the_key_decides_the_mode(monkeypatch: pytest.MonkeyPatch, key: str, livemode: bool) -> None:
    assert settings_of(monkeypatch, STRIPE_SECRET_KEY=key).livemode is livemode


def test_everything_that_is_missing_is_told_at_once() -> None:
    with pytest.raises(SettingsError) as error:
        Settings.from_env()
    assert {each.key: each.message for each in error.value.problems} == dict.fromkeys(GOOD, "is not set")


def test_everything_that_is_wrong_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = problems_of(
        monkeypatch,
        STRIPE_SECRET_KEY="pk_test_abc",
        STRIPE_WEBHOOK_SECRET="whsec_",
        DATABASE_URL="mysql://x",
        APP_URL="http://app.example.com",
        PAIDUP_WORKER="sometimes",
        PAIDUP_WEBHOOK_TOLERANCE_SECONDS="0",
        PAIDUP_CHECKOUT_DONE="//evil.com",
    )
    assert set(found) == {
        "STRIPE_SECRET_KEY",
        "STRIPE_WEBHOOK_SECRET",
        "DATABASE_URL",
        "APP_URL",
        "PAIDUP_WORKER",
        "PAIDUP_WEBHOOK_TOLERANCE_SECONDS",
        "PAIDUP_CHECKOUT_DONE",
    }


@pytest.mark.hazard(28)
@pytest.mark.parametrize("secret", ["", " ", ",", "whsec_", "whsec_a,secret", "secret"])
def test_an_endpoint_without_a_secret_cannot_be_configured(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    assert "STRIPE_WEBHOOK_SECRET" in problems_of(monkeypatch, STRIPE_WEBHOOK_SECRET=secret)


@pytest.mark.hazard(120)
def test_a_live_key_never_goes_to_a_host_that_is_not_stripes(monkeypatch: pytest.MonkeyPatch) -> None:
    found = problems_of(
        monkeypatch, STRIPE_SECRET_KEY="sk_live_abc", STRIPE_API_BASE="http://127.0.0.1:8100", APP_URL="nonsense"
    )
    assert set(found) == {"STRIPE_API_BASE", "APP_URL"}


def test_a_live_key_goes_to_stripe_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_of(monkeypatch, STRIPE_SECRET_KEY="sk_live_abc", STRIPE_API_BASE="https://api.stripe.com").livemode


@pytest.mark.hazard(117)
def test_no_error_and_no_repr_shows_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError) as error:
        settings_of(monkeypatch, STRIPE_SECRET_KEY="nonsense_hunter2", STRIPE_WEBHOOK_SECRET="hunter2", APP_URL="x")
    assert "hunter2" not in str(error.value) + repr(error.value.as_dict())
    assert error.value.__cause__ is error.value.__context__ is None  # a traceback prints those too
    assert "hunter2" not in repr(settings_of(monkeypatch, STRIPE_SECRET_KEY="sk_test_hunter2"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("APP_URL", "https://app.example.com/app"),
        ("APP_URL", "https://user@app.example.com"),
        ("APP_URL", "https://app.example.com:port"),
        ("APP_URL", "https://app.example.com?x=1"),
        ("APP_URL", "app.example.com"),
        ("DATABASE_URL", "sqlite://"),
        ("DATABASE_URL", "sqlite:///:memory:"),
        ("DATABASE_URL", "postgresql+asyncpg://host/name"),
        ("STRIPE_API_BASE", "127.0.0.1:8100"),
        ("PAIDUP_PAST_DUE_GRACE_DAYS", "inf"),
        ("PAIDUP_PAST_DUE_GRACE_DAYS", "-1"),
        ("PAIDUP_PAST_DUE_GRACE_DAYS", "a fortnight"),
        ("PAIDUP_EVENT_RETENTION_DAYS", "29"),
        ("PAIDUP_EVENT_RETENTION_DAYS", "-1"),
        ("PAIDUP_RECONCILE_HOURS", "-1"),
        ("PAIDUP_RECONCILE_HOURS", "daily"),
        ("PAIDUP_WEBHOOK_TOLERANCE_SECONDS", "nan"),
        ("PAIDUP_WEBHOOK_TOLERANCE_SECONDS", "86400"),
        ("PAIDUP_WEBHOOK_MAX_BYTES", "1"),
        ("PAIDUP_RETURN_HOSTS", "docs.example.com, https://other.example.com/"),
        ("PAIDUP_PRICING", "pricing"),
    ],
)
def test_a_value_that_cannot_be_is_told_with_its_key(monkeypatch: pytest.MonkeyPatch, key: str, value: str) -> None:
    assert set(problems_of(monkeypatch, **{key: value})) == {key}


def test_events_may_be_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_of(monkeypatch).event_retention == timedelta(days=90)
    assert settings_of(monkeypatch, PAIDUP_EVENT_RETENTION_DAYS="0").event_retention == timedelta(0)


def test_reconciliation_is_daily_and_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_of(monkeypatch).reconcile_every == timedelta(hours=24)
    assert settings_of(monkeypatch, PAIDUP_RECONCILE_HOURS="0.5").reconcile_every == timedelta(minutes=30)
    assert settings_of(monkeypatch, PAIDUP_RECONCILE_HOURS="0").reconcile_every == timedelta(0)


def test_a_test_key_may_go_to_an_emulator_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_of(monkeypatch, STRIPE_API_BASE="http://stripe:8100/").api_base == "http://stripe:8100"


def test_only_the_documented_names_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "of the app's own cookies")
    monkeypatch.setenv("secret_key", "sk_test_not_ours")
    monkeypatch.setenv("WORKER", "7")
    with pytest.raises(SettingsError) as error:
        Settings.from_env()
    assert {each.key: each.message for each in error.value.problems} == dict.fromkeys(GOOD, "is not set")


def test_an_override_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    settings_of(monkeypatch, PAIDUP_WORKER="inside")
    assert Settings.from_env(worker="outside").worker == "outside"


def test_an_override_that_is_not_a_setting_is_a_mistake_in_the_code() -> None:
    with pytest.raises(TypeError, match="secret_keys"):
        Settings.from_env(secret_keys="sk_test_abc")


def test_white_space_around_a_key_is_not_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(monkeypatch, STRIPE_SECRET_KEY=" sk_test_abc\n")
    assert settings.secret_key.get_secret_value() == "sk_test_abc"
