"""Turn a DATABASE_URL into an entry of DATABASES: SQLite or PostgreSQL."""

from typing import Any
from urllib.parse import unquote, urlsplit


def database_from_url(url: str) -> dict[str, Any]:
    """Return the entry for sqlite:///path/to/file or postgresql://user:password@host:port/name."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return sqlite(unquote(parts.path))
    if parts.scheme in ("postgres", "postgresql"):
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": unquote(parts.path.lstrip("/")),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": unquote(parts.hostname or ""),
            "PORT": str(parts.port or ""),
        }
    raise ValueError(f"DATABASE_URL must begin with sqlite: or postgresql:, not {url!r}")


def sqlite(path: str) -> dict[str, Any]:
    """Return an entry that lets a site and its workers share one file.

    WAL lets them read while one writes. IMMEDIATE takes the write lock when a transaction
    begins, where SQLite waits for it; taken later, the lock may be refused at once.
    """
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL",
        },
    }
