"""The code blocks of the documentation, as they stand there."""

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent

BLOCK = re.compile(
    r"^( *)\.\. code-block:: (\w+)\n((?:\1 +:\w+:.*\n)*)\n((?:\1 +.*\n|\n)+)", flags=re.M
)


@dataclass(frozen=True)
class Sample:
    """A block: its language, what it says it is, and the code without its indent."""

    page: Path
    language: str
    caption: str
    code: str

    @property
    def is_of_another_library(self):
        return self.caption.startswith("with ")

    def __str__(self):
        return f"{self.page.name} {self.caption}"


def samples(page):
    """The blocks of a page, in their order."""
    return [
        Sample(page, language, options.partition(":caption:")[2].strip(), textwrap.dedent(code))
        for _, language, options, code in BLOCK.findall(page.read_text())
    ]
