"""JSON columns that no row can make unreadable."""

from typing import Any

from django.db import models


class MetaField(models.JSONField):
    """JSON; what Python cannot read, too deep or with too long a number, is read as its text."""

    def from_db_value(self, value: Any, *args: Any) -> Any:
        try:
            return super().from_db_value(value, *args)
        except (ValueError, RecursionError):
            return value
