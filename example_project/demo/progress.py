"""How far a long run has come: a bar on a terminal, else a line every few seconds."""

import time

from django.core.management.base import OutputWrapper

BAR_CELLS = 30
LINE_SECONDS = 3


class Progress:
    def __init__(self, stream: OutputWrapper) -> None:
        self.stream = stream
        self.is_terminal = stream.isatty()
        self.next_line = time.monotonic() + LINE_SECONDS

    def show(self, done: int, total: int, remark: str) -> None:
        if self.is_terminal:
            cells = BAR_CELLS * done // max(total, 1)
            bar = "█" * cells + "░" * (BAR_CELLS - cells)
            self.write(f"\r{bar} {done:,} of {total:,}, {remark}\x1b[K")
        elif time.monotonic() >= self.next_line:
            self.next_line += LINE_SECONDS
            self.write(f"  {done:,} of {total:,}, {remark}\n")

    def clear(self) -> None:
        if self.is_terminal:
            self.write("\r\x1b[K")

    def write(self, text: str) -> None:
        self.stream.write(text, ending="")
        self.stream.flush()
