"""Files of source archives on PyPI."""

import io
import json
import tarfile
from functools import cache
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

INDEX = "https://pypi.org/simple"


@cache
def archives(project: str) -> dict[str, str]:
    """The address of each release's source archive."""
    request = Request(
        f"{INDEX}/{project}/", headers={"Accept": "application/vnd.pypi.simple.v1+json"}
    )
    with urlopen(request) as page:
        files: list[dict[str, Any]] = json.load(page)["files"]
    named = {file["filename"].lower().replace("_", "-"): file["url"] for file in files}
    return {
        name.removeprefix(f"{project}-").removesuffix(".tar.gz"): url
        for name, url in named.items()
        if name.endswith(".tar.gz")
    }


def newest(project: str, prefix: str) -> str:
    """The newest release whose number begins so."""
    numbers = [release for release in archives(project) if release.startswith(prefix)]
    finals = [release for release in numbers if release.removeprefix(prefix).isdecimal()]
    return max(finals, key=lambda release: int(release.removeprefix(prefix)))


def extract(project: str, release: str, inside: str, target: Path) -> None:
    """Write a file of the archive, or all files of a folder (it ends with a slash), to target."""
    print(f"{project} {release}: {inside}")
    with urlopen(archives(project)[release]) as source:
        content = io.BytesIO(source.read())
    with tarfile.open(fileobj=content) as archive:
        for member in archive.getmembers():
            path = member.name.partition("/")[2]
            is_wanted = path.startswith(inside) if inside.endswith("/") else path == inside
            if file := archive.extractfile(member) if is_wanted else None:
                written = target / path.removeprefix(inside)
                written.parent.mkdir(parents=True, exist_ok=True)
                written.write_bytes(file.read())
