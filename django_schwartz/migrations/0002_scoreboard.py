"""The scoreboard. On PostgreSQL it is UNLOGGED: a crash may empty it, and every beat fills it."""

from typing import Any

from django.db import migrations, models

import django_schwartz.fields
import django_schwartz.models.meta


def set_unlogged(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        table = apps.get_model("django_schwartz", "WorkerProcess")._meta.db_table
        schema_editor.execute(f"ALTER TABLE {schema_editor.quote_name(table)} SET UNLOGGED")


class Migration(migrations.Migration):
    dependencies = [("django_schwartz", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="WorkerProcess",
            fields=[
                ("name", models.CharField(max_length=255, primary_key=True, serialize=False)),
                ("host", models.CharField(max_length=255)),
                ("pid", models.IntegerField()),
                ("started_at", django_schwartz.fields.UnixTimeField(null=True)),
                ("beat_at", django_schwartz.fields.UnixTimeField(db_default=0, default=0)),
                ("abilities", django_schwartz.models.meta.MetaField(null=True)),
                ("jobs", django_schwartz.models.meta.MetaField(null=True)),
                ("memory", models.BigIntegerField(null=True)),
                ("is_idle", models.BooleanField(db_default=False, default=False)),
            ],
            options={
                "verbose_name": "worker process",
                "verbose_name_plural": "worker processes",
            },
        ),
        migrations.RunPython(set_unlogged, migrations.RunPython.noop),
    ]
