"""A database that cannot be reached for a while."""

from django.db import connections

NOWHERE = {
    "sqlite": {"NAME": "/nowhere/at/all"},
    "postgresql": {"HOST": "127.0.0.1", "PORT": 1},
    "mysql": {"HOST": "127.0.0.1", "PORT": 1},
}


class Outages:
    """Which of the databases are out of reach. Nothing of them is lost."""

    def __init__(self):
        self._settings = {}

    def __contains__(self, alias):
        return alias in self._settings

    def begin(self, alias):
        connection = connections[alias]
        self._settings[alias] = dict(connection.settings_dict)
        connection.settings_dict |= NOWHERE[connection.vendor]
        connection.close()

    def end(self, alias):
        connection = connections[alias]
        connection.settings_dict |= self._settings.pop(alias)
        connection.close()

    def end_all(self):
        for alias in list(self._settings):
            self.end(alias)
