"""A clock of the database that stands until a test moves it."""


class Clock:
    """The server's time, in UNIX seconds, in every statement of a dialect."""

    def __init__(self, dialect, monkeypatch):
        self._dialect, self._patch = dialect, monkeypatch
        self.set(1_800_000_000)

    def set(self, now):
        self.now = now
        self._patch.setattr(self._dialect, "now", f"{now}")
        self._patch.setattr(self._dialect, "now_us", f"{now}000000")
