"""Sends every model to the database that the test is about."""

import os

current = os.environ.get("DJANGO_SCHWARTZ_TEST_DATABASE", "sqlite")


class CurrentDatabase:
    def db_for_read(self, model, **hints):
        return current

    def db_for_write(self, model, **hints):
        return current

    def allow_relation(self, one, other, **hints):
        return True
