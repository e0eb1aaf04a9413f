"""When a request that failed is sent again, and how long to wait before that. Pure but for chance and the clock."""

from __future__ import annotations

import time

from lading.errors import LadingError, TLSFailure
from lading.registry.call import Call
from lading.registry.failures import is_passing
from lading.registry.http.transport import (
    ConnectFailed,
    ConnectionBroken,
    ConnectionRefused,
    ConnectTimedOut,
    NameNotFound,
    Response,
    Stalled,
)

RETRY_AFTER_LIMIT = 30.0
"""The longest that one `Retry-After` is waited for, in seconds."""
_REFUSED_RETRIES = 2
_SLOW_RETRIES = 1
"""How often a host is asked again that lay still: each time is a minute in which nothing happens."""


class Retries:
    """How often, and how soon.

    Args:
        times: how often a request is tried again where trying again is safe.
        backoff: seconds that the first wait between tries is at most; it doubles each time.
    """

    def __init__(self, times: int, backoff: float) -> None:
        self.times = times
        self.backoff = backoff

    def delay(self, failure: LadingError, call: Call, tries: int, after: float | None) -> float | None:
        """How many seconds to wait before the next try; None for none.

        Args:
            failure: what came of the last one.
            call: the request.
            tries: how often it was tried again already.
            after: how many seconds the registry asks to wait, if it does.
        """
        left = self.times - tries
        if left <= 0 or not _may_retry(failure, call):
            return None
        if isinstance(failure, ConnectionRefused) and tries >= _REFUSED_RETRIES:
            return None
        if isinstance(failure, ConnectTimedOut | Stalled) and tries >= _SLOW_RETRIES:
            return None
        if after is not None:
            # What is further away than all tries together is not worth the wait.
            return min(after, RETRY_AFTER_LIMIT) if after <= left * RETRY_AFTER_LIMIT else None
        import random

        return random.uniform(0, self.backoff * 2**tries)

    @staticmethod
    def after(response: Response) -> float | None:
        """How many seconds a `Retry-After` asks to wait (RFC 9110 §10.2.3)."""
        value = (response.headers.get("retry-after") or "").strip()
        if not value:
            return None
        if value.isascii() and value.isdigit():
            return float(value[:9])
        from email.utils import parsedate_to_datetime

        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
        except (ValueError, OverflowError, OSError):
            return None

    def is_worth_waiting(self, after: float | None) -> bool:
        """Whether a time that a registry names is near enough for all tries together."""
        return after is not None and after <= self.times * RETRY_AFTER_LIMIT


def _may_retry(failure: LadingError, call: Call) -> bool:
    """Whether a request that failed so can be sent again without doing anything twice."""
    if isinstance(failure, NameNotFound | TLSFailure):
        return False
    if isinstance(failure, ConnectionRefused | ConnectFailed):
        return True  # nothing was sent
    if failure.status == 429:
        return True
    if call.is_tentative and failure.status is not None:
        return False
    # An upload may be there in part: `uploads` goes on with it, or begins it anew.
    is_upload = call.method == "PATCH" or callable(call.body)
    return not is_upload and (isinstance(failure, ConnectionBroken) or is_passing(failure))
