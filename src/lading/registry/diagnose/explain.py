"""How access to a registry comes about, or why it does not, step by step.

Tries what every command does, with nothing remembered, and tells what happened. No secret is in what it tells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import msgspec

from lading.errors import Denied, LadingError, NotFound, Unsupported, discreet
from lading.model.document import Result
from lading.model.media_types import ACCEPT
from lading.registry.auth.credentials import Credentials, Offer
from lading.registry.auth.lookup import KnownCredentials
from lading.registry.auth.scopes import Scope, Token, granted
from lading.registry.call import PING, is_doubtful
from lading.registry.masking import masked
from lading.registry.quirks import hosted

if TYPE_CHECKING:
    from lading.registry.auth.challenge import Challenge
    from lading.registry.session import Session

AccessOutcome = Literal["allowed", "allowed in part", "denied", "not found", "failed"]
SourceState = Literal["answers", "refused", "failed", "nothing", "absent", "not asked"]


class SourceReport(Result, msgspec.Struct, kw_only=True):
    """One of the places that credentials are looked for in."""

    name: str
    """What it is, such as `Docker's config.json`."""
    place: str
    """Where it is: a path, a variable, a helper."""
    state: SourceState
    """`answers`: its credentials are taken. `refused`: they were, and the registry did not take them."""
    detail: str = ""
    """Why, in words."""
    key: str | None = None
    """What the credentials are kept under."""
    username: str | None = None
    """Whose they are; empty for a token without a name."""
    kind: str | None = None
    """`password`, `identity token` or `registry token`."""


class ChallengeReport(Result, msgspec.Struct, kw_only=True):
    """What a registry asks for."""

    scheme: str
    """`basic` or `bearer`."""
    realm: str
    """For `bearer`, the token service."""
    service: str
    """For `bearer`, what the token service knows the registry as."""


class TokenReport(Result, msgspec.Struct, kw_only=True):
    """What a token service gave."""

    account: str
    """To whom; empty for anybody."""
    asked: list[str]
    """The scopes that were asked for."""
    granted: list[str] | None
    """Those that the token says it allows; None where it does not say."""
    expires: datetime
    """When lading stops using it, a little before its end."""


class Explanation(Result, msgspec.Struct, kw_only=True):
    """How access to a registry or a repository comes about, or why it does not."""

    document_fields: ClassVar[tuple[str, ...]] = (
        "subject",
        "registry",
        "repository",
        "known_as",
        "outcome",
        "missing",
        "request",
        "cause",
        "remedy",
        "sources",
        "reason",
        "shown",
        "challenge",
        "token",
        "remembered",
    )

    subject: str
    """What was asked about."""
    registry: str
    repository: str | None
    known_as: str
    """What the registry is, where it is one that lading knows; else empty."""
    outcome: AccessOutcome
    missing: list[str]
    """What of the scopes that were asked for the token does not allow."""
    request: str
    """The request that was tried."""
    cause: str | None
    """Why it was not allowed."""
    remedy: str | None
    """What to do next."""
    code: str | None
    """Which case it is, as in `LadingError.code`; None where access is allowed."""
    fields: dict[str, Any]
    """What `remedy` is about, as in `LadingError.fields`."""
    sources: list[SourceReport]
    """Every place that credentials are looked for in, in their order."""
    reason: str | None
    """Why the credentials that were taken were."""
    shown: bool
    """Whether the registry was shown credentials, or a token that was given for them, with the last request."""
    challenge: ChallengeReport | None
    """What the registry asks for; None where it asks for nothing, or was not reached."""
    token: TokenReport | None
    """What its token service gave."""
    remembered: datetime | None
    """When the last token ends that an earlier run left behind for these credentials."""


async def explain(
    session: Session,
    registry: str,
    repository: str | None = None,
    *,
    name: str | None = None,
    scopes: Sequence[Scope] = (),
) -> Explanation:
    """Try to get access, and tell how it went.

    Args:
        session: its configuration and its credentials are used; its cache is only looked at.
        registry: its name.
        repository: the path in it; None for the registry as a whole.
        name: a tag or digest in the repository, to be asked for.
        scopes: what is wanted there.

    Raises:
        UsageError: a file that may have credentials is corrupt, and none that comes before it has any.
    """
    method, path = _request(repository, name)
    subject = f"{registry}/{repository}" if repository else registry
    credentials = session.attempts(registry).credentials
    async with session.with_credentials(credentials) as trial:
        trial.on_note = None  # it is all in what is returned
        failure = await _tried(trial, method, registry, path, scopes, subject)
        if method == "HEAD" and failure is not None and is_doubtful(failure):
            method = "GET"
            failure = await _tried(trial, method, registry, path, scopes, subject)
        authenticator = trial.authenticator(registry)
        attempts = trial.attempts(registry)
        refused = [(one.credential.proof, trial.discreet(one.words)) for one in attempts.refused]
        sources, chosen = await _sources(credentials, registry, repository, refused)
        credential = await attempts.credential(repository) if not isinstance(failure, Denied) else None
    challenge = authenticator.challenge
    tokens = authenticator.tokens
    missing = _missing(tokens[-1], scopes) if tokens else []
    whose = credential.proof if credential is not None else None
    remembered = [token.expires for token in session.cache.host(registry).tokens(whose) if token.allows(scopes)]
    return Explanation(
        subject=subject if name is None else _named(subject, name),
        registry=registry,
        repository=repository,
        known_as=hosted(registry).name,
        outcome=_outcome(failure, missing),
        missing=missing,
        request=f"{method} {trial.url(registry)}{path}",
        cause=None if failure is None else _cause(failure),
        **_remedy(failure, registry, is_missing=bool(missing), is_refused=bool(refused)),
        sources=sources,
        reason=chosen,
        shown=authenticator.last.shows_credentials,
        challenge=None if challenge is None else _challenge(challenge, trial.discreet),
        token=_token(tokens[-1]) if tokens else None,
        remembered=datetime.fromtimestamp(max(remembered), UTC) if remembered else None,
    )


async def _tried(
    session: Session, method: str, registry: str, path: str, scopes: Sequence[Scope], what: str
) -> LadingError | None:
    """Why a request failed; None where it did not."""
    # Without it, docker-registry says of an OCI manifest that it is not there.
    headers = {"Accept": ", ".join(ACCEPT)} if "/manifests/" in path else {}
    try:
        async with session.request(method, registry, path, headers=headers, scopes=scopes, what=what):
            return None
    except LadingError as error:
        return error


async def token(session: Session, registry: str, repository: str | None, scopes: Sequence[Scope]) -> Token:
    """A Bearer token that a registry takes.

    Args:
        session: gets it, or has it.
        registry: the registry's name.
        repository: the path in it; None for the registry as a whole.
        scopes: what it is to allow.

    Raises:
        Unsupported: the registry asks for no token.
        Denied: its token service gives none.
    """
    method, path = _request(repository, None)
    subject = f"{registry}/{repository}" if repository else registry
    authenticator = session.authenticator(registry)
    async with session.request(method, registry, path, scopes=scopes, accept=_ANY, what=subject):
        pass
    if authenticator.challenge is None:
        async with session.request("GET", registry, PING, what=registry):
            pass  # else it is no registry at all
        if session.authenticator(registry).challenge is not None:  # it names the way there alone
            async with session.request(method, registry, path, scopes=scopes, accept=_ANY, what=subject):
                pass
    for known in reversed(authenticator.tokens):
        if known.allows(scopes):
            return known
    asks = "a user name and a password" if authenticator.challenge is not None else "nothing"
    raise Unsupported(
        f"{registry} gives no tokens",
        cause=f"it asks for {asks}",
        remedy="an explanation tells how access comes about",
        code="no-token",
        fields={"registry": registry, "subject": subject},
    )


_ANY = tuple(status for status in range(200, 600) if status not in (401, 403))


def _request(repository: str | None, name: str | None) -> tuple[str, str]:
    """The request that shows whether there is access, and costs the registry little."""
    if repository is None:
        return "GET", PING
    return (
        ("GET", f"/v2/{repository}/tags/list?n=1") if name is None else ("HEAD", f"/v2/{repository}/manifests/{name}")
    )


def _remedy(failure: LadingError | None, registry: str, *, is_missing: bool, is_refused: bool) -> dict[str, Any]:
    """What to do next, and which case it is."""
    if failure is not None:
        # This is the explanation that the error may point to.
        return {"remedy": failure.remedy, "code": failure.code, "fields": failure.fields | {"subject": None}}
    if is_missing:
        remedy = "ask who owns the repository to let you do that, or log in as somebody who may"
        return {"remedy": remedy, "code": "allowed-in-part", "fields": {"registry": registry}}
    if is_refused:
        remedy = f"log in to {registry} again, or give other credentials"
        return {"remedy": remedy, "code": "credentials-refused", "fields": {"registry": registry, "subject": None}}
    return {"remedy": None, "code": None, "fields": {}}


def _cause(failure: LadingError) -> str:
    """Why it was not allowed; a host that is no registry is said to be none first."""
    return str(failure) if failure.code == "no-registry" else failure.cause or failure.message


def _outcome(failure: LadingError | None, missing: Sequence[str]) -> AccessOutcome:
    if failure is None:
        return "allowed in part" if missing else "allowed"
    if isinstance(failure, Denied):
        return "denied"
    return "not found" if isinstance(failure, NotFound) else "failed"


def _missing(token: Token, scopes: Sequence[Scope]) -> list[str]:
    """What of some scopes a token does not allow, as far as it says."""
    allowed = granted(token)
    if allowed is None:
        return []
    parts = [scope._replace(actions=(action,)) for scope in scopes for action in scope.actions]
    return [str(part) for part in parts if not any(scope.covers(part) for scope in allowed)]


def _named(subject: str, name: str) -> str:
    """A repository with a tag or digest in it."""
    return f"{subject}@{name}" if ":" in name else f"{subject}:{name}"


def _challenge(challenge: Challenge, without: Callable[[str], str]) -> ChallengeReport:
    """A challenge in a registry's words, `without` what it may repeat of secrets."""
    realm = without(masked(discreet(challenge.realm)))
    return ChallengeReport(scheme=challenge.scheme, realm=realm, service=without(challenge.service))


