"""What a registry's refusal means, and what to do where no answer came. Pure; it knows no requests."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from lading.errors import (
    Conflict,
    Denied,
    InvalidContent,
    LadingError,
    NotFound,
    RateLimited,
    RegistryFailure,
    Unreachable,
    Unsupported,
    UsageError,
)
from lading.registry.http.transport import (
    CertificateWanted,
    ConnectionBroken,
    ConnectionRefused,
    NameNotFound,
    PlainHTTP,
    UntrustedCertificate,
)

BODY_LIMIT = 64 * 1024
"""How much of a refusal's body is read, in bytes."""
_TEXT_LIMIT = 200

_TITLE = r"(?is)<title[^>]*>(.*?)</title>"

# As lading's own registry, Harbor and Quay say it.
_FULL = "(?i)registry is full|exceed the configured upper limit|quota has been exceeded"

# Codes that say more than their status (distribution-spec §Error Codes, and some that are widespread beside them).
_BY_CODE: Mapping[str, type[LadingError]] = {
    "BLOB_UPLOAD_INVALID": NotFound,
    "BLOB_UPLOAD_UNKNOWN": NotFound,
    "BLOB_UNKNOWN": NotFound,
    "MANIFEST_BLOB_UNKNOWN": NotFound,
    "MANIFEST_UNKNOWN": NotFound,
    "NAME_UNKNOWN": NotFound,
    "DIGEST_INVALID": InvalidContent,
    "MANIFEST_INVALID": InvalidContent,
    "MANIFEST_UNVERIFIED": InvalidContent,
    "SIZE_INVALID": InvalidContent,
    "NAME_INVALID": UsageError,
    "TAG_INVALID": UsageError,
    "PAGINATION_NUMBER_INVALID": UsageError,
    "DENIED": Denied,
    "UNAUTHORIZED": Denied,
    "UNSUPPORTED": Unsupported,
    "TOOMANYREQUESTS": RateLimited,
    "TAG_IMMUTABLE": Conflict,
    "GOOGLE_MANIFEST_DANGLING_TAG": Conflict,
}
_BY_STATUS: Mapping[int, type[LadingError]] = {
    401: Denied,
    403: Denied,
    404: NotFound,
    405: Unsupported,
    409: Conflict,
    410: NotFound,
    412: Conflict,
    413: InvalidContent,
    415: InvalidContent,
    416: Conflict,
    429: RateLimited,
    501: Unsupported,
}


class Refusal(msgspec.Struct, frozen=True):
    """An answer that is not the one that was asked for."""

    status: int
    body: bytes = b""
    """Its beginning."""


class Said(NamedTuple):
    """What a registry itself says about a refusal."""

    code: str = ""
    message: str = ""
    """On one line, without control characters, shortened."""
    detail: str = ""
    """Where it is short, made like the message."""

    def __str__(self) -> str:
        """All of it, as it goes into a sentence."""
        code = self.code.lower().replace("_", " ")
        message = "" if self.message.lower() == code else self.message
        detail = "" if self.detail == self.message else self.detail
        return clean(": ".join(part for part in (code, message, detail) if part))


def said(body: bytes) -> Said:
    """Find a registry's own words in the body of a refusal (distribution-spec §Error Codes).

    JSON of the specification's form gives code, message and detail; other JSON its message; HTML its title; any
    other text its first line.
    """
    text = body[:BODY_LIMIT].decode("utf-8", "replace").strip()
    if not text:
        return Said()
    if text[0] in "{[":
        try:
            return _from_document(json.loads(text))
        except (ValueError, RecursionError):
            return Said()
    if text[0] == "<":
        title = re.search(_TITLE, text)
        return Said("", clean(f"an HTML page, {title[1].strip()!r}" if title else "an HTML page"))
    return Said("", clean(text.partition("\n")[0]))


