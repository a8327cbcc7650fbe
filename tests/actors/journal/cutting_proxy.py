"""A wire between a client and a PostgreSQL server that is cut at a chosen commit."""

import asyncio
from enum import Enum
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

SOCKET = ".s.PGSQL.5432"
_COMMIT = b"COMMIT\0"  # the whole statement, not a part of "READ COMMITTED"


class Cut(Enum):
    """Where the wire breaks."""

    BEFORE = "the commit never reaches the server"
    AFTER = "the commit is done, its acknowledgement is lost"


class CuttingProxy:
    """Forwards a unix socket; `cut` breaks the next commit that passes."""

    def __init__(self, server_url: str, directory: Path) -> None:
        parts = urlsplit(server_url)
        query = parse_qs(parts.query)
        self._target = str(Path(query["host"][0]) / SOCKET)
        self._listen = str(directory / SOCKET)
        rest = f"&options={quote(query['options'][0])}"
        self.url = f"{parts.scheme}://manta@{parts.path}?host={quote(str(directory))}{rest}"
        self.cut: Cut | None = None
        self.cuts = 0
        self.broke = asyncio.Event()

    async def __aenter__(self) -> "CuttingProxy":
        self._server = await asyncio.start_unix_server(self._serve, self._listen)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, client: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        server, ask = await asyncio.open_unix_connection(self._target)
        back = asyncio.create_task(self._answers(server, answer))
        try:
            while data := await client.read(65536):
                if self.cut is not None and _COMMIT in data:
                    await self._break(data, ask, server, back)
                    break
                ask.write(data)
                await ask.drain()
        except ConnectionError:
            pass
        back.cancel()
        answer.close()
        ask.close()

    async def _break(
        self,
        data: bytes,
        ask: asyncio.StreamWriter,
        server: asyncio.StreamReader,
        back: "asyncio.Task[None]",
    ) -> None:
        after, self.cut = self.cut is Cut.AFTER, None
        self.cuts += 1
        self.broke.set()
        back.cancel()
        await asyncio.wait([back])
        if after:
            ask.write(data)
            await server.read(65536)  # the server's word that it is done

    async def _answers(self, server: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        while data := await server.read(65536):
            answer.write(data)
            await answer.drain()
