"""A clock that a test moves, for what happens after hours."""

import contextlib
import time
from collections.abc import Iterator

from lading.serve import Settings, Storage, app
from lading.serve.server import background
from serve.caller import Caller


class Clock:
    def __init__(self) -> None:
        self.ahead = 0.0
        """Seconds."""

    def __call__(self) -> float:
        return time.time() + self.ahead


@contextlib.contextmanager
def serving(clock: Clock, settings: Settings, storage: Storage | None = None) -> Iterator[Caller]:
    """A registry whose time this clock says."""
    with background(app(storage, settings, clock=clock), "127.0.0.1:0") as url:
        yield Caller(url)
