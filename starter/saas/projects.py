"""A user's projects: what the app is about, and what the plans count."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from paidup import Billing
from saas.database import Database, Project, User

LIMIT = "projects"
"""The limit's name in plans.toml."""


class ProjectError(Exception):
    """What the person at the form can put right."""


def create(database: Database, billing: Billing, user: User, *, name: str) -> Project:
    """
    A new project. Raises ProjectError, and paidup's LimitReached when the plan has no room for one more.

    Counting and adding are one transaction that holds the user's row, so two tabs can't pass the limit together.
    """
    name = " ".join(name.split())
    if not 1 <= len(name) <= 100 or not name.isprintable():
        raise ProjectError("Give the project a name, at most 100 letters.")
    with database.writing() as db:
        db.execute(select(User.id).where(User.id == user.id).with_for_update())
        billing.require_limit(user.owner, LIMIT, count(db, user))
        project = Project(id=uuid.uuid4().hex, user_id=user.id, name=name, created=datetime.now(UTC))
        db.add(project)
    return project


def remove(database: Database, user: User, project_id: str) -> bool:
    """Delete one of the user's own projects; False when there is none of theirs with this id."""
    with database.writing() as db:
        found = db.scalar(select(Project).where(Project.id == project_id, Project.user_id == user.id))
        if found is not None:
            db.execute(delete(Project).where(Project.id == found.id))
        return found is not None


def all_of(db: Session, user: User) -> Sequence[Project]:
    """The user's projects, newest first."""
    return db.scalars(select(Project).where(Project.user_id == user.id).order_by(Project.created.desc())).all()


def count(db: Session, user: User) -> int:
    """How many projects the user has."""
    return db.scalar(select(func.count()).select_from(Project).where(Project.user_id == user.id)) or 0
