"""Taking back out of texts what was sent in confidence: a registry may repeat it in its errors and warnings."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from urllib.parse import parse_qsl, quote

from lading.errors import LadingError

_LEAST = 8
"""How short a secret may be, in characters: taking shorter ones out would tear words apart, and tell what they are."""
_SHOWN_PARAMETERS = frozenset(
    {"account", "artifactType", "client_id", "digest", "from", "last", "mount", "n", "scope", "service", "tag"}
)
"""The parameters of addresses that are no secrets."""
_SECRET_FIELDS = frozenset({"password", "refresh_token", "access_token"})


class Mask:
    """The secrets that were sent, and texts without them."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self._seen: set[str] = set()

    def sent(self, headers: Iterable[tuple[str, str]], body: object = None) -> None:
        """Note what is sent in confidence.

        Args:
            headers: header fields of which every value is a secret.
            body: a form, some fields of which are secrets; anything else has none.
        """
        for name, value in headers:
            if value in self._seen:
                continue
            self._seen.add(value)
            scheme, _, proof = value.partition(" ")
            if name.lower() != "authorization" or not proof:
                self._add(value)
                continue
            self._add(proof)
            if scheme.lower() == "basic":
                try:
                    self._add(base64.b64decode(proof).decode().partition(":")[2])
                except (binascii.Error, UnicodeDecodeError):
                    continue
        if isinstance(body, bytes):
            for name, value in parse_qsl(body.decode("ascii", "replace")):
                if name in _SECRET_FIELDS:
                    self._add(value)

    def apply(self, text: str) -> str:
        """A text with `***` in place of each secret."""
        for secret in sorted((secret for secret in self._secrets if secret in text), key=len, reverse=True):
            text = text.replace(secret, "***")
        return text

    def clean(self, error: LadingError) -> None:
        """Take the secrets out of an error's texts."""
        error.message = self.apply(error.message)
        error.args = (error.message,)
        error.cause = self.apply(error.cause) if error.cause else error.cause
        error.remedy = self.apply(error.remedy) if error.remedy else error.remedy
        error.fields = {
            name: self.apply(value) if isinstance(value, str) else value for name, value in error.fields.items()
        }

    def _add(self, secret: str) -> None:
        if len(secret) >= _LEAST:
            self._secrets |= {secret, quote(secret, safe="")}


def masked(url: str) -> str:
    """An address for a log: parameters that might be secret show their names only."""
    address, mark, query = url.partition("?")
    if not mark:
        return address
    shown = [
        f"{quote(name, safe='')}={quote(value, safe=':/,') if name in _SHOWN_PARAMETERS else '***'}"
        for name, value in parse_qsl(query, keep_blank_values=True)
    ]
    return f"{address}?{'&'.join(shown)}"
