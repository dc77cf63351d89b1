"""Each process tells which queue databases it cannot use."""

from django.db import migrations

import django_schwartz.models.meta


class Migration(migrations.Migration):
    dependencies = [("django_schwartz", "0003_room_to_grab")]

    operations = [
        migrations.AddField(
            "workerprocess", "away", django_schwartz.models.meta.MetaField(null=True)
        ),
    ]
