"""The settings of the tests from upstream; the database comes with the environment."""

import json
import os

import django

DATABASES = {"default": json.loads(os.environ["UPSTREAM_DATABASE"])}
INSTALLED_APPS = [
    "standins",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django_schwartz",
    "django_tasks_db",
    *(["django_tasks"] if django.VERSION < (6, 0) else []),
]
TASKS = {"default": {"BACKEND": "standins.backends.AsDatabase"}}
SECRET_KEY = "for the tests alone"
SILENCED_SYSTEM_CHECKS = [f"admin.E{number}" for number in (403, 408, 409, 410)]
USE_TZ = True
ROOT_URLCONF = "settings"
urlpatterns: list[object] = []
