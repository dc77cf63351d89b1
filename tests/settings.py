"""The settings of the tests: an SQLite file and, where there is a server, databases of its kind.

There is no database "default": what does not say where it reads or writes, fails. Child processes
of the tests find the same databases by DJANGO_SCHWARTZ_TEST_RUN.
"""

import atexit
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import django

from tests import mariadb, postgres

RUN_VARIABLE = "DJANGO_SCHWARTZ_TEST_RUN"
IS_CHILD = RUN_VARIABLE in os.environ
ARE_TESTS = IS_CHILD or "pytest" in sys.modules

if ARE_TESTS and not IS_CHILD:
    os.environ[RUN_VARIABLE] = tempfile.mkdtemp(prefix="django_schwartz_")
    atexit.register(shutil.rmtree, os.environ[RUN_VARIABLE], ignore_errors=True)
#: There is none for who only reads these settings: mypy would leave it behind.
FOLDER = Path(os.environ[RUN_VARIABLE]) if ARE_TESTS else None
QUEUE = str(FOLDER / "queue.sqlite3") if FOLDER else ":memory:"

#: For child processes: a database that is not there, and an app of the test's own; and, in JSON as
#: DJANGO_SCHWARTZ_TEST_SETTINGS, what more is in SCHWARTZ, as DJANGO_SCHWARTZ_TEST_DATABASES, what
#: more is in DATABASES.
ELSEWHERE = os.environ.get("DJANGO_SCHWARTZ_TEST_NAME")
EXTRA_APPS = os.environ.get("DJANGO_SCHWARTZ_TEST_APP", "").split()

CURRENT = os.environ.get("DJANGO_SCHWARTZ_TEST_DATABASE", "sqlite")
#: The one that the run is about, where the others are not made.
ONLY = os.environ.get("DJANGO_SCHWARTZ_TEST_ONLY")


def name_of(alias, usual):
    """What a child process takes for a database's name."""
    return ELSEWHERE if ELSEWHERE and alias == CURRENT else usual


POSTGRES = postgres.find_or_start() if ARE_TESTS else None
MARIADB = mariadb.find_or_start() if ARE_TESTS else None

DATABASES = {
    "default": {},
    "sqlite": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": name_of("sqlite", QUEUE),
        "TEST": {"NAME": QUEUE, "DEPENDENCIES": []},
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
        },
    },
}
for alias, server in {"postgresql": POSTGRES, "mysql": MARIADB}.items():
    if server and ONLY in {None, alias}:
        name = f"test_{FOLDER.name}".lower()
        DATABASES[alias] = {
            **server.settings,
            "NAME": name_of(alias, name),
            "TEST": {"NAME": name, "DEPENDENCIES": []},
        }
DATABASES |= json.loads(os.environ.get("DJANGO_SCHWARTZ_TEST_DATABASES", "{}"))

DATABASE_ROUTERS = ["tests.router.CurrentDatabase"]
TASKS = {
    "default": {"BACKEND": "django_schwartz.backend.SchwartzBackend", "QUEUES": []},
    "other": {
        "BACKEND": "django_schwartz.backend.SchwartzBackend",
        "QUEUES": ["default", "reports"],
        "OPTIONS": {"keep_results_for": 60},
    },
}
SCHWARTZ = {
    "DATABASES": [CURRENT],
    **json.loads(os.environ.get("DJANGO_SCHWARTZ_TEST_SETTINGS", "{}")),
}

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django_schwartz",
    "tests.fieldsapp",
    "tests.app",
    *(["django_tasks"] if django.VERSION < (6, 0) else []),
    *EXTRA_APPS,
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
ROOT_URLCONF = "tests.urls"
STATIC_URL = "static/"
SECRET_KEY = "for the tests alone"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
USE_TZ = True
TIME_ZONE = "UTC"
