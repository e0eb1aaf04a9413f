"""How records of a log are told to people; apart from `output`, since `logging` takes longer to import."""

from __future__ import annotations

import logging

from lading.cli.output import say


class LogHandler(logging.Handler):
    """Prints the records of a log to stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record. Of several lines, as a traceback has, all but the first are moved to the right."""
        try:
            first, *more = self.format(record).split("\n")
            say(first, *(f"    {line}" for line in more), err=True)
        except Exception:  # noqa: BLE001  # a log never ends what it tells of
            self.handleError(record)
