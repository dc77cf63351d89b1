"""The router that keeps the queue's tables in the queue's databases."""

from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model

from django_schwartz.conf import conf

APP = "django_schwartz"


class QueueRouter:
    """For DATABASE_ROUTERS: `migrate` makes the tables in SCHWARTZ["DATABASES"], and nowhere else.

    What asks for rows and names no database, as the admin does, is sent to "default", or to the
    first of those where "default" holds no queue.
    """

    def db_for_read(
        self, model: type[Model], instance: Model | None = None, **_: Any
    ) -> str | None:
        aliases = conf().databases
        if model._meta.app_label != APP or DEFAULT_DB_ALIAS in aliases:
            return None
        if instance is not None and instance._meta.app_label == APP and instance._state.db:
            return instance._state.db
        return aliases[0]

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, **_: Any) -> bool | None:
        return db in conf().databases if app_label == APP else None
