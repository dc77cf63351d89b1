"""graphile-worker, in Node.js: the fastest queue in PostgreSQL that we know."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.peers.peer import Peer
from benchmarks.places import ROOT

VERSION = "0.17.3"
SCRIPT = ROOT / "benchmarks" / "jobs" / "graphile_worker.mjs"


class GraphileWorker(Peer):
    """Its verbs are in the script, and so is what benchmarks.inside does for the others."""

    name = "graphile-worker"
    left_sql = "SELECT count(*) FROM graphile_worker._private_jobs"

    def why_not(self) -> str | None:
        return None if shutil.which("node") and shutil.which("npm") else "node and npm are needed"

    @property
    def package(self) -> Path:
        return self.folder / "node_modules" / "graphile-worker" / "package.json"

    def install(self) -> None:
        if self.package.exists() and self.versions()[self.name] == VERSION:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "package.json").write_text("{}")
        packages = [f"graphile-worker@{VERSION}"]
        subprocess.run(
            ["npm", "install", "--silent", "--no-fund", "--no-audit", *packages],
            cwd=self.folder,
            check=True,
        )

    def versions(self) -> dict[str, str]:
        return {self.name: json.loads(self.package.read_text())["version"]}

    def node(self, *arguments: str) -> list[str]:
        return ["node", str(SCRIPT), str(self.folder), *arguments]

    def inside(self, verb: str, options: dict[str, Any]) -> list[str]:
        return self.node(verb, json.dumps(options))

    def worker(self, variant: str, processes: int) -> list[list[str]]:
        return [self.node("work", json.dumps({"variant": variant}))] * processes
