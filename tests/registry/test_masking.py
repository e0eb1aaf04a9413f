"""What was sent in confidence is taken out of texts."""

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest

from lading.errors import Denied
from lading.registry.masking import Mask

BASIC = base64.b64encode(b"ada:a long password").decode()


@pytest.mark.parametrize(
    "text, shown",
    [
        (f"you sent Basic {BASIC}", "you sent Basic ***"),
        ("your password is 'a long password'", "your password is '***'"),
        ("?p=a%20long%20password", "?p=***"),
        ("Bearer abc.def.ghijkl", "Bearer ***"),
        ("X-Key: key-key-key", "X-Key: ***"),
        ("refresh-me-please and form-password", "*** and ***"),
        ("for ada, short", "for ada, short"),
        (base64.b64encode(b"x=1&password=a long password&y").decode(), "eD0xJnBhc3N3b3JkPW***CZ5"),
        ("%61%20lo%6Eg+password", "***"),
        ("%2561%2520long%2520password", "***"),
        (r"\u0061 long\u0020password and \x61 l&#111;ng&#x20;password", "*** and ***"),
    ],
)
def test_secrets_are_taken_out_however_they_are_written(text: str, shown: str) -> None:
    mask = Mask()
    mask.sent(
        [("Authorization", f"Basic {BASIC}"), ("authorization", "Bearer abc.def.ghijkl"), ("X-Key", "key-key-key")]
    )
    mask.sent([("X-Short", "short")], b"refresh_token=refresh-me-please&password=form-password&username=ada&x=for")
    assert mask.apply(text) == shown


def test_a_secret_within_another_is_taken_out_with_it() -> None:
    mask = Mask()
    mask.sent([("A", "12345678"), ("B", "12345678-and-more")])
    assert mask.apply("12345678-and-more, 12345678") == "***, ***"


def test_errors_are_cleaned_in_every_part() -> None:
    mask = Mask()
    mask.sent([("A", "very-secret")])
    error = Denied("no very-secret", cause="very-secret!", remedy="not very-secret")
    mask.clean(error)
    assert (error.message, error.cause, error.remedy) == ("no ***", "***!", "not ***")
    assert "very-secret" not in f"{error} {error!r} {error.args}"


def test_what_is_no_base64_is_a_secret_all_the_same() -> None:
    mask = Mask()
    mask.sent([("Authorization", "Basic not-base-64!"), ("Authorization", "Basic /////w==")])
    assert mask.apply("not-base-64! /////w==") == "*** ***"


@pytest.mark.parametrize("secret", ['pa"ss\\wo/rd', "päss wörd&<>'", "100%+sure"])
def test_a_secret_of_any_characters_is_taken_out_of_what_was_made_of_it(secret: str) -> None:
    mask = Mask()
    mask.add(secret)
    quoted = [quote(secret), quote(secret, safe=""), quote(secret, safe="").lower(), quote_plus(secret)]
    strings = [json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]]
    for form in (secret, *quoted, quote(quoted[1]), *strings, strings[0].replace("/", "\\/"), html.escape(secret)):
        assert mask.apply(f"got <{form}>!") == "got <***>!", form
    for before in ("", "a", "ab", "user:"):
        encoded = base64.b64encode(f"{before}{secret}!".encode()).decode()
        assert len(mask.apply(encoded).replace("***", "")) <= 12 + len(before), encoded


def test_a_short_secret_is_taken_out_of_foreign_words_where_it_is_one() -> None:
    mask = Mask()
    mask.add("sec-1")
    mask.add("x")
    text = "sec-1, 'sec%2d1' is no sec-100 x"
    assert mask.foreign(text) == "***, '***' is no sec-100 x"
    assert mask.apply(text) == text
