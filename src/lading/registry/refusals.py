"""Whose a refusal is: the registry's, that of a host it sent the request to, or of something that is no registry.

It makes the errors of requests, and sends nothing.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from lading.errors import LadingError
from lading.registry import failures, urls
from lading.registry.auth.authentication import Authorization
from lading.registry.auth.scopes import repository_of
from lading.registry.call import Call
from lading.registry.failures import Refusal
from lading.registry.http.transport import Response
from lading.registry.quirks import hosted

NO_ANSWERS = frozenset({404, 405, 410, 501})
"""The statuses that no registry answers with at `/v2/`."""
_NEVER_HTML = r"/v2/(?:|_catalog|.+/tags/list|.+/manifests/[^/]+)"


async def is_web_page(response: Response, call: Call) -> bool:
    """Whether an answer that should be a list or a manifest is a page for people: a login, or another server."""
    is_document = call.method == "GET" and re.fullmatch(_NEVER_HTML, urlsplit(call.path).path)
    return bool(is_document) and await is_page(response)


async def is_page(response: Response) -> bool:
    """Whether an answer is a page for people, by its type and its first character."""
    return response.is_html and (bool(response.coding) or (await response.peek()).lstrip()[:1] == b"<")


async def is_strange(response: Response, ping: Call) -> bool:
    """Whether an answer at `/v2/` is none of a registry."""
    return response.status in NO_ANSWERS or await is_web_page(response, ping)


def of_stranger(call: Call, refusal: Refusal) -> LadingError:
    """The error of a host that is no registry."""
    answered = str(failures.said(refusal.body)) or "nothing more"
    return failures.no_registry(call.host.name, f"it answered HTTP {refusal.status}: {answered}")


def elsewhere(call: Call, response: Response, refusal: Refusal) -> LadingError:
    """The error of a request that failed at another host, to which its registry sent it."""
    there = urls.origin(response.url).netloc
    return failures.elsewhere(refusal, registry=call.host.name, host=there, what=call.what)


def failed(call: Call, refusal: Refusal, after: float | None) -> LadingError:
    """The error of a request that its registry refused for another reason than credentials.

    Args:
        call: the request.
        refusal: the answer.
        after: how many seconds the registry asks to wait, if it does.
    """
    failure = failures.failure(refusal, method=call.method, registry=call.host.name, what=call.what)
    failure.retry_after = after
    if missing := call.missing_repository(failure):
        failure.message = f"{call.host.name} has no repository {missing}"
        failure.remedy = f"make it first: {hosted(call.host.name).how_to_make(missing)}"
        failure.code = "repository-missing"
        failure.fields |= {"repository": missing, "command": hosted(call.host.name).how_to_make(missing)}
    if after:
        failure.cause = f"{(failure.cause or '').rstrip('.')}; it asks to wait {after:.0f} seconds"
    if 300 <= refusal.status < 400:
        failure.cause = f"HTTP {refusal.status}: it redirects a request that cannot be sent elsewhere"
    return failure


async def denied(call: Call, refusal: Refusal, shown: Authorization | None, *, is_given: bool) -> LadingError:
    """The error of a request that was not allowed, or that there was no room for.

    Args:
        call: the request.
        refusal: the answer.
        shown: what the request showed; None where it was a token service that refused what it was shown.
        is_given: whether the credentials were given for this request.
    """
    host = call.host
    repository = repository_of(call.scopes)
    reason = await host.attempts.why_denied(
        repository,
        shown=shown is None or shown.shows_credentials,
        refused=shown is None or (shown.credential is not None and refusal.status == 401),
    )
    return failures.denied(
        refusal,
        method=call.method,
        what=call.what,
        registry=host.name,
        wanted=str(call.scopes[0]) if call.scopes else call.what,
        reason=reason,
        repository=repository,
        is_given=is_given,
    )