def _token(token: Token) -> TokenReport:
    allowed = granted(token)
    return TokenReport(
        account=token.account,
        asked=[str(scope) for scope in token.scopes],
        granted=None if allowed is None else [str(scope) for scope in allowed],
        expires=datetime.fromtimestamp(token.expires, UTC),
    )


async def _sources(
    credentials: Credentials | None,
    registry: str,
    repository: str | None,
    refused: Sequence[tuple[tuple[str, ...], str]],
) -> tuple[list[SourceReport], str | None]:
    """What each source has to say, in their order; and why the one that is taken is."""
    if not isinstance(credentials, KnownCredentials):
        return [], None
    reports: dict[tuple[int, str], SourceReport] = {}
    offers = list(credentials.offers(registry, repository))
    answered: Offer | None = None
    stopped = False
    for source, offer in offers:
        where = (id(source), offer.place)
        report = SourceReport(name=source.name, place=offer.place, state="not asked", key=offer.key)
        if answered is not None or stopped:
            reports.setdefault(where, report)
            continue
        await _load(offer, report, refused)
        stopped = report.state == "failed"
        answered = offer if report.state == "answers" else None
        known = reports.get(where)
        if known is None or known.state in ("nothing", "not asked"):
            reports[where] = report
    return _in_order(credentials, registry, reports), _reason(answered, [offer for _, offer in offers], repository)


