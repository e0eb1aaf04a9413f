"""Challenges: every way in which registries write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.registry.auth.challenge import Challenge, choose, parse_challenges

BEARER = 'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"'


def test_a_bearer_challenge() -> None:
    (challenge,) = parse_challenges([BEARER])
    assert challenge.scheme == "bearer"
    assert challenge.realm == "https://auth.docker.io/token"
    assert challenge.service == "registry.docker.io"
    assert challenge.scopes == ("repository:a/b:pull,push",)


def test_a_refusal_says_why() -> None:
    (challenge,) = parse_challenges([BEARER + ',error="insufficient_scope"'])
    assert challenge.error == "insufficient_scope"


def test_several_scopes_are_separated_by_blanks() -> None:
    (challenge,) = parse_challenges(['Bearer realm="x",scope="repository:a:pull repository:b:pull,push"'])
    assert challenge.scopes == ("repository:a:pull", "repository:b:pull,push")


@pytest.mark.parametrize(
    "value, expected",
    [
        ('Basic realm="a"', [("basic", {"realm": "a"})]),
        ("BASIC REALM=a", [("basic", {"realm": "a"})]),
        ("Basic", [("basic", {})]),
        ('Basic realm="a, b=\\"c\\""', [("basic", {"realm": 'a, b="c"'})]),
        ('Bearer realm = "a" ,\tservice = "b"', [("bearer", {"realm": "a", "service": "b"})]),
        ("Bearer realm=https://a/t?x=y,service=b", [("bearer", {"realm": "https://a/t?x=y", "service": "b"})]),
        ('Bearer realm="a",x="b", Basic realm="c"', [("bearer", {"realm": "a", "x": "b"}), ("basic", {"realm": "c"})]),
        ('Negotiate, Basic realm="a"', [("negotiate", {}), ("basic", {"realm": "a"})]),
        ('NTLM TlRMTVNTUAAB==, Bearer realm="a"', [("ntlm", {}), ("bearer", {"realm": "a"})]),
        ('Bearer realm="never ends', [("bearer", {"realm": "never ends"})]),
        ('Bearer realm="a",realm="b"', [("bearer", {"realm": "a"})]),
        ('Bearer ,,realm="a",', [("bearer", {"realm": "a"})]),
        ('realm="a"', []),
        ("", []),
        (" , ,", []),
    ],
)  # fmt: skip
def test_challenges_come_in_many_forms(value: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    assert [(c.scheme, c.parameters) for c in parse_challenges([value])] == expected


def test_bearer_is_chosen_before_basic() -> None:
    chosen = choose(parse_challenges(['Basic realm="a"', BEARER]))
    assert chosen is not None
    assert chosen.scheme == "bearer"


def test_a_bearer_challenge_without_a_realm_cannot_be_answered() -> None:
    assert choose(parse_challenges(["Bearer", "Negotiate"])) is None
    assert choose(parse_challenges(["Bearer", "Basic"])) == Challenge("basic")


@given(st.text() | st.text(alphabet='Basic Bearer realm="\\,= \t'))
def test_no_challenge_is_too_strange(value: str) -> None:
    choose(parse_challenges([value]))


_token = st.text(alphabet="abcdefghijklmnopqrstuvwxyz-_", min_size=1)


@given(st.lists(st.tuples(_token, st.dictionaries(_token, st.text(), min_size=1)), min_size=1))
def test_what_is_written_is_read(challenges: list[tuple[str, dict[str, str]]]) -> None:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    value = ", ".join(
        f"{scheme} " + ",".join(f"{name}={quoted(text)}" for name, text in parameters.items())
        for scheme, parameters in challenges
    )
    assert [(c.scheme, c.parameters) for c in parse_challenges([value])] == challenges
