"""Pages with room for the second version of each row, which a grab then writes beside the first.

Such an update touches no index (HOT). And on a table all of whose rows come and go, vacuum is due
long before a fifth of them are dead.
"""

from typing import Any

from django.db import migrations

STORAGE = "fillfactor = 40, autovacuum_vacuum_scale_factor = 0.01"
USUAL = "fillfactor, autovacuum_vacuum_scale_factor"


def make_room(apps: Any, schema_editor: Any) -> None:
    _alter(apps, schema_editor, f"SET ({STORAGE})")


def make_no_room(apps: Any, schema_editor: Any) -> None:
    _alter(apps, schema_editor, f"RESET ({USUAL})")


def _alter(apps: Any, schema_editor: Any, change: str) -> None:
    """The change locks out no reader and no writer, and leaves the pages that there are."""
    if schema_editor.connection.vendor == "postgresql":
        table = apps.get_model("django_schwartz", "Job")._meta.db_table
        schema_editor.execute(f"ALTER TABLE {schema_editor.quote_name(table)} {change}")


class Migration(migrations.Migration):
    dependencies = [("django_schwartz", "0002_scoreboard")]

    operations = [migrations.RunPython(make_room, make_no_room)]
