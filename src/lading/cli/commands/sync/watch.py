"""`lading sync watch`: run mirrors when their turn comes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import click

from lading.cli.groups import Command, option
from lading.cli.mirrors import ONLY, tell_report, tell_troubles
from lading.cli.options import Options, common, format_option

if TYPE_CHECKING:
    from lading.client import AsyncClient
    from lading.mirror.watch import Watch


@click.command(cls=Command, short_help="Run mirrors when their turn comes")
@click.argument("file", metavar="FILE")
@ONLY
@option("--listen", metavar="HOST:PORT", help="Answer /metrics, /healthz, /status.json and /notify there.")
@format_option
@common(pushes=True)
def watch(options: Options, file: str, only: tuple[str, ...], listen: str | None, format_: str) -> None:
    """Run the mirrors of FILE by their schedules, until SIGTERM or Ctrl-C; what runs then goes on to its end.

    All run once at the beginning. FILE is read again when it changes, and on SIGHUP. A registry that tells /notify of a
    push has the mirrors of that repository run soon.

    \b
    lading sync watch mirror.toml
    lading sync watch mirror.toml --listen 127.0.0.1:9090
    """

    async def work(client: AsyncClient) -> bool:
        begun: list[Watch] = []
        async with _listening(options, listen, begun), _signals(options, begun):
            return await client.mirror.watch(
                file,
                only=only,
                on_report=lambda report: tell_report(options, report, format_, is_line=True),
                on_trouble=lambda trouble: tell_troubles(options, [trouble]),
                on_begun=begun.append,
            )

    import asyncio

    try:
        is_good = options.run(work)
    except asyncio.CancelledError:
        raise click.Abort from None
    if not is_good:
        raise click.exceptions.Exit(1)


@asynccontextmanager
async def _listening(options: Options, address: str | None, begun: Sequence[Watch]) -> AsyncIterator[None]:
    """Answer requests for the watch, once it has begun."""
    if address is None:
        yield
        return
    from lading.mirror.endpoints import Endpoints
    from lading.registry.urls import is_loopback
    from lading.serve.server import parse_address, running

    async with running(Endpoints(lambda: begun[0] if begun else None), address) as url:
        if not is_loopback(parse_address(address)[0]):
            options.warn("everybody who can reach this address can read the status, and have mirrors run")
        options.note(f"listening at {url}")
        yield


@asynccontextmanager
async def _signals(options: Options, begun: Sequence[Watch]) -> AsyncIterator[None]:
    """End the watch with the first SIGTERM or Ctrl-C, and what runs then with the second; SIGHUP has the file read."""
    import asyncio
    import signal
    import threading

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    is_ending = False

    def end() -> None:
        nonlocal is_ending
        if is_ending or not begun:
            task.cancel()
        elif any(mirror.is_running for watch in begun for mirror in watch.status.mirrors):
            options.note("what runs now goes on to its end; a second signal breaks it off")
        is_ending = True
        for watch in begun:
            watch.end()

    def reload() -> None:
        for watch in begun:
            watch.reload()

    handlers = {signal.SIGTERM: end, signal.SIGINT: end, signal.SIGHUP: reload}
    before = signal.getsignal(signal.SIGINT)
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)
        signal.signal(signal.SIGINT, before)
