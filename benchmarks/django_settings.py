"""The settings of the Django peer and variant that the environment names."""

import json
import os

from benchmarks.peers import PEERS

PEER = PEERS[os.environ["SCHWARTZ_BENCH_PEER"]]
VARIANT = os.environ["SCHWARTZ_BENCH_VARIANT"]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ["PGDATABASE"],
        "USER": os.environ["PGUSER"],
        "PASSWORD": os.environ.get("PGPASSWORD", ""),
        "HOST": os.environ["PGHOST"],
        "PORT": os.environ["PGPORT"],
        "CONN_MAX_AGE": PEER.connection_age(VARIANT),
    }
}
if QUEUES := json.loads(os.environ["SCHWARTZ_BENCH_QUEUES"]):
    queues = {f"queue{number}": place for number, place in enumerate(QUEUES)}
    DATABASES |= {alias: {**DATABASES["default"], **place} for alias, place in queues.items()}
    SCHWARTZ = {"DATABASES": [*queues]}
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", *PEER.apps]
SECRET_KEY = "for benchmarks alone"
USE_TZ = True
globals().update(PEER.settings(VARIANT))
