"""What a registry's refusal means, and what to do where no answer came. Pure; it knows no requests."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import structs

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
)
from lading.registry.http.transport import (
    CertificateWanted,
    ConnectionBroken,
    ConnectionRefused,
    Headers,
    NameNotFound,
    PlainHTTP,
    ProxyLogin,
    ProxyRefused,
    UntrustedCertificate,
)

BODY_LIMIT = 64 * 1024
"""How much of a refusal's body is read, in bytes."""
_TEXT_LIMIT = 200

_PASSING = frozenset({408, 425, 500, 502, 503, 504})
"""The statuses of answers that may be others the next time, where no code says otherwise."""

_XML_WORDS = r"<(?:Code|Message)>\s*([^<]*?)\s*</(?:Code|Message)>"
"""As storages speak."""
_TITLE = r"(?is)<title[^>]*>(.*?)</title>"

# As lading's own registry, Harbor and Quay say it.
_FULL = "(?i)registry is full|exceed the configured upper limit|quota has been exceeded"
# As Amazon ECR, Artifact Registry, Harbor, Quay and Docker Hub say it (immutable), Nexus (updating, redeploy), Alibaba
# (overwritten), Azure (disallowed), GitLab (protected): with 400, 401, 403, 405, 409 or 412, and with any code.
_KEPT = (
    r"(?i)immutab|cannot be (?:overwritten|updated|modified|changed|deleted)"
    r"|not allow (?:updating|overwriting|redeploy)|redeploy\w* (?:is |are )?not allowed"
    r"|operation is disallowed|disallowed_operation"
    r"|protected (?:container )?tag|tag\b.{0,140}\b(?:is|are) (?:protected|locked)|write[- ]?protected"
)

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
    "NAME_INVALID": Unsupported,
    "TAG_INVALID": Unsupported,
    "PAGINATION_NUMBER_INVALID": Unsupported,
    "DENIED": Denied,
    "UNAUTHORIZED": Denied,
    "UNSUPPORTED": Unsupported,
    "TOOMANYREQUESTS": RateLimited,
    "GOOGLE_MANIFEST_DANGLING_TAG": Conflict,
}
_VAGUE = ("MANIFEST_INVALID", "UNSUPPORTED", "DENIED", "UNAUTHORIZED")
"""Codes of the specification beside which another one says more."""
_BY_STATUS: Mapping[int, type[LadingError]] = {
    401: Denied,
    402: Denied,
    403: Denied,
    404: NotFound,
    407: ProxyLogin,
    405: Unsupported,
    406: Unsupported,
    409: Conflict,
    410: NotFound,
    412: Conflict,
    413: InvalidContent,
    415: Unsupported,
    416: Conflict,
    422: InvalidContent,
    423: Conflict,
    429: RateLimited,
    451: Denied,
    501: Unsupported,
}
_READS = frozenset({"GET", "HEAD"})


class Refusal(msgspec.Struct, frozen=True):
    """An answer that is not the one that was asked for."""

    status: int
    body: bytes = b""
    """Its beginning."""


class Said(msgspec.Struct, frozen=True):
    """What a registry itself says about a refusal."""

    code: str = ""
    message: str = ""
    """On one line, without control characters, shortened."""
    detail: str = ""
    """Where it is short, made like the message."""
    others: tuple[Said, ...] = ()
    """What it says beside that, in the same answer."""

    def __str__(self) -> str:
        """All of it, as it goes into a sentence."""
        code = self.code.lower().replace("_", " ")
        message = "" if self.message.lower() == code else self.message
        detail = "" if self.detail == self.message else self.detail
        own = ": ".join(part for part in (code, message, detail) if part)
        return clean("; ".join(dict.fromkeys(part for part in (own, *map(str, self.others)) if part)))

    @property
    def unknown(self) -> list[str]:
        """The digests of the blobs that a manifest needs and that the registry does not have."""
        every = (self, *self.others)
        return [digest for one in every if one.code == "MANIFEST_BLOB_UNKNOWN" for digest in _digests(one.detail)]


