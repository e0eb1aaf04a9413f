"""Several things that a command does one after the other, of which one may fail while the others go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lading.errors import LadingError

if TYPE_CHECKING:
    from lading.transfer.report import Failure


class Several:
    """Keeps what failed.

    Args:
        keep_going: whether the others go on; else the first failure is raised.
    """

    def __init__(self, *, keep_going: bool) -> None:
        self.failed: list[Failure] = []
        self._keep_going = keep_going

    @contextmanager
    def each(self, reference: str) -> Iterator[None]:
        """One of them, which is called so."""
        try:
            yield
        except LadingError as error:
            if not self._keep_going:
                raise
            from lading.cli.wording import remedied
            from lading.transfer.report import Failure

            self.failed.append(remedied(Failure.of(error, reference)))