async def _load(offer: Offer, report: SourceReport, refused: Sequence[tuple[tuple[str, ...], str]]) -> None:
    """Get the credentials of an offer, and write into its report what came of that."""
    try:
        credential = await offer.load()
    except LadingError as error:
        report.state, report.detail = "failed", error.cause or error.message
        return
    if credential is None:
        report.state, report.detail = "nothing", f"nothing under {offer.key}"
        return
    report.username, report.kind = credential.username, credential.kind
    words = next((words for proof, words in refused if proof == credential.proof), None)
    report.state = "answers" if words is None else "refused"
    report.detail = words or ""


def _in_order(
    credentials: KnownCredentials, registry: str, reports: dict[tuple[int, str], SourceReport]
) -> list[SourceReport]:
    listed = []
    for source in credentials.sources:
        own = [report for (known, _), report in reports.items() if known == id(source)]
        if own:
            listed += own
            continue
        absence = source.absence(registry)
        listed.append(
            SourceReport(
                name=source.name,
                place=source.place,
                state="absent" if absence else "nothing",
                detail=absence or f"nothing for {registry}",
            )
        )
    return listed


def _reason(answered: Offer | None, offers: Sequence[Offer], repository: str | None) -> str | None:
    if answered is None:
        return None
    if len(offers) == 1:
        return "no other place has any"
    if answered.depth and any(offer.depth < answered.depth for offer in offers):
        return f"its key, {answered.key}, names most of {repository}"
    return (
        "of those that have some, its place comes first" if offers[0] is answered else "those before it cannot be used"
    )
