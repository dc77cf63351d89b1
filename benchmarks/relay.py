"""A relay before PostgreSQL that counts statements: `python -m benchmarks.relay PLACE FOLDER`.

It listens on FOLDER's socket, as a server would, and passes everything on to PLACE, a socket's path
or host:port. It counts what a client asks to be executed: each simple query, and each Execute of
the extended protocol, so that a prepared statement counts whenever it runs; and round trips: each
simple query, and each Sync. Statements that share one simple query count as one. The totals are in
FOLDER/counts. For counting, never for timing.
"""

import asyncio
import mmap
import sys
from pathlib import Path

SOCKET = ".s.PGSQL.5432"
#: The protocol's version. What else comes first (asking for encryption, to cancel) begins nothing.
PROTOCOL = 3
CHUNK = 1 << 16


class Counts:
    """Two numbers that another process may read: statements and round trips."""

    def __init__(self, folder: Path) -> None:
        path = folder / "counts"
        if not path.exists():
            path.write_bytes(bytes(16))
        with path.open("r+b") as file:
            self.numbers = memoryview(mmap.mmap(file.fileno(), 0)).cast("q")

    def read(self) -> tuple[int, int]:
        return self.numbers[0], self.numbers[1]


class Reader:
    """Reads what one client says."""

    def __init__(self, counts: Counts) -> None:
        self.numbers = counts.numbers
        self.has_begun = False
        self.pending = b""
        self.skip = 0

    def read(self, data: bytes) -> None:
        if self.skip >= len(data):
            self.skip -= len(data)
            return
        data = self.pending + data[self.skip :]
        place = self.skip = 0
        while len(data) - place >= (5 if self.has_begun else 8):
            size = self._note(data, place)
            place += size
        if place > len(data):
            self.skip = place - len(data)
        self.pending = data[place:]

    def _note(self, data: bytes, place: int) -> int:
        """Count the message that is there; return its size."""
        if not self.has_begun:
            self.has_begun = int.from_bytes(data[place + 4 : place + 6]) == PROTOCOL
            return int.from_bytes(data[place : place + 4])
        kind = data[place : place + 1]
        self.numbers[0] += kind in (b"Q", b"E")
        self.numbers[1] += kind in (b"Q", b"S")
        return 1 + int.from_bytes(data[place + 1 : place + 5])


async def main(place: str, folder: Path) -> None:
    counts = Counts(folder)
    keep: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await connect(place)
        note = Reader(counts).read
        back = asyncio.create_task(pass_on(there_reader, writer))
        keep.add(back)
        back.add_done_callback(keep.discard)
        await pass_on(reader, there_writer, note)

    server = await asyncio.start_unix_server(serve, folder / SOCKET)
    await server.serve_forever()


async def connect(place: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if place.startswith("/"):
        return await asyncio.open_unix_connection(place)
    host, _, port = place.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, note: object = None
) -> None:
    try:
        while data := await reader.read(CHUNK):
            if callable(note):
                note(data)
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
