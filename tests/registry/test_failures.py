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
)
from lading.registry.failures import Reason, Refusal, advised, clean, denied, failure, is_passing, said
from lading.registry.http import transport


def error(status: int, *errors: Any, body: bytes | None = None) -> LadingError:
    content = json.dumps({"errors": errors}).encode() if body is None else body
    return failure(Refusal(status, content), method="PUT", registry="r.example", what="r.example/a:1")


@pytest.mark.parametrize(
    "status, code, kind, message",
    [
        (400, "DIGEST_INVALID", InvalidContent, "r.example did not accept r.example/a:1"),
        (400, "MANIFEST_INVALID", InvalidContent, "r.example did not accept r.example/a:1"),
        (400, "TAG_INVALID", Unsupported, "r.example does not take the name r.example/a:1"),
        (400, "NAME_INVALID", Unsupported, "r.example does not take the name r.example/a:1"),
        (400, "PAGINATION_NUMBER_INVALID", Unsupported, "r.example does not support PUT of r.example/a:1"),
        (400, "UNSUPPORTED", Unsupported, "r.example does not support PUT of r.example/a:1"),
        (400, "MANIFEST_BLOB_UNKNOWN", NotFound, "r.example/a:1 refers to content that r.example does not have"),
        (400, "BLOB_UPLOAD_INVALID", NotFound, "r.example no longer knows the upload of r.example/a:1"),
        (400, "GOOGLE_MANIFEST_DANGLING_TAG", Conflict, "r.example did not accept r.example/a:1"),
        (400, "SOMETHING", RegistryFailure, "r.example did not accept r.example/a:1"),
        (404, "MANIFEST_UNKNOWN", NotFound, "r.example/a:1 was not found"),
        (404, "UNSUPPORTED", Unsupported, "r.example does not support PUT of r.example/a:1"),
        (405, "", Unsupported, "r.example does not support PUT of r.example/a:1"),
        (501, "", Unsupported, "r.example does not support PUT of r.example/a:1"),
        (409, "TAG_IMMUTABLE", Conflict, "r.example keeps r.example/a:1 as it is"),
        (412, "", Conflict, "r.example did not accept r.example/a:1"),
        (416, "", Conflict, "r.example did not accept r.example/a:1"),
        (413, "SIZE_INVALID", InvalidContent, "r.example/a:1 is too large for r.example, or for a proxy before it"),
        (415, "MANIFEST_INVALID", Unsupported, "r.example does not take r.example/a:1 in its format"),
        (406, "", Unsupported, "r.example does not take r.example/a:1 in its format"),
        (451, "DENIED", Denied, "r.example did not accept r.example/a:1"),
        (423, "", Conflict, "r.example did not accept r.example/a:1"),
        (500, "MANIFEST_INVALID", InvalidContent, "r.example did not accept r.example/a:1"),
        (500, "MANIFEST_BLOB_UNKNOWN", NotFound, "r.example/a:1 refers to content that r.example does not have"),
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


@pytest.mark.parametrize("refused", [408, 425, 429, 500, 502, 503, 504])
def test_only_what_may_pass_is_to_be_tried_later(refused: int) -> None:
    found = error(refused, {"code": "UNKNOWN", "message": "unknown error"})
    assert is_passing(found)
    assert "try again later" in (found.remedy or "")
    settled = error(refused, {"code": "UNKNOWN"}, {"code": "MANIFEST_INVALID", "message": "no config"})
    assert is_passing(settled) is (refused < 500)


@pytest.mark.parametrize(
    "status", [301, 400, 402, 403, 404, 405, 409, 410, 411, 412, 413, 414, 415, 418, 422, 431, 501]
)
def test_what_is_settled_is_not(status: int) -> None:
    for code in ("", "SOMETHING", "UNKNOWN"):
        found = error(status, {"code": code, "message": "because"})
        assert not is_passing(found)
        assert "again" not in (found.remedy or "")
        assert found.exit_code != 2


def test_that_something_is_not_there_is_not_believed_of_a_registry_that_fails() -> None:
    refusal = Refusal(503, b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}')
    found = failure(refusal, method="GET", registry="r.example", what="r.example/a:1")
    assert type(found) is RegistryFailure
    assert is_passing(found)


def test_all_errors_of_an_answer_are_read_and_the_one_that_says_most_comes_first() -> None:
    digests = ["sha256:" + digit * 64 for digit in "ab"]
    found = error(
        500,
        {"code": "UNKNOWN", "message": "unknown error"},
        {"code": "UNKNOWN", "message": "unknown error", "detail": {}},
        {"code": "MANIFEST_INVALID", "message": "manifest invalid"},
        *({"code": "MANIFEST_BLOB_UNKNOWN", "message": "blob unknown", "detail": digest} for digest in digests),
    )
    assert (type(found), found.registry_code, found.fields["unknown"]) == (NotFound, "MANIFEST_BLOB_UNKNOWN", digests)
    assert found.cause is not None
    assert found.cause.startswith(f"HTTP 500: manifest blob unknown: blob unknown: {digests[0]}; ")
    twice = error(400, {"code": "UNKNOWN", "message": "unknown error"}, {"code": "X_OWN", "message": "because"})
    assert (twice.registry_code, twice.cause) == ("X_OWN", "HTTP 400: x own: because")


ECR = "The image tag '1' already exists in the 'a' repository and cannot be overwritten because the tag is immutable."
HUB = "This tag is already assigned to an image and cannot be updated due to immutability settings."
AZURE = "The operation is disallowed on this registry, repository or image."
NEXUS = "h/v2/a/manifests/1 -  cannot be updated as asset already exists and redeploy is not allowed"
KEPT = {
    "Amazon ECR": (400, "TAG_INVALID", ECR),
    "Artifact Registry": (400, "MANIFEST_INVALID", "The repository has enabled tag immutability"),
    "Harbor": (412, "PRECONDITION", "Failed to process request due to 'a:1' configured as immutable."),
    "Quay": (409, "UNKNOWN", "tag is immutable and cannot be overwritten"),
    "by the code": (409, "TAG_IMMUTABLE", ""),
    "Docker Hub": (403, "DENIED", f"requested access to the resource is denied - {HUB}"),
    "Azure": (405, "REGISTRY_DISALLOWED_OPERATION", AZURE),
    "GitLab": (403, "DENIED", "cannot push to protected tag"),
    "Alibaba Cloud": (403, "DENIED", "The requested tag already exists and cannot be overwritten."),
    "zot": (409, "DENIED", "tag is immutable"),
    "Nexus 3.96": (409, "", NEXUS),
}


@pytest.mark.parametrize("who", KEPT)
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_tag_that_a_registry_keeps_is_a_conflict_however_it_says_so(who: str, method: str) -> None:
    status, code, words = KEPT[who]
    refusal = Refusal(status, json.dumps({"errors": [{"code": "UNKNOWN"}, {"code": code, "message": words}]}).encode())
    about: dict[str, Any] = {"method": method, "registry": "r.example", "what": "r.example/a:1"}
    if status in (401, 403):
        found = denied(
            refusal, wanted="repository:a:push", reason=Reason("because", "log in", "no-credentials"), **about
        )
    else:
        found = failure(refusal, **about)
    assert (type(found), found.exit_code, found.code) == (Conflict, 8, "immutable")
    assert found.message == "r.example keeps r.example/a:1 as it is"
    assert ("another tag" in (found.remedy or "")) is (method == "PUT")
    assert not is_passing(found)


def test_nexus_says_so_in_the_detail_of_another_error() -> None:
    detail = "Repository does not allow updating assets: docker"
    found = error(400, {"code": "BLOB_UPLOAD_INVALID", "message": "blob upload invalid", "detail": detail})
    assert (type(found), found.cause) == (Conflict, f"HTTP 400: blob upload invalid: {detail}")


def test_only_a_change_can_be_kept_from_being_made() -> None:
    refusal = Refusal(400, b'{"errors": [{"code": "MANIFEST_INVALID", "message": "tag is immutable"}]}')
    assert type(failure(refusal, method="GET", registry="r.example", what="r.example/a:1")) is InvalidContent
    named = Refusal(400, b'{"errors": [{"code": "MANIFEST_INVALID", "detail": {"tag": "immutable-1"}}]}')
    assert type(failure(named, method="PUT", registry="r.example", what="r.example/a:immutable-1")) is InvalidContent


def test_a_rule_against_reading_is_a_denial() -> None:
    words = "current image with 2 vulnerabilities cannot be pulled due to configured policy"
    refusal = Refusal(412, json.dumps({"errors": [{"code": "PROJECTPOLICYVIOLATION", "message": words}]}).encode())
    found = failure(refusal, method="GET", registry="r.example", what="r.example/a:1")
    assert (type(found), found.message) == (Denied, "r.example did not give out r.example/a:1")
    assert words in (found.cause or "")


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
        (500, "UNKNOWN", "quota has been exceeded"),
    ],
)
def test_a_full_registry_is_none_that_wants_a_login(status: int, code: str, words: str) -> None:
    because = Reason("because", "log in", "no-credentials")

    def refused(code: str, words: str) -> LadingError:
        refusal = Refusal(status, json.dumps({"errors": [{"code": code, "message": words}]}).encode())
        if status == 403:
            return denied(refusal, registry="r.example", what="a blob of r.example/a", wanted="a", reason=because)
        return failure(refusal, method="PUT", registry="r.example", what="a blob of r.example/a")

    found = refused(code, words)
    assert (found.message, found.exit_code) == ("r.example has no room for a blob of r.example/a", 1)
    assert words.rstrip(".") in str(found)
    assert not is_passing(found)
    if status == 403:
        assert type(refused("DENIED", "bob may not push to team/quota")) is Denied


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
