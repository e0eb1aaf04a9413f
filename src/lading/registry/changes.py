"""What came of a change whose answer leaves that open, or says less than is known: it is looked at, and told.

A registry, or a proxy before it, may carry a request out and answer that it failed; its answer may get lost; what it
stored may be something else. Then a look decides. This module knows errors and manifests, and sends nothing itself.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from lading.errors import DigestMismatch, InvalidContent, LadingError, NotFound, Unsupported
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.registry.failures import is_passing
from lading.registry.http.transport import ConnectionBroken
from lading.registry.masking import masked
from lading.store import AnyManifest

Look = Callable[[], Awaitable[Digest | None]]
"""Reads what a name stands for now: the digest of its bytes, or None where there is nothing."""

_URLS_REFUSED = "(?i)invalid url on layer|missing url"


async def explained(error: LadingError, name: str, wanted: Digest | None, look: Look) -> LadingError | None:
    """The error of a change, with what is there now where that is in doubt; None where what was wanted is there.

    Args:
        error: what came of the change.
        name: the tag or the digest that it was about, as it is called in messages.
        wanted: what it was to stand for; None where it was to be removed.
        look: reads what it stands for.
    """
    if not _is_doubtful(error):
        return error
    if wanted is None and isinstance(error, NotFound):
        return None  # an earlier try removed it
    try:
        now = await look()
    except LadingError as unknown:
        error.cause = _joined(error.cause, f"what {name} names now could not be found out: {unknown.message}")
        return error
    # A digest stands for the same for ever; of a tag only that is taken for done which the registry does not deny.
    if wanted is not None and now == wanted and (error.code == "immutable" or "@" in name):
        return None
    if now is None:
        seen = f"{name} is {'gone' if wanted is None else 'not there'} now"
    else:
        seen = f"{name} is there now" if "@" in name else f"{name} names {now} now"
    if now == wanted:
        seen += ", as was wanted"
        if isinstance(error, DigestMismatch):
            error.message = f"{name} was answered with a digest that it does not have"
            error.args = (error.message,)
        error.remedy = "nothing more has to be done; the registry's own log may say why it answers so"
    error.cause = _joined(error.cause, seen)
    error.fields |= {"name": name, "names": now}
    return error


def of_foreign_layers(error: LadingError, manifest: AnyManifest, registry: str, name: str) -> LadingError:
    """The error of a manifest that was refused, which names the layers that are kept elsewhere where they are why.

    Args:
        error: what came of putting the manifest.
        manifest: what was sent.
        registry: where to.
        name: the tag or digest that it was to have, as it is called in messages.
    """
    unknown = error.fields.get("unknown", ())
    named = bool(re.search(_URLS_REFUSED, error.cause or ""))
    foreign = [child for child in manifest.children if child.urls and (named or child.digest in unknown)]
    if not foreign:
        return error
    layer: Descriptor = foreign[0]
    more = f" and {len(foreign) - 1} more" if foreign[1:] else ""
    return Unsupported(
        f"{registry} takes no layer of {name} that is kept elsewhere: {layer.digest} at {masked(layer.urls[0])}{more}",
        cause=error.cause,
        remedy="its rule for addresses has to allow that one: validation.manifests.urls.allow, in docker-registry's "
        "configuration",
        code="foreign-layer",
        fields={"registry": registry, "what": name, "digests": [child.digest for child in foreign]},
        status=error.status,
        registry_code=error.registry_code,
    )


def _is_doubtful(error: LadingError) -> bool:
    """Whether a change may have been made although this came of it."""
    return (
        error.retries > 0
        or isinstance(error, ConnectionBroken | DigestMismatch)
        or error.code == "immutable"
        or (is_passing(error) and error.status != 429)
        or (isinstance(error, InvalidContent) and error.registry_code == "DIGEST_INVALID")
    )


def _joined(cause: str | None, more: str) -> str:
    return f"{cause.rstrip('.')}; {more}" if cause else more
