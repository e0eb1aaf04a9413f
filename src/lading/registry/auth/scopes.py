"""Registries, what is in them, and what is wanted there, as people write them."""

from __future__ import annotations

from collections.abc import Iterable

from lading.arguments import several
from lading.errors import InvalidReference, UsageError
from lading.model.reference import Reference
from lading.registry.auth.authentication import Scope
from lading.registry.hosts.settings import DOCKER_HUB


def parse_registry(text: str) -> str:
    """The host of a registry from its name, or from the URL form that Docker keeps.

    Raises:
        InvalidReference: the text has more than a host.
    """
    host = text.removeprefix("https://").removeprefix("http://").rstrip("/")
    host = host.removesuffix("/v1").removesuffix("/v2")
    if host in DOCKER_HUB:
        return DOCKER_HUB[0]
    # A name without a dot or a port would be a part of Docker Hub's in a reference, and is a host here.
    named = host if "." in host or ":" in host else f"{host}:443"
    try:
        parsed = Reference.parse(f"{named}/x/x")
    except InvalidReference:
        parsed = None
    if parsed is None or parsed.repository != "x/x":
        raise InvalidReference(f"{text!r} is not a registry", cause="expected HOST[:PORT]")
    return host if named != host else parsed.registry


def parse_key(text: str) -> tuple[str, str]:
    """The registry, and the namespace or repository in it, that credentials are kept for; the latter may be empty.

    Raises:
        InvalidReference: the text is neither.
    """
    bare = text.removeprefix("https://").removeprefix("http://").rstrip("/")
    host, _, path = bare.partition("/")
    registry = parse_registry(host)
    if not path or path in ("v1", "v2"):
        return registry, ""
    is_host = "." in host or ":" in host or host == "localhost"
    found = Reference.parse_repository(f"{registry}/{path}") if is_host else None
    if found is None or found.tag or found.digest or not found.repository.endswith(path):
        raise InvalidReference(f"{text!r} is not a registry", cause="expected HOST[:PORT], or HOST[:PORT]/NAMESPACE")
    return registry, path


def parse_subject(subject: Reference | str) -> tuple[str, str | None, str | None]:
    """The registry, the repository and the tag or digest that somebody wants access to.

    A text without a slash is a registry where it looks like a host: it has a dot in its name, or is `localhost`.
    """
    if isinstance(subject, str):
        host = subject.partition(":")[0]
        if "/" not in subject and "@" not in subject and ("." in host or host == "localhost" or host.startswith("[")):
            return parse_registry(subject), None, None
        bare = Reference.parse_repository(subject)
        return bare.registry, bare.repository, bare.digest or bare.tag
    return subject.registry, subject.repository, subject.locator


def parse_scopes(texts: Iterable[str] | str, repository: str | None) -> tuple[Scope, ...]:
    """What a token is to allow, from actions (`pull,push`) and whole scopes (`repository:a/b:pull`).

    Args:
        texts: those; none for pulling.
        repository: what actions are about; None for nothing.

    Raises:
        UsageError: a text is neither, or there is nothing that its actions are about.
    """
    scopes = []
    for text in several(texts) or (("pull",) if repository else ()):
        scope = Scope.parse(text)
        if scope is None and ":" not in text and text and repository:
            scope = Scope(repository, tuple(action for action in text.split(",") if action))
        if scope is None:
            raise UsageError(f"{text!r} is not a scope", cause="expected actions (pull,push) or KIND:NAME:ACTIONS")
        scopes.append(scope)
    return tuple(scopes)
