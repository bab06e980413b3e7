"""A server that answers 204 to everything at once: no service can be seen to do more than the generator does here."""

from __future__ import annotations

import asyncio
import sys
from typing import cast

from bench.load import says_close

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


class Responder(asyncio.Protocol):
    """Takes every packet for a whole request, which those of the load generator are."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(NO_CONTENT)
        if says_close(data):
            self._transport.close()


async def serve(port: int) -> None:
    """Serves until killed."""
    server = await asyncio.get_running_loop().create_server(Responder, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