def said(body: bytes) -> Said:
    """Find a registry's own words in the body of a refusal (distribution-spec §Error Codes).

    JSON of the specification's form gives code, message and detail of each error, the one that says most first; other
    JSON its message; HTML its title; any other text its first line.
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
        if words := re.findall(_XML_WORDS, text):
            return Said("", clean(": ".join(words)))
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
    if settled := _settled(refusal, method=method, registry=registry, what=what):
        return settled
    status = refusal.status
    words = said(refusal.body)
    kind = _kind(status, words.code, method)
    message, remedy = _message(kind, status, words.code, method, registry, what)
    return kind(
        message,
        cause=_cause(status, words),
        remedy=remedy,
        code=_CODES.get((kind, words.code)) or _CODES.get((kind, str(status))) or _CODES.get((kind, "")),
        fields={"registry": registry, "what": what} | ({"unknown": words.unknown} if words.unknown else {}),
        status=status,
        registry_code=words.code or None,
    )


def _settled(refusal: Refusal, *, method: str, registry: str, what: str) -> LadingError | None:
    """The error of a refusal of which only the words tell why, with any status and code; None for any other refusal.

    There is no room for what was sent, or what is there must stay as it is.
    """
    words = said(refusal.body)
    rest: dict[str, Any] = {
        "cause": _cause(refusal.status, words),
        "status": refusal.status,
        "registry_code": words.code or None,
    }
    if refusal.status == 507 or re.search(_FULL, str(words)):
        remedy = "make room there, or ask who runs it for more"
        return RegistryFailure(f"{registry} has no room for {what}", remedy=remedy, code="registry-full", **rest)
    if method in _READS or not re.search(_KEPT, _without(what, refusal.body)):
        return None
    remedy = "ask who runs the registry to allow it"
    if method == "PUT" and "@" not in what:
        remedy = f"choose another tag, or {remedy}"
    return Conflict(
        f"{registry} keeps {what} as it is",
        remedy=remedy,
        code="immutable",
        fields={"registry": registry, "what": what},
        **rest,
    )


def _without(what: str, body: bytes) -> str:
    """What an answer says, without the name of the thing: a tag may be called `immutable`."""
    text = body[:BODY_LIMIT].decode("utf-8", "replace")
    for name in re.split("[/:@]", what):
        if re.search(_KEPT, name):
            text = text.replace(name, "…")
    return text


def is_passing(error: LadingError) -> bool:
    """Whether the same request may be answered otherwise the next time; what has a code of its own is settled."""
    return error.status == 429 or (error.status in _PASSING and error.code in (RegistryFailure.code, RateLimited.code))


def no_registry(registry: str, cause: str) -> Unsupported:
    """The error of a host that speaks HTTP, and is no registry.

    Args:
        registry: the host.
        cause: what it answered.
    """
    return Unsupported(
        f"{registry} is no registry",
        cause=cause,
        remedy="check its name and its port; a login page or a proxy may be in between",
        code="no-registry",
        fields={"registry": registry},
    )


def is_registrys(refusal: Refusal, headers: Headers) -> bool:
    """Whether an answer is, by its form, that of a registry (distribution-spec §Error Codes)."""
    media_type = (headers.get("content-type") or "").lower()
    return (
        headers.get("docker-distribution-api-version") is not None
        or "json" in media_type
        or bool(said(refusal.body).code)
    )


def elsewhere(refusal: Refusal, *, registry: str, host: str, what: str) -> LadingError:
    """The error of a host to which a registry redirected a request, such as the storage that it keeps content in.

    It knows nothing of who is logged in to the registry: no login would help.

    Args:
        refusal: the answer.
        registry: the registry that sent the request there.
        host: the host that answered.
        what: the name of the thing asked for.
    """
    status = refusal.status
    fields = {"registry": registry, "what": what, "host": host}
    cause = f"{host}, where {registry} sends for it, answered {_cause(status, said(refusal.body), always=True)}"
    if status in {404, 410}:
        return NotFound(f"{registry} has {what}, and does not give it out", cause=cause, fields=fields, status=status)
    if status == 429:
        message = f"{host}, where {registry} sends for {what}, asks for fewer requests"
        return RateLimited(message, cause=_cause(status, said(refusal.body)), fields=fields, status=status)
    failed = status >= 500
    kind = Denied if status in {401, 403} else RegistryFailure
    return kind(
        f"{registry} has {what}, and does not give it out",
        cause=cause,
        remedy=None if failed else f"whoever runs {registry} has to look at its storage, and at its clock",
        code=None if failed else "storage-refused",
        fields=fields,
        status=status,
    )


class Reason(msgspec.Struct, frozen=True):
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
    method: str = "GET",
    what: str = "",
    registry: str,
    wanted: str,
    reason: Reason,
    repository: str | None = None,
    is_given: bool = False,
) -> LadingError:
    """The error of a request that was not allowed (401 and 403).

    It is no matter of credentials where there is no room, or where what is there must stay: many say that as DENIED.

    Args:
        refusal: the answer; one that `reason` has says more.
        method: the request's method.
        what: the name of the thing asked for.
        registry: the registry that refused.
        wanted: what was not allowed, such as `repository:a/b:pull`.
        reason: what lading knows about it.
        repository: the path in the registry, if it is about one.
        is_given: whether the credentials were given for this request, so that there is nothing to explain about where
            they are from.
    """
    if settled := _settled(refusal, method=method, registry=registry, what=what):
        return settled
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
    elif isinstance(error, ProxyLogin):
        error.remedy = "put the login into the proxy's address: USER:PASSWORD@ before its host"
    elif isinstance(error, ProxyRefused):
        error.remedy = "ask who runs the proxy, or exempt the host from it (NO_PROXY)"
    elif isinstance(error, ConnectionBroken):
        error.remedy = "try again"
    else:
        error.remedy = error.remedy or "check the port, the network, and its proxy (HTTPS_PROXY, NO_PROXY)"
    return error


def _kind(status: int, code: str, method: str) -> type[LadingError]:
    if status in {409, 412, 423} and method in _READS:
        return Denied  # a rule of the registry's, as for images with vulnerabilities in Harbor
    # Many registries put their codes on 400, and some on 200 or 500; elsewhere the status says it better.
    if status in {200, 400} or (status == 404 and code == "UNSUPPORTED"):
        return _BY_CODE.get(code, RegistryFailure)
    if status >= 500 and status != 501:
        kind = _BY_CODE.get(code, RegistryFailure)
        # That something is not there is believed of a registry that works.
        return RegistryFailure if kind is NotFound and method in _READS else kind
    return _BY_STATUS.get(status, RegistryFailure)


def _message(
    kind: type[LadingError], status: int, code: str, method: str, registry: str, what: str
) -> tuple[str, str | None]:
    refuses = f"{registry} did not {'give out' if method in _READS else 'accept'} {what}"
    if kind is NotFound:
        if code == "MANIFEST_BLOB_UNKNOWN":
            return f"{what} refers to content that {registry} does not have", None
        if code in {"BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID"}:
            return f"{registry} no longer knows the upload of {what}", None
        return f"{what} was not found", None
    if kind is ProxyLogin:
        message = f"a proxy before {registry} asks for a login"
        return message, "put the login into the proxy's address, in HTTPS_PROXY or HTTP_PROXY"
    if kind is RateLimited:
        return f"{registry} asks for fewer requests", "try again later, or log in: limits are often higher then"
    if code in {"NAME_INVALID", "TAG_INVALID"} and kind is Unsupported:
        return f"{registry} does not take the name {what}", "choose a name that its rules allow"
    if status in {406, 415}:
        return f"{registry} does not take {what} in its format", "convert it: some registries take only Docker's format"
    if kind is Unsupported:
        return f"{registry} does not support {method} of {what}", "it has to be allowed where the registry runs"
    if status == 413:
        remedy = "a proxy before the registry, or the registry itself, has to allow more in one request"
        return f"{what} is too large for {registry}, or for a proxy before it", remedy
    if kind is RegistryFailure:
        if status in _PASSING or status < 400:
            later = "try again later; " if status in _PASSING else ""
            return f"{registry} failed to answer for {what}", f"{later}the registry's own log may say more"
        return refuses, "the registry's own log may say more"
    if kind is Conflict:
        return refuses, "see what is there now"
    if kind is Denied:
        return refuses, "ask who runs the registry to allow it"
    return refuses, "the registry's own log may say more; some registries take only what they know the media types of"


_CODES: Mapping[tuple[type[LadingError], str], str] = {
    (Conflict, ""): "not-accepted",
    (InvalidContent, "413"): "too-large",
    (NotFound, "MANIFEST_BLOB_UNKNOWN"): "content-missing",
    (NotFound, "BLOB_UPLOAD_UNKNOWN"): "upload-lost",
    (NotFound, "BLOB_UPLOAD_INVALID"): "upload-lost",
    (Unsupported, "NAME_INVALID"): "name-not-accepted",
    (Unsupported, "TAG_INVALID"): "name-not-accepted",
    (Unsupported, "406"): "format-not-accepted",
    (Unsupported, "415"): "format-not-accepted",
}
"""Cases of one kind, by the registry's code or the status; `""` for any."""


