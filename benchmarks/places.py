"""Where the harness keeps what it makes."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / "benchmarks" / ".cache"
LOGS = CACHE / "logs"
