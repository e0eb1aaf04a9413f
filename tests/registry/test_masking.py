"""What was sent in confidence is taken out of texts."""

import base64

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
