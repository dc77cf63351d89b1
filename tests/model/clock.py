"""A clock of the database that stands until a test moves it."""


class Clock:
    """The server's time, in UNIX seconds, in every statement of a dialect."""

    def __init__(self, dialect, monkeypatch):
        # A portable dialect may have another one's insert.
        self._dialects = {dialect, dialect.insert.__self__}
        self._patch = monkeypatch
        self.set(1_800_000_000)

    def set(self, now):
        self.now = now
        for dialect in self._dialects:
            self._patch.setattr(dialect, "now", f"{now}")
            self._patch.setattr(dialect, "now_us", f"{now}000000")
