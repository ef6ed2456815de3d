"""Settings: everything that is wrong, at once, with its key and its remedy, and never a secret."""

from __future__ import annotations

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
    import os

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


@pytest.mark.parametrize("secret", ["", " ", ",", "whsec_", "whsec_a,", "secret"])
def test_an_endpoint_without_a_secret_cannot_be_configured(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    """H28: missing or empty is a start-up error."""
    if secret == "whsec_a,":
        assert len(settings_of(monkeypatch, STRIPE_WEBHOOK_SECRET=secret).webhook_secrets) == 1
        return
    assert "STRIPE_WEBHOOK_SECRET" in problems_of(monkeypatch, STRIPE_WEBHOOK_SECRET=secret)


def test_a_live_key_never_goes_to_a_host_that_is_not_stripes(monkeypatch: pytest.MonkeyPatch) -> None:
    """H120. Told beside everything else that is wrong."""
    found = problems_of(
        monkeypatch, STRIPE_SECRET_KEY="sk_live_abc", STRIPE_API_BASE="http://127.0.0.1:8100", APP_URL="nonsense"
    )
    assert set(found) == {"STRIPE_API_BASE", "APP_URL"}


def test_a_live_key_goes_to_stripe_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_of(monkeypatch, STRIPE_SECRET_KEY="sk_live_abc", STRIPE_API_BASE="https://api.stripe.com").livemode


def test_no_error_and_no_repr_shows_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """H117."""
    with pytest.raises(SettingsError) as error:
        settings_of(monkeypatch, STRIPE_SECRET_KEY="nonsense_hunter2", STRIPE_WEBHOOK_SECRET="hunter2", APP_URL="x")
    assert "hunter2" not in str(error.value) + repr(error.value.as_dict())
    assert "hunter2" not in repr(settings_of(monkeypatch, STRIPE_SECRET_KEY="sk_test_hunter2"))