def clean(text: str, limit: int = _TEXT_LIMIT) -> str:
    """A foreign text made fit for a line of a terminal: no control characters, at most `limit` characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def failure(refusal: Refusal, *, method: str, registry: str, what: str) -> LadingError:
    """The error that a refusal is, other than one about credentials.

    Args:
        refusal: the answer.
        method: the request's method.
        registry: the registry that answered, for the message.
        what: the name of the thing asked for, for the message.
    """
    status = refusal.status
    words = said(refusal.body)
    kind = _kind(status, words.code)
    message, remedy = _message(kind, words.code, method, registry, what)
    return kind(
        message,
        cause=_cause(status, words),
        remedy=remedy,
        code=_CODES.get((kind, words.code)) or _CODES.get((kind, "")),
        fields={"registry": registry, "what": what},
        status=status,
        registry_code=words.code or None,
    )


def full(refusal: Refusal, *, registry: str, what: str) -> RegistryFailure | None:
    """The error of a request that there was no room for; None for any other refusal.

    Most say so with DENIED, as if it were for credentials: only their words tell.

    Args:
        refusal: the answer.
        registry: the registry that refused.
        what: the name of the thing that was sent.
    """
    words = said(refusal.body)
    if refusal.status != 507 and not re.search(_FULL, str(words)):
        return None
    return RegistryFailure(
        f"{registry} has no room for {what}",
        cause=_cause(refusal.status, words),
        remedy="make room there, or ask who runs it for more",
        status=refusal.status,
        registry_code=words.code or None,
    )


class Reason(NamedTuple):
    """Why something was not allowed, as far as credentials tell."""

    why: str
    """Whose credentials, or none."""
    remedy: str | None
    """What to do about it."""
    code: str
    """Which case it is, as in `Denied.code`."""
    refusal: Refusal | None = None
    """The answer that says more than the last one did, if there is one."""
    fields: Mapping[str, Any] = {}
    """What it is about."""


def denied(
    refusal: Refusal,
    *,
    registry: str,
    wanted: str,
    reason: Reason,
    repository: str | None = None,
    is_given: bool = False,
) -> Denied:
    """The error of a request that was not allowed (401 and 403).

    Args:
        refusal: the answer; one that `reason` has says more.
        registry: the registry that refused.
        wanted: what was not allowed, such as `repository:a/b:pull`.
        reason: what lading knows about it.
        repository: the path in the registry, if it is about one.
        is_given: whether the credentials were given for this request, so that there is nothing to explain about where
            they are from.
    """
    refusal = reason.refusal or refusal
    words = said(refusal.body)
    subject = f"{registry}/{repository}" if repository else registry
    # "authentication required" and the like add nothing to what we know.
    plain = words.code in {"UNAUTHORIZED", "DENIED", ""} and words.message.lower() in _EMPTY_WORDS
    cause = reason.why if plain or not str(words) else f"{reason.why}: {words}"
    return Denied(
        f"{registry} did not allow {wanted}",
        cause=cause,
        remedy=reason.remedy,
        code=reason.code,
        fields={
            **reason.fields,
            "registry": registry,
            "repository": repository,
            "wanted": wanted,
            "subject": None if is_given else subject,
        },
        status=refusal.status,
        registry_code=words.code or None,
    )


_EMPTY_WORDS = {
    "",
    "access denied",
    "access to the requested resource is not authorized",
    "authentication required",
    "denied",
    "forbidden",
    "requested access to the resource is denied",
    "unauthorized",
}


def advised(error: Unreachable) -> Unreachable:
    """The same failure, with what to do about it."""
    if isinstance(error, PlainHTTP):
        error.remedy = "if that is intended: insecure = true for this host in lading's config.toml"
    elif isinstance(error, UntrustedCertificate) and error.doubt is None:
        error.remedy = "it has to be replaced where the registry runs"
        error.code = "invalid-certificate"
    elif isinstance(error, UntrustedCertificate):
        error.remedy = "if the host is trusted: ca_file = … for this host in lading's config.toml"
    elif isinstance(error, CertificateWanted):
        error.remedy = "show one: cert_file and key_file for this host in lading's config.toml"
    elif isinstance(error, NameNotFound):
        error.remedy = "check the name of the registry"
    elif isinstance(error, ConnectionRefused):
        error.remedy = "check that the registry runs, and its port"
    elif isinstance(error, ConnectionBroken):
        error.remedy = "try again"
    else:
        error.remedy = error.remedy or "check the port, the network, and its proxy (HTTPS_PROXY, NO_PROXY)"
    return error


def _kind(status: int, code: str) -> type[LadingError]:
    # Many registries put their codes on 400; elsewhere the status says it better.
    if status == 400 or (status == 404 and code == "UNSUPPORTED"):
        return _BY_CODE.get(code, RegistryFailure)
    return _BY_STATUS.get(status, RegistryFailure)


def _message(kind: type[LadingError], code: str, method: str, registry: str, what: str) -> tuple[str, str | None]:
    if kind is NotFound:
        if code == "MANIFEST_BLOB_UNKNOWN":
            return f"{what} refers to content that {registry} does not have", None
        if code in {"BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID"}:
            return f"{registry} no longer knows the upload of {what}", None
        return f"{what} was not found", None
    if kind is RateLimited:
        return f"{registry} asks for fewer requests", "try again later, or log in: limits are often higher then"
    if kind is Unsupported:
        return f"{registry} does not support {method} of {what}", "it has to be allowed where the registry runs"
    if kind is RegistryFailure:
        return f"{registry} failed to answer for {what}", "try again later; the registry's own log may say more"
    if kind is Conflict:
        return f"{registry} did not accept {what}", "see what is there now"
    return f"{registry} did not accept {what}", None


_CODES: Mapping[tuple[type[LadingError], str], str] = {
    (Conflict, ""): "not-accepted",
    (NotFound, "MANIFEST_BLOB_UNKNOWN"): "content-missing",
    (NotFound, "BLOB_UPLOAD_UNKNOWN"): "upload-lost",
    (NotFound, "BLOB_UPLOAD_INVALID"): "upload-lost",
}
"""Cases of one kind, by the registry's code; `""` for any."""


def _cause(status: int, words: Said) -> str:
    if status < 300:
        return f"HTTP {status} was not expected"
    if status == 404:  # its detail repeats what was asked for
        words = words._replace(detail="")
    text = str(words)
    if status in {401, 403, 404} and text:
        return text
    return f"HTTP {status}: {text}" if text else f"HTTP {status}"


def _from_document(document: Any) -> Said:
    if not isinstance(document, dict):
        return Said()
    errors = document.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        first = errors[0]
        code = clean(_text(first.get("code")), 60)
        return Said(code, clean(_text(first.get("message"))), clean(_detail(first.get("detail")), 100))
    for key in ("message", "error_description", "error", "details", "detail"):
        if text := _text(document.get(key)):
            return Said("", clean(text))
    return Said()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _detail(detail: Any) -> str:
    """A detail worth showing: a short text, or an object with nothing but texts and numbers."""
    if isinstance(detail, dict):
        pairs = [f"{key}: {value}" for key, value in detail.items() if isinstance(value, str | int) and value != ""]
        detail = ", ".join(pairs) if len(pairs) == len(detail) else ""
    return detail if isinstance(detail, str) and len(detail) <= 100 else ""
