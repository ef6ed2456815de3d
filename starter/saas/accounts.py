"""
Who somebody is: sign up, sign in, sign out, another e-mail, and the end of an account.

Passwords are hashed with argon2id, outside any transaction. A session is a random token in a cookie whose SHA-256 is
in the database; it ends at its expiry, at sign-out, and when the same browser signs in again.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import uuid
from datetime import UTC, datetime, timedelta

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from saas.database import Database, SignInAttempt, SignInSession, User

MIN_PASSWORD = 10
MAX_PASSWORD = 200

WINDOW = timedelta(minutes=15)
"""How long an attempt to sign in counts."""

ATTEMPTS_PER_ACCOUNT = 10
ATTEMPTS_PER_ADDRESS = 50

_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")

_hasher = PasswordHasher()
# Verified when there is no such account, so that the answer takes as long as for a wrong password.
_nobodys_hash = _hasher.hash(secrets.token_urlsafe(16))


class AccountError(Exception):
    """What the person at the form can put right; `field` is the form field it is about, None for all of it."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class TooManyAttempts(AccountError):
    """Signing in was tried too often for now."""

    def __init__(self, retry_after: timedelta) -> None:
        minutes = max(1, round(retry_after.total_seconds() / 60))
        super().__init__(f"Too many attempts. Try again in {minutes} minute{'s' if minutes > 1 else ''}.")
        self.retry_after = retry_after


def sign_up(database: Database, *, email: str, password: str, name: str) -> User:
    """A new user. Raises AccountError naming the field that is wrong."""
    user = User(
        id=uuid.uuid4().hex,
        email=_checked_email(email),
        name=_checked_name(name),
        password_hash=_hasher.hash(_checked_password(password)),
        created=datetime.now(UTC),
    )
    try:
        with database.writing() as db:
            db.add(user)
    except IntegrityError as error:
        raise AccountError("There is an account with this e-mail already. Sign in instead?", field="email") from error
    return user


def sign_in(database: Database, *, email: str, password: str, address: str) -> User:
    """
    The user with this e-mail and password. `address` is where the request came from.

    Raises AccountError, the same and as slowly for an unknown e-mail as for a wrong password, and TooManyAttempts.
    """
    email = email.strip().lower()
    keys = {_hash(f"account:{email}"): ATTEMPTS_PER_ACCOUNT, _hash(f"address:{address}"): ATTEMPTS_PER_ADDRESS}
    with database.writing() as db:
        for key, allowed in keys.items():
            _count_attempt(db, key, allowed)  # before the check, so that parallel guesses count too
    with database.reading() as db:
        user = db.scalar(select(User).where(User.email == email))
    if not _matches(user.password_hash if user else _nobodys_hash, password) or user is None:
        raise AccountError("E-mail or password is wrong.")
    with database.writing() as db:
        db.execute(delete(SignInAttempt).where(SignInAttempt.key == _hash(f"account:{email}")))
    return user


def start_session(database: Database, user: User, *, lifetime: timedelta, replacing: str | None) -> str:
    """A new session's token, for the cookie. `replacing` is the token the browser came with; it ends now."""
    now = datetime.now(UTC)
    token = secrets.token_urlsafe(32)
    with database.writing() as db:
        ended = SignInSession.expires < now
        if replacing:
            ended |= SignInSession.token_hash == _hash(replacing)
        db.execute(delete(SignInSession).where(ended))
        db.add(SignInSession(token_hash=_hash(token), user_id=user.id, expires=now + lifetime))
    return token


def check_password(database: Database, user: User, password: str) -> None:
    """
    Before what cannot be taken back: is it really them, not somebody at their open browser?

    Raises AccountError, and TooManyAttempts: guesses count like those at the sign-in form.
    """
    key = _hash(f"account:{user.email}")
    with database.writing() as db:
        _count_attempt(db, key, ATTEMPTS_PER_ACCOUNT)
    if not _matches(user.password_hash, password):
        raise AccountError("This is not your password.", field="password")
    with database.writing() as db:
        db.execute(delete(SignInAttempt).where(SignInAttempt.key == key))


def change_email(database: Database, user: User, *, email: str, password: str) -> str:
    """The new e-mail to sign in with, as it is stored. Raises AccountError naming the field that is wrong."""
    email = _checked_email(email)
    check_password(database, user, password)
    try:
        with database.writing() as db:
            db.execute(update(User).where(User.id == user.id).values(email=email))
    except IntegrityError as error:
        raise AccountError("There is another account with this e-mail.", field="email") from error
    return email


def end_sessions(database: Database, user: User) -> None:
    """Sign the user out, in every browser."""
    with database.writing() as db:
        db.execute(delete(SignInSession).where(SignInSession.user_id == user.id))


def remove(database: Database, user: User) -> None:
    """Delete the user and everything of theirs."""
    with database.writing() as db:
        db.execute(delete(User).where(User.id == user.id))


def end_session(database: Database, token: str) -> None:
    """Sign this browser out; a stolen copy of its cookie is worth nothing afterwards."""
    with database.writing() as db:
        db.execute(delete(SignInSession).where(SignInSession.token_hash == _hash(token)))


def user_of(database: Database, token: str) -> User | None:
    """Whose session this is, None when it is unknown or has expired."""
    with database.reading() as db:
        return db.scalar(
            select(User)
            .join(SignInSession, SignInSession.user_id == User.id)
            .where(SignInSession.token_hash == _hash(token), SignInSession.expires > datetime.now(UTC))
        )


def _count_attempt(db: Session, key: str, allowed: int) -> None:
    now = datetime.now(UTC)
    db.execute(delete(SignInAttempt).where(SignInAttempt.at < now - WINDOW))
    count = db.scalar(select(func.count()).where(SignInAttempt.key == key)) or 0
    if count >= allowed:
        oldest = db.scalars(select(SignInAttempt.at).where(SignInAttempt.key == key).order_by(SignInAttempt.at)).first()
        raise TooManyAttempts((oldest or now) + WINDOW - now)
    db.add(SignInAttempt(key=key, at=now))
    db.flush()


def _matches(password_hash: str, password: str) -> bool:
    try:
        return _hasher.verify(password_hash, password if len(password) <= MAX_PASSWORD else "")
    except (VerificationError, InvalidHashError):
        return False


def _checked_email(email: str) -> str:
    email = email.strip().lower()
    if len(email) > 254 or not email.isprintable() or not _EMAIL.fullmatch(email):
        raise AccountError("Enter an e-mail address, like name@example.com.", field="email")
    return email


def _checked_name(name: str) -> str:
    name = " ".join(name.split())
    if not 1 <= len(name) <= 100 or not name.isprintable():
        raise AccountError("Enter your name, at most 100 letters.", field="name")
    return name


def _checked_password(password: str) -> str:
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise AccountError(f"Choose {MIN_PASSWORD} to {MAX_PASSWORD} characters.", field="password")
    return password


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
