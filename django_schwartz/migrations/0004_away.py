"""Each process tells which queue databases it cannot use."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_schwartz", "0003_room_to_grab")]

    operations = [
        migrations.AddField("workerprocess", "away", models.JSONField(null=True)),
    ]