def _cause(status: int, words: Said, *, always: bool = False) -> str:
    """What was answered, in words; `always` with its status."""
    if status < 300 and not (status == 200 and str(words)):
        return f"HTTP {status} was not expected"
    if status == 404:  # its detail repeats what was asked for
        words = structs.replace(words, detail="")
    text = str(words)
    if status in {401, 403, 404} and text and not always:
        return text
    return f"HTTP {status}: {text}" if text else f"HTTP {status}"


def _from_document(document: Any) -> Said:
    if not isinstance(document, dict):
        return Said()
    errors = document.get("errors")
    if isinstance(errors, list):
        found = [_from_error(error) for error in errors[:_ERRORS_LIMIT] if isinstance(error, dict)]
        if found:
            first, *others = sorted(dict.fromkeys(found), key=_vagueness)
            return structs.replace(first, others=tuple(other for other in others if _vagueness(other) < _SAYS_NOTHING))
    for key in ("message", "error_description", "error", "details", "detail"):
        if text := _text(document.get(key)):
            return Said("", clean(text))
    return Said()


def _from_error(error: dict[str, Any]) -> Said:
    code = clean(_text(error.get("code")), 60)
    return Said(code, clean(_text(error.get("message"))), clean(_detail(error.get("detail")), 100))


_ERRORS_LIMIT = 100
"""How many errors of one answer are read."""
_SAYS_NOTHING = 4


def _vagueness(error: Said) -> int:
    """How little an error says: the least of several is told first."""
    if error.code in _VAGUE:
        return 2
    if error.code in {"UNKNOWN", ""}:
        says_nothing = not error.detail and error.message.lower() in {"", "unknown", "unknown error"}
        return _SAYS_NOTHING if says_nothing else 3
    return 0 if error.code in _BY_CODE else 1


def _digests(text: str) -> list[str]:
    return re.findall(r"sha\d+:[0-9a-f]{32,}", text)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _detail(detail: Any) -> str:
    """A detail worth showing: a short text, or an object with nothing but texts and numbers."""
    if isinstance(detail, dict):
        pairs = [f"{key}: {value}" for key, value in detail.items() if isinstance(value, str | int) and value != ""]
        detail = ", ".join(pairs) if len(pairs) == len(detail) else ""
    return detail if isinstance(detail, str) and len(detail) <= 100 else ""
