"""Ignore files mean what they mean to Docker: compared with another reading of its rules, without any expression."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lading.errors import InvalidPattern
from lading.io.ignore_file import Ignore


@pytest.mark.parametrize(
    "lines, out, kept",
    [
        (["a"], ["a", "a/b"], ["b", "b/a", "ab"]),
        (["/a/", "./b", " c "], ["a/x", "b", "c"], ["d"]),
        (["# a", "#b", "", "   "], [], ["a", "#b"]),
        (["*.md"], ["x.md", ".md", "x.md/y"], ["d/x.md", "x.mdx"]),
        (["*/*.md"], ["d/x.md"], ["x.md", "d/e/x.md"]),
        (["**/*.md"], ["x.md", "d/x.md", "d/e/x.md"], ["x"]),
        (["**"], ["a", "a/b"], []),
        (["a/**"], ["a/b", "a/b/c"], ["a", "b"]),
        (["a/**/b"], ["a/b", "a/x/b", "a/x/y/b"], ["ab", "a/x/bc"]),
        (["**foo"], ["foo", "barfoo", "a/barfoo"], ["foox"]),
        (["foo**"], ["foo", "foobar", "foobar/x"], ["a/foo"]),
        (["fo?"], ["foo"], ["fo", "fo/", "fooo"]),
        (["[a-c]x", "[^a]y"], ["ax", "cx", "by"], ["dx", "ay"]),
        (["[!a]y"], ["!y", "ay"], ["by"]),
        ([r"\*", r"\!b"], ["*", "!b"], ["a", "b"]),
        (["*", "!a", "!d/e"], ["b", "d", "d/f"], ["a", "a/b", "d/e", "d/e/f"]),
        (["*.md", "!README*.md", "README-secret.md"], ["a.md", "README-secret.md"], ["README.md"]),
        (["*.md", "README-secret.md", "!README*.md"], ["a.md"], ["README.md", "README-secret.md"]),
        (["\ufeffa", "\ufeffb"], ["a"], ["b"]),
        (["a/../b", "../c"], ["b"], ["a", "c"]),
        (["a.b", "c+", "(d)"], ["a.b", "c+", "(d)"], ["axb", "cc", "d"]),
        ([".", "/"], [], ["a", "a/b"]),
        (["a\nb"], ["a\nb"], ["a"]),
    ],
)
def test_what_docker_documents(lines: list[str], out: list[str], kept: list[str]) -> None:
    ignore = Ignore(lines)
    assert [path for path in out if path not in ignore] == []
    assert [path for path in kept if path in ignore] == []


@pytest.mark.parametrize("line", ["!", "! ", "[", "[]", "[^]", "[a", "[b-a]", "a\\", "[-a]", "[a-]"])
def test_what_is_no_pattern(line: str) -> None:
    with pytest.raises(InvalidPattern, match="no pattern"):
        Ignore([line])


def matches(pattern: str, text: str) -> bool:
    """Whether a pattern is the whole of a text: characters, `?`, `*`, and `**` for any text that ends in a slash."""
    if not pattern:
        return not text
    if pattern == "**":
        return True
    if pattern.startswith("**"):
        rest = pattern[2:].removeprefix("/")
        starts = [0, *(at + 1 for at, one in enumerate(text) if one == "/")]
        return any(matches(rest, text[at:]) for at in starts)
    if pattern[0] == "*":
        stops = [at for at in range(len(text) + 1) if "/" not in text[:at]]
        return any(matches(pattern[1:], text[at:]) for at in stops)
    return (
        bool(text)
        and (pattern[0] == text[0] or (pattern[0] == "?" and text[0] != "/"))
        and matches(pattern[1:], text[1:])
    )


def model(lines: list[str], path: str) -> bool:
    """Whether a path is left out: all rules in turn, the last that matches it or what is above it counts."""
    parts = path.split("/")
    is_out = False
    for line in lines:
        if any(matches(line.removeprefix("!"), "/".join(parts[:n])) for n in range(1, len(parts) + 1)):
            is_out = not line.startswith("!")
    return is_out


PARTS = st.text(st.sampled_from("ab.*?"), min_size=1, max_size=3).filter(
    lambda part: part not in (".", "..") and "**" not in part
)
PATTERNS = st.lists(st.one_of(PARTS, st.just("**")), min_size=1, max_size=4).map("/".join)
PATHS = st.lists(
    st.text(st.sampled_from("ab."), min_size=1, max_size=3).filter(lambda part: part not in (".", "..")),
    min_size=1,
    max_size=4,
).map("/".join)


@given(st.lists(st.builds(str.__add__, st.sampled_from(["", "!"]), PATTERNS), max_size=4), PATHS)
@example(["**/a/**", "!a/b"], "a/b/c")
@example(["a", "!a/**/b"], "a/a/b/c")
def test_it_is_what_the_rules_say(lines: list[str], path: str) -> None:
    assert (path in Ignore(lines)) == model(lines, path)
