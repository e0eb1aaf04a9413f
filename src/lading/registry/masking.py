"""Taking back out of texts what was sent in confidence: a registry may repeat it in its errors and warnings."""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Iterable
from functools import cache
from urllib.parse import parse_qsl, quote

from lading.errors import LadingError

_LEAST = 8
"""How short a secret may be, in characters, to be taken out of a text wherever it is in there: shorter ones would tear
words apart, and tell what they are."""
_LEAST_WORD = 3
"""How short one may be to be taken out of a foreign text where it is a word by itself."""
_SHOWN_PARAMETERS = frozenset(
    {"account", "artifactType", "client_id", "digest", "from", "last", "mount", "n", "scope", "service", "tag"}
)
"""The parameters of addresses that are no secrets."""
_SECRET_FIELDS = frozenset({"password", "refresh_token", "access_token"})


class Mask:
    """The secrets that were sent, and texts without them."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self._raw: set[str] = set()
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
                    user, _, password = base64.b64decode(proof).decode().partition(":")
                except (binascii.Error, UnicodeDecodeError):
                    continue
                self._add(f"{user}:{password}", proof)
                self.add(password)
        if isinstance(body, bytes):
            for name, value in parse_qsl(body.decode("ascii", "replace")):
                if name in _SECRET_FIELDS:
                    self.add(value)

    def add(self, secret: str) -> None:
        """Note a secret by itself, in every form that it may be repeated in."""
        self._add(secret)

    def apply(self, text: str) -> str:
        """A text with `***` in place of each secret."""
        for secret in sorted((secret for secret in self._secrets if secret in text), key=len, reverse=True):
            text = text.replace(secret, "***")
        if not _ESCAPES.isdisjoint(text):
            for secret in sorted((raw for raw in self._raw if len(raw) >= _LEAST), key=len, reverse=True):
                text = re.sub(_written(secret), "***", text)
        return text

    def foreign(self, text: str) -> str:
        """A text that somebody else wrote, with `***` in place of each secret, short ones included."""
        text = self.apply(text)
        for secret in sorted((raw for raw in self._raw if len(raw) < _LEAST), key=len, reverse=True):
            text = re.sub(rf"(?<!\w){_written(secret)}(?!\w)", "***", text)
        return text

    def clean(self, error: LadingError) -> None:
        """Take the secrets out of an error's texts; its cause may be in somebody else's words."""
        error.message = self.apply(error.message)
        error.args = (error.message,)
        error.cause = self.foreign(error.cause) if error.cause else error.cause
        error.remedy = self.apply(error.remedy) if error.remedy else error.remedy
        error.fields = {
            name: self.apply(value) if isinstance(value, str) else value for name, value in error.fields.items()
        }

    def _add(self, *secrets: str) -> None:
        for secret in filter(None, secrets):
            self._secrets |= {form for form in (secret, *_in_base64(secret)) if len(form) >= _LEAST}
            if _LEAST_WORD <= len(secret) <= _MOST:
                self._raw.add(secret)


def _written(secret: str) -> str:
    """A pattern of every way in which a secret may be written: each character escaped for an address, JSON or HTML."""
    return "".join(map(_character, secret))


@cache
def _character(character: str) -> str:
    code = ord(character)
    bytes_ = "".join(f"%(?:25)*{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))
    forms = [bytes_, rf"\\u{{?0*{code:x}}}?", rf"\\x{code:02x}", f"&#0*{code};", f"&#x0*{code:x};"]
    named = [re.escape(html.escape(character))] if html.escape(character) != character else []
    plus = [r"\+"] if character == " " else []
    return rf"(?:\\*{re.escape(character)}|(?i:{'|'.join(forms)})" + "".join(f"|{one}" for one in named + plus) + ")"


def _in_base64(secret: str) -> set[str]:
    """What of a secret can be seen in the base64 of a text that it is in, wherever in there it begins."""
    data = secret.encode("utf-8", "surrogatepass")
    found = set()
    for before, start in enumerate((0, 2, 3)):
        whole = (before + len(data)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            found.add(encode(b"\0" * before + data).decode()[start:whole])
    return found


_ESCAPES = frozenset("%\\&+")
"""What a text has in it where characters are written in another way."""
_MOST = 200
"""How long a secret may be to be looked for as it may be escaped: longer ones are tokens, which need no escapes."""


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
