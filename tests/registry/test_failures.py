"""What a registry's refusal means."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from lading.registry.failures import Reason, Refusal, advised, clean, denied, failure, full, said
from lading.registry.http import transport


def error(status: int, *errors: Any, body: bytes | None = None) -> LadingError:
    content = json.dumps({"errors": errors}).encode() if body is None else body
    return failure(Refusal(status, content), method="PUT", registry="r.example", what="r.example/a:1")


@pytest.mark.parametrize(
    "status, code, kind, message",
    [
        (400, "DIGEST_INVALID", InvalidContent, "r.example did not accept r.example/a:1"),
        (400, "MANIFEST_INVALID", InvalidContent, "r.example did not accept r.example/a:1"),
        (400, "TAG_INVALID", UsageError, "r.example did not accept r.example/a:1"),
        (400, "NAME_INVALID", UsageError, "r.example did not accept r.example/a:1"),
        (400, "UNSUPPORTED", Unsupported, "r.example does not support PUT of r.example/a:1"),
        (400, "MANIFEST_BLOB_UNKNOWN", NotFound, "r.example/a:1 refers to content that r.example does not have"),
        (400, "BLOB_UPLOAD_INVALID", NotFound, "r.example no longer knows the upload of r.example/a:1"),
        (400, "GOOGLE_MANIFEST_DANGLING_TAG", Conflict, "r.example did not accept r.example/a:1"),
        (400, "SOMETHING", RegistryFailure, "r.example failed to answer for r.example/a:1"),
        (404, "MANIFEST_UNKNOWN", NotFound, "r.example/a:1 was not found"),
        (404, "UNSUPPORTED", Unsupported, "r.example does not support PUT of r.example/a:1"),
        (405, "", Unsupported, "r.example does not support PUT of r.example/a:1"),
        (501, "", Unsupported, "r.example does not support PUT of r.example/a:1"),
        (409, "TAG_IMMUTABLE", Conflict, "r.example did not accept r.example/a:1"),
        (412, "", Conflict, "r.example did not accept r.example/a:1"),
        (416, "", Conflict, "r.example did not accept r.example/a:1"),
        (413, "SIZE_INVALID", InvalidContent, "r.example did not accept r.example/a:1"),
        (429, "TOOMANYREQUESTS", RateLimited, "r.example asks for fewer requests"),
        (500, "UNKNOWN", RegistryFailure, "r.example failed to answer for r.example/a:1"),
        (302, "", RegistryFailure, "r.example failed to answer for r.example/a:1"),
    ],
)
def test_status_and_code_say_what_it_is(status: int, code: str, kind: type[LadingError], message: str) -> None:
    found = error(status, {"code": code, "message": "because"})
    assert type(found) is kind
    assert found.message == message
    assert "because" in (found.cause or "")
    assert (found.status, found.registry_code) == (status, code or None)


def test_the_registrys_words_are_in_the_cause() -> None:
    found = error(400, {"code": "MANIFEST_INVALID", "message": "manifest invalid", "detail": "no config"})
    assert found.cause == "HTTP 400: manifest invalid: no config"
    found = error(404, {"code": "NAME_UNKNOWN", "message": "no such repository", "detail": {"name": "a"}})
    assert found.cause == "name unknown: no such repository"
    assert error(404, body=b"").cause == "HTTP 404"
    assert error(204, body=b"content").cause == "HTTP 204 was not expected"


@pytest.mark.parametrize(
    "body, text",
    [
        (b"", ""),
        (b"404 page not found\nmore", "404 page not found"),
        (b"<html><head><title>502\nBad Gateway</title></head>...", "an HTML page, '502 Bad Gateway'"),
        (b"<!DOCTYPE html><p>", "an HTML page"),
        (b'{"message": "no"}', "no"),
        (b'{"error": "invalid_grant", "error_description": "expired"}', "expired"),
        (b'{"errors": []}', ""),
        (b'{"errors": [{"code": 1, "message": null}]}', ""),
        (b'{"errors": ["x"]}', ""),
        (b'{"errors": [{"code": "A_B", "message": "a b"}]}', "a b"),
        (b'{"errors": [{"code": "A", "message": "m", "detail": {"x": 1, "y": "z"}}]}', "a: m: x: 1, y: z"),
        (b'{"errors": [{"code": "A", "message": "m", "detail": [{"Type": "repository"}]}]}', "a: m"),
        (b"{", ""),
        (b"[1]", ""),
        (b"[" * 60_000, ""),
        (b"\xff\x1b[31mred\x1b[0m\x00", "\N{REPLACEMENT CHARACTER} [31mred [0m"),
    ],
)
def test_a_body_of_any_kind_is_summarised(body: bytes, text: str) -> None:
    assert str(said(body)).replace("\\n", " ") == text


@given(st.binary() | st.text().map(str.encode) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["errors", "code", "message", "detail"]), inner),
).map(lambda document: json.dumps(document).encode()))  # fmt: skip
def test_no_body_is_too_strange(body: bytes) -> None:
    text = str(said(body))
    assert len(text) <= 200
    assert text.isprintable()


def test_a_long_text_is_cut() -> None:
    assert clean("x" * 500) == "x" * 199 + "…"
    assert clean("a\r\n\tb\u202e c") == "a b c"


@pytest.mark.parametrize(
    "status, code, words",
    [
        (403, "DENIED", "the registry is full: it may hold 10 bytes, and holds 9"),
        (
            403,
            "DENIED",
            "adding 1.0 MiB of storage resource, which when updated to current usage of 9.5 MiB will exceed the "
            "configured upper limit of 10.0 MiB.",
        ),
        (403, "DENIED", "Quota has been exceeded on namespace"),
        (507, "", "Insufficient Storage"),
    ],
)
def test_a_full_registry_is_none_that_wants_a_login(status: int, code: str, words: str) -> None:
    body = json.dumps({"errors": [{"code": code, "message": words}]}).encode()
    error = full(Refusal(status, body), registry="r.example", what="a blob of r.example/a")
    assert error is not None
    assert (error.message, error.exit_code) == ("r.example has no room for a blob of r.example/a", 1)
    assert words.rstrip(".") in str(error)
    denial = Refusal(403, b'{"errors": [{"code": "DENIED", "message": "bob may not push to team/quota"}]}')
    assert full(denial, registry="r.example", what="a") is None


def test_a_denial_repeats_only_what_says_more() -> None:
    because = Reason("because", "do", "no-credentials")

    def cause(*errors: Any) -> str | None:
        refusal = Refusal(403, json.dumps({"errors": errors}).encode())
        return denied(refusal, registry="r.example", wanted="repository:a:pull", reason=because).cause

    assert cause({"code": "DENIED", "message": "requested access to the resource is denied"}) == "because"
    assert cause({"code": "DENIED", "message": "your plan has ended"}) == "because: denied: your plan has ended"
    found = denied(Refusal(401), registry="r.example", wanted="repository:a:pull", reason=because)
    assert type(found) is Denied
    assert found.message == "r.example did not allow repository:a:pull"
    assert (found.cause, found.remedy, found.status) == ("because", "do", 401)


def test_whatever_keeps_a_host_from_being_reached_something_can_be_done() -> None:
    kinds = [kind for kind in vars(transport).values() if isinstance(kind, type) and issubclass(kind, Unreachable)]
    assert len(kinds) >= 8
    for kind in kinds:
        assert advised(kind("a.example could not be reached")).remedy, kind
