"""Examining a registry: how it is reached, its TLS, its authentication, and what it supports.

It reads only, unless a repository is named for writing; what is written there is taken back, and every step says what
to do where it fails.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Literal

import msgspec

from lading.errors import Denied, InvalidContent, LadingError, NotFound, Unreachable
from lading.model.document import Result
from lading.model.index import Index
from lading.model.manifest import Manifest
from lading.model.media_types import OCI_INDEX
from lading.registry import urls
from lading.registry.auth.challenge import parse_challenges
from lading.registry.auth.scopes import CATALOG, Scope
from lading.registry.diagnose.tls_probe import Handshake, ServerCertificate, look_at
from lading.registry.failures import clean, no_registry
from lading.registry.hosts.proxies import masked
from lading.registry.http.transport import Response
from lading.registry.quirks import hosted
from lading.registry.refusals import NO_ANSWERS
from lading.registry.repository import Repository
from lading.registry.session import Session
from lading.registry.urls import continuation

Verdict = Literal["ok", "no", "unknown", "warning", "failed"]

SKEW = 60.0
"""How far clocks may be apart before it is said, in seconds: tokens live as short as that."""
_SOON = 21 * 86400
_NOTHING = "sha256:" + "0" * 64
"""A digest that no content has."""
_ANY = range(200, 500)


class Examined(Result, msgspec.Struct, frozen=True):
    """One thing that was examined."""

    document_fields: ClassVar[tuple[str, ...]] = ("name", "state", "said", "remedy")

    name: str
    """What was examined."""
    state: Verdict
    """`ok`; `no` for what is not supported; `unknown` for what cannot be told by reading; `warning`; `failed`."""
    said: str
    """What was found."""
    remedy: str | None = None
    """What to do about it."""
    code: str | None = None
    """Which case it is, as in `LadingError.code`, where there is more to say of what to do."""
    fields: dict[str, Any] = {}
    """What it is about, as in `LadingError.fields`."""


class Checkup(Result, msgspec.Struct):
    """What was found out about a registry."""

    registry: str
    """The registry."""
    url: str
    """Its address, with the scheme that it speaks."""
    findings: list[Examined] = []
    """What was examined, in this order."""
    certificate: ServerCertificate | None = None
    """The certificate that it shows; null without TLS."""
    exit_code: int = 0
    """What the command ends with: 0, or the exit code of the first failure."""

    def add(
        self,
        name: str,
        state: Verdict,
        said: str,
        remedy: str | None = None,
        *,
        code: str | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        """Note what was found."""
        self.findings.append(Examined(name, state, said, remedy, code, dict(fields or {})))

    def fail(self, name: str, error: LadingError) -> None:
        """Note that something failed."""
        said = f"{error.message}: {error.cause}" if error.cause else error.message
        self.add(name, "failed", said, error.remedy, code=error.code, fields=error.fields)
        self.exit_code = self.exit_code or error.exit_code


async def check(session: Session, registry: str, repository: str | None = None, *, write: bool = False) -> Checkup:
    """Examine a registry.

    Args:
        session: carries the requests; its configuration and its credentials are what is examined.
        registry: the registry's name.
        repository: a repository of it, to ask in.
        write: whether uploads may be begun in `repository`, and the deletion of what is not there be asked for.
            Nothing of it stays.

    Returns:
        What was found; a registry that cannot be reached is a finding, too.

    Raises:
        UsageError: what is configured is not valid.
    """
    report = Checkup(registry=registry, url=session.url(registry))
    answer = await _reach(session, registry, report)
    report.url = session.url(registry)
    await _examine_tls(session, registry, report)
    if answer is None:
        return report
    _judge_api(answer, report)
    _judge_clock(answer, report)
    if await _log_in(session, registry, answer, report):
        examined = Repository(session, registry, repository or "lading/check", writing=write)
        await _examine_catalog(session, registry, report)
        await _examine_referrers(examined, repository is not None, report)
        if write and repository is not None:
            await _examine_writing(examined, report)
        else:
            await _ask_for_methods(examined, report)
            report.add("mount", "unknown", "only writing can tell")
            report.add(
                "chunks",
                "unknown",
                "only writing can tell",
                "allow writing",
                code="writing-needed",
                fields={"registry": registry, "repository": repository},
            )
    return report


class _FirstAnswer(msgspec.Struct):
    """What came for `GET /v2/`, and when, in seconds since the epoch."""

    status: int
    headers: list[tuple[str, str]]
    before: float
    after: float

    def get(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")


async def _reach(session: Session, registry: str, report: Checkup) -> _FirstAnswer | None:
    before = time.time()
    try:
        async with session.bare("GET", registry, "/v2/") as response:
            answer = _FirstAnswer(response.status, list(response.headers), before, time.time())
    except LadingError as error:
        report.fail("reach", error)
        return None
    url = session.url(registry)
    proxy = session.route(registry).proxy(url)
    way = f", through the proxy {masked(proxy)}" if proxy else ""
    if url.startswith("http:") and not urls.is_loopback(urls.origin(url).host):
        report.add("reach", "warning", f"{url}{way}: plain HTTP, everybody on the way can read it")
    else:
        report.add("reach", "ok", f"{url}{way}")
    return answer


async def _examine_tls(session: Session, registry: str, report: Checkup) -> None:
    if not report.url.startswith("https:"):
        report.add("tls", "no", "it speaks plain HTTP")
        report.add("http/2", "no", "it needs TLS here")
        return
    route = session.route(registry)
    if route.https_proxy is not None and not route.https_proxy.startswith("http"):
        report.add("tls", "unknown", "it cannot be looked at through a SOCKS proxy")
        return
    try:
        handshake = await look_at(session.address(registry), route)
    except Unreachable as error:
        if report.findings[-1].state != "failed":
            report.fail("tls", error)
        return
    report.certificate = handshake.certificate
    _judge_certificate(handshake, report, is_refused=report.findings[-1].state == "failed", is_ignored=route.insecure)
    said = "it is spoken" if handshake.http2 else "HTTP/1.1 only: a connection for each request under way"
    report.add("http/2", "ok" if handshake.http2 else "no", said)


def _judge_certificate(handshake: Handshake, report: Checkup, *, is_refused: bool, is_ignored: bool) -> None:
    certificate = handshake.certificate
    if certificate is None:
        report.add("tls", "warning", f"{handshake.version}, without a certificate")
        return
    left = certificate.not_after.timestamp() - time.time()
    chain = " ← ".join(clean(name, 100) for name in certificate.chain)
    signed = f"{chain}, signed by itself" if len(certificate.chain) == 1 else chain
    expiry = certificate.not_after.date().isoformat()
    said = f"{handshake.version}; {signed}; {'expired' if left < 0 else 'valid until'} {expiry}"
    if certificate.names:
        said += f"; for {', '.join(clean(name, 100) for name in certificate.names[:8])}"
    if is_refused:
        report.add("tls", "warning" if left > 0 else "failed", said, "renew it" if left < 0 else None)
    elif is_ignored:
        trust = "give its authorities: ca_file in lading's config.toml"
        report.add("tls", "warning", f"{said}; not verified", trust, code="unverified-certificate")
    elif left < _SOON:
        report.add("tls", "warning", said, f"renew it: {max(0, int(left // 86400))} days are left")
    else:
        report.add("tls", "ok", said)


def _judge_api(answer: _FirstAnswer, report: Checkup) -> None:
    version = clean(answer.get("docker-distribution-api-version"), 50)
    if answer.status == 200 and answer.get("content-type").lower().startswith("text/html") and not version:
        report.fail("api", no_registry(report.registry, "it answered GET /v2/ with a web page"))
    elif answer.status in (200, 401, 403) or version:
        report.add("api", "ok", f"it answers as a registry does{f' ({version})' if version else ''}")
    elif answer.status == 429:
        report.add("api", "warning", "it asks for fewer requests")
    elif answer.status in NO_ANSWERS:
        report.fail("api", no_registry(report.registry, f"it answered GET /v2/ with HTTP {answer.status}"))
    else:
        error = InvalidContent(
            f"GET /v2/ was answered with HTTP {answer.status}", remedy="check that this is a registry, and its port"
        )
        report.fail("api", error)


def _judge_clock(answer: _FirstAnswer, report: Checkup) -> None:
    from email.utils import parsedate_to_datetime

    try:
        there = parsedate_to_datetime(answer.get("date")).timestamp()
    except (ValueError, TypeError, OverflowError):
        report.add("clock", "unknown", "it does not say what time it is")
        return
    # Its clock has whole seconds, and the answer took its time.
    skew = max(there - answer.after, answer.before - there - 1, 0)
    if skew <= SKEW:
        report.add("clock", "ok", "in step with this machine's")
        return
    which = "ahead of" if there > answer.after else "behind"
    report.add(
        "clock",
        "warning",
        f"{skew:.0f} seconds {which} this machine's: tokens may be refused",
        "set both by NTP",
    )


async def _log_in(session: Session, registry: str, answer: _FirstAnswer, report: Checkup) -> bool:
    challenges = parse_challenges([value for key, value in answer.headers if key == "www-authenticate"])
    asks = "it asks for nothing"
    if answer.status == 401:
        kinds = [
            f"{challenge.scheme} from {clean(challenge.realm, 200)}"
            if challenge.scheme == "bearer"
            else challenge.scheme
            for challenge in challenges
        ]
        asks = f"it asks for {' or '.join(kinds) or 'a login, without saying how'}"
    try:
        async with session.request("GET", registry, "/v2/", accept=(*range(200, 300), 404), what="access"):
            pass
    except LadingError as error:
        if not isinstance(error, Denied) and answer.status != 401:
            return answer.status < 500  # the finding about the API says it all
        report.fail("auth", error)
        return False
    report.add("auth", "ok", asks if answer.status != 401 else f"{asks}, and lets this machine in")
    return True


async def _examine_catalog(session: Session, registry: str, report: Checkup) -> None:
    try:
        async with session.request(
            "GET", registry, "/v2/_catalog", query=(("n", "1"),), scopes=(CATALOG,), what=f"the catalog of {registry}"
        ):
            report.add("catalog", "ok", "it lists its repositories")
    except Denied:
        report.add("catalog", "no", "it does not list its repositories to these credentials")
    except LadingError:
        report.add("catalog", "no", "it does not list its repositories")


async def _examine_referrers(repository: Repository, is_named: bool, report: Checkup) -> None:
    name = "referrers"
    retry: dict[str, Any] = {}
    if not is_named:
        retry = {"remedy": "name one", "code": "repository-needed", "fields": {"registry": repository.registry}}
    fallback = "it has no referrers API: what refers to an image is kept under a tag"
    try:
        async with _asked(repository, "GET", f"referrers/{_NOTHING}") as response:
            media_type = (response.headers.get("content-type") or "").partition(";")[0].strip()
            if response.status == 200 and media_type == OCI_INDEX:
                report.add(name, "ok", "it has the referrers API")
            elif response.status == 404 and not is_named and media_type == "application/json":
                report.add(name, "unknown", "a repository is needed to tell", **retry)
            elif response.status in (404, 405, 501):
                report.add(name, "no", fallback)
            else:
                report.add(name, "unknown", f"it answered HTTP {response.status}", **retry)
    except Denied:
        report.add(name, "unknown", "it does not allow the question", **retry)
    except LadingError as error:
        report.add(name, "unknown", error.message)


async def _ask_for_methods(repository: Repository, report: Checkup) -> None:
    allowed = ""
    try:
        async with _asked(repository, "OPTIONS", f"manifests/{_NOTHING}") as response:
            allowed = (response.headers.get("allow") or "").upper()
    except LadingError:
        pass
    if allowed and "DELETE" not in allowed:
        report.add("delete", "no", "it does not know how to delete")
    else:
        said = "it knows how to; only asking for it tells whether it does" if allowed else "only writing can tell"
        report.add("delete", "unknown", said)


async def _examine_writing(repository: Repository, report: Checkup) -> None:
    """What only a write can tell. Nothing of it stays: uploads are cancelled, and what is deleted is not there."""
    await _examine_chunks(repository, report)
    await _examine_mounts(repository, report)
    await _examine_deletion(repository, report)


async def _examine_chunks(repository: Repository, report: Checkup) -> None:
    location: str | None = None
    try:
        async with _asked(repository, "POST", "blobs/uploads/", body=b"") as response:
            location = _location(response)
            status = response.status
        quirks = hosted(repository.registry)
        if status == 404 and quirks.amazon is not None:
            there = repository.repository
            command = quirks.how_to_make(there)
            report.add(
                "chunks",
                "unknown",
                f"there is no repository {there}",
                f"make it first: {command}",
                code="repository-missing",
                fields={"registry": repository.registry, "repository": there, "command": command},
            )
            return
        if status != 202 or location is None:
            report.add("chunks", "no", f"it opens no upload (HTTP {status})")
            return
        for start, part in ((0, b"lading "), (7, b"was here")):
            span = {"Content-Range": f"{start}-{start + len(part) - 1}", "Content-Type": "application/octet-stream"}
            async with _asked(repository, "PATCH", location, body=part, headers=span) as response:
                status = response.status
                location = _location(response) or location
            if status not in (202, 204):
                report.add("chunks", "no", f"blobs go in one piece: it refuses parts (HTTP {status})")
                return
        report.add("chunks", "ok", "blobs can be sent in parts, and go on where they stopped")
    except LadingError as error:
        report.fail("chunks", error)
    finally:
        await _cancel(repository, location, report)


async def _examine_mounts(repository: Repository, report: Checkup) -> None:
    """Mount a blob of the repository into itself, where it is already."""
    try:
        digest = await _some_blob(repository)
        if digest is None:
            report.add("mount", "unknown", f"there is no image in {repository.name} to try it with")
            return
        query = (("mount", digest), ("from", repository.repository))
        async with _asked(repository, "POST", "blobs/uploads/", query=query, body=b"") as response:
            status, location = response.status, _location(response)
    except NotFound:
        report.add("mount", "unknown", f"there is no image in {repository.name} to try it with")
        return
    except LadingError as error:
        report.fail("mount", error)
        return
    if status == 201:
        report.add("mount", "ok", "blobs are taken from other repositories without being sent")
        return
    report.add("mount", "no", "blobs are sent again to each repository")
    if status == 202:
        await _cancel(repository, location, report)


async def _examine_deletion(repository: Repository, report: Checkup) -> None:
    quirks = hosted(repository.registry)
    wanted = (Scope(repository.repository, quirks.delete_actions),)
    for name, what, target in (
        ("delete", "manifests", _NOTHING),
        ("untag", "single tags", f"lading-check-{secrets.token_hex(8)}"),
    ):
        try:
            async with _asked(repository, "DELETE", f"manifests/{target}", scopes=wanted) as response:
                status = response.status
        except Denied as error:
            said = f"it does not let these credentials delete {what}"
            report.add(name, "no", said, error.remedy, code=error.code, fields=error.fields)
            continue
        except LadingError as error:
            report.fail(name, error)
            continue
        if status in (202, 404):
            report.add(name, "ok", f"{what} can be deleted")
        else:
            report.add(name, "no", f"it does not delete {what}", quirks.deletion if name == "delete" else None)


async def _some_blob(repository: Repository) -> str | None:
    async for tag in repository.tags():
        try:
            manifest = await repository.fetch(tag)
            if isinstance(manifest, Index) and manifest.manifests:
                manifest = await repository.fetch(manifest.manifests[0].digest)
        except (InvalidContent, NotFound):
            continue
        if isinstance(manifest, Manifest) and manifest.config is not None:
            return str(manifest.config.digest)
    return None


async def _cancel(repository: Repository, location: str | None, report: Checkup) -> None:
    if location is None:
        return
    try:
        async with _asked(repository, "DELETE", location) as response:
            gone = response.status in (200, 202, 204, 404)
    except LadingError:
        gone = False
    if not gone:
        report.add("upload", "warning", "an upload that was begun cannot be cancelled; the registry lets it expire")


@asynccontextmanager
async def _asked(
    repository: Repository,
    method: str,
    path: str,
    *,
    scopes: tuple[Scope, ...] = (),
    query: tuple[tuple[str, str], ...] = (),
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> AsyncIterator[Response]:
    push = method in ("POST", "PATCH") or (method == "DELETE" and not scopes)
    wanted = scopes or (Scope(repository.repository, ("pull", "push") if push else ("pull",)),)
    async with repository.session.request(
        method,
        repository.registry,
        path if "://" in path else f"/v2/{repository.repository}/{path}",
        scopes=wanted,
        query=query,
        headers=headers,
        body=body,
        accept=_ANY,
        what=repository.name,
    ) as response:
        yield response


def _location(response: Response) -> str | None:
    return continuation(response.url, response.headers.get("location"))
