"""A slow line: passes TCP connections on, and lets everything take its time, without making anything wait its turn.

    python -m bench.line LATENCY UPSTREAM...

LATENCY is that of a round trip, in seconds. Listens on a port for each UPSTREAM (HOST:PORT) and prints those ports.
What comes in goes out half the latency later, in either direction and on every connection; a connection comes about
after a whole one, like those of TCP. It does not read what it passes on, so that it costs next to nothing.
"""

import asyncio
import sys
from collections import deque
from functools import partial

_FULL = 16 * 1024 * 1024


class End(asyncio.Protocol):
    """One end of a connection; what it receives goes out at the other one.

    Args:
        delay: seconds from in to out.
        opens: seconds, on the loop's clock, before which nothing comes in.
    """

    def __init__(self, delay: float, opens: float = 0.0) -> None:
        self.other: End | None = None
        self.transport: asyncio.Transport | None = None
        self._delay = delay
        self._opens = opens
        self._late: deque[tuple[float, bytes | None]] = deque()
        self._waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take what was waiting for it."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(_FULL)
        if self.other is not None:
            self.other.deliver()

    def data_received(self, data: bytes) -> None:
        """Keep it for its time."""
        self._keep(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the other end, as late as everything."""
        self._keep(None)

    def pause_writing(self) -> None:
        """The other end is to read no more for now."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """The other end may go on."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def _keep(self, data: bytes | None) -> None:
        now = asyncio.get_running_loop().time()
        self._late.append((max(now, self._opens) + self._delay, data))
        self.deliver()

    def deliver(self) -> None:
        """Send what is due, and come back for the rest."""
        loop = asyncio.get_running_loop()
        there = self.other.transport if self.other is not None else None
        while there is not None and self._late and self._late[0][0] <= loop.time():
            _, data = self._late.popleft()
            if data is None:
                there.close()
            else:
                there.write(data)
        if there is not None and self._late and not self._waiting:
            self._waiting = True
            loop.call_at(self._late[0][0], self._due)

    def _due(self) -> None:
        self._waiting = False
        self.deliver()


class Near(End):
    """The end at which somebody connects; it makes the far one."""

    def __init__(self, latency: float, upstream: str) -> None:
        super().__init__(latency / 2, asyncio.get_running_loop().time() + latency)
        self._upstream = upstream

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connect to the upstream."""
        super().connection_made(transport)
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        host, _, port = self._upstream.rpartition(":")
        far = End(self._delay)
        far.other, self.other = self, far
        await asyncio.get_running_loop().create_connection(lambda: far, host, int(port))


async def main(latency: float, upstreams: list[str]) -> None:
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(partial(Near, latency, upstream), "127.0.0.1", 0) for upstream in upstreams]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]), sys.argv[2:]))
