"""JSON is read strictly and written as Go writes it, and what was not changed comes out as it went in."""

import copy
import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lading.errors import InvalidContent
from lading.model.encoding import (
    DEPTH_LIMIT,
    SIZE_LIMIT,
    Document,
    Number,
    decode,
    encode_compact,
    encode_docker,
    encode_indented,
    reindent,
)
from lading.model.media_types import DOCKER_LIST, DOCKER_MANIFEST

_text = st.text(max_size=12) | st.sampled_from(
    ["<&>", "\u2028\u2029", '"', "\\", "\\u0026", "\x7f\x00\x1f", "😀", "[{,:}]"]
)
_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | _text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_text, inner, max_size=4),
    max_leaves=12,
)
_objects = st.dictionaries(_text, _values, max_size=5)


def _as_go(text: str) -> str:
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


# --- reading


def test_an_object_keeps_its_order_and_its_numbers() -> None:
    raw = b'{"b":1,"a":1.50,"c":{"z":-0,"y":1E400,"x":-0.0,"w":100000000000000000000000000001,"v":1e-7}}'
    document = decode(raw)

    assert list(document) == ["b", "a", "c"]
    assert document["a"] == 1.5
    assert encode_compact(document) == raw
    assert encode_compact(copy.deepcopy(document)) == raw


@pytest.mark.parametrize(
    "raw, said",
    [
        (b"", "is not valid JSON (Expecting value at line 1 column 1)"),
        (b" ", "is not valid JSON"),
        (b"{", "is not valid JSON"),
        (b"{}}", "is not valid JSON (Extra data at line 1 column 3)"),
        (b"{} {}", "is not valid JSON"),
        (b'{"a":1,}', "is not valid JSON"),
        (b"{'a':1}", "is not valid JSON"),
        (b"{a:1}", "is not valid JSON"),
        (b'{"a":01}', "is not valid JSON"),
        (b'{"a":+1}', "is not valid JSON"),
        (b'{"a":.5}', "is not valid JSON"),
        (b'{"a":"\t"}', "is not valid JSON"),
        (b'{"a":"\\x"}', "is not valid JSON"),
        (b'{"a":"\\ud8"}', "is not valid JSON"),
        (b'{"a":1}//', "is not valid JSON"),
        (b'{"a":NaN}', "is not valid JSON (NaN is not a JSON value)"),
        (b'{"a":Infinity}', "is not valid JSON (Infinity is not a JSON value)"),
        (b'{"a":-Infinity}', "is not valid JSON (-Infinity is not a JSON value)"),
        (b'{"a":1,"a":1}', "the key 'a' appears twice in one object"),
        (b'{"a":1,"\\u0061":2}', "the key 'a' appears twice in one object"),
        (b'{"x":[{"":1,"b":2,"":3}]}', "the key '' appears twice in one object"),
        (b'{"a":' + b"9" * 5000 + b"}", "is not valid JSON"),
        (b"[]", "is not a JSON object"),
        (b'"{}"', "is not a JSON object"),
        (b"null", "is not a JSON object"),
        (b"1", "is not a JSON object"),
        (b'{"a":"\xff"}', "is not UTF-8 text (byte 6)"),
        (b'{"a":"\xed\xa0\x80"}', "is not UTF-8 text"),
        (b'{"a":"\xc0\x80"}', "is not UTF-8 text"),
        ('{"a":1}'.encode("utf-16"), "is not UTF-8 text"),
        ('{"a":1}'.encode("utf-16-le"), "is not valid JSON"),
        (b"\xef\xbb\xbf{}", "is not valid JSON"),
        (b"\x00", "is not valid JSON"),
        (b"\x1f\x8b\x08", "is not UTF-8 text"),
        (b"<html></html>", "is not valid JSON"),
    ],
)
def test_what_is_refused(raw: bytes, said: str) -> None:
    with pytest.raises(InvalidContent) as caught:
        decode(raw, "the answer")

    assert str(caught.value).startswith("the answer ")
    assert said in str(caught.value)
    assert len(str(caught.value)) < 300


def test_the_same_key_in_two_objects_is_fine() -> None:
    assert decode(b'{"a":{"a":1},"b":[{"a":1},{"a":1}]}')["b"] == [{"a": 1}, {"a": 1}]


def test_size_limit() -> None:
    padding = b" " * (SIZE_LIMIT - 2)

    assert decode(b"{}" + padding) == {}
    with pytest.raises(InvalidContent, match=r"too large \(4194305 bytes, and 4194304 are allowed\)"):
        decode(b"{} " + padding)
    assert decode(b"{} " + padding, limit=SIZE_LIMIT + 1) == {}
    with pytest.raises(InvalidContent, match="too large"):
        decode(b"{}", limit=1)


@pytest.mark.parametrize("opening, closing", [(b"[", b"]"), (b'{"a":', b"}")])
def test_depth_limit(opening: bytes, closing: bytes) -> None:
    def nested(levels: int) -> bytes:
        return b'{"a":' + opening * (levels - 1) + b"1" + closing * (levels - 1) + b"}"

    assert encode_compact(decode(nested(DEPTH_LIMIT))) == nested(DEPTH_LIMIT)
    for levels in (DEPTH_LIMIT + 1, 1000, 100_000):
        with pytest.raises(InvalidContent, match=r"nested too deeply \(more than 64 levels\)"):
            decode(nested(levels))


def test_brackets_that_do_not_nest_are_not_counted() -> None:
    assert decode(b'{"a":"' + b"[{" * 100 + b'\\"' + b"[{" * 100 + b'"}')["a"].count("[") == 200
    assert len(decode(b'{"a":[' + b",".join([b"[]"] * 200) + b"]}")["a"]) == 200
    with pytest.raises(InvalidContent, match="not valid JSON"):
        decode(b'{"a":"' + b"[" * 200)


@pytest.mark.parametrize(
    "make",
    [
        lambda n: b"[" * 65 + b'"' + b'\\"' * (n // 2),
        lambda n: b"[" * 65 + b'"' + b"\\" * n,
        lambda n: b"[" * 65 + b'\\"' * (n // 2),
        lambda n: b"[]" * 65 + b'""' * (n // 2),
        lambda n: b"{" * n,
        lambda n: b"]" * n + b"[" * 65,
        lambda n: b'{"a":' + b" " * n,
        lambda n: b'{"a":' + b"9" * n,
        lambda n: b'{"a":0.' + b"9" * n,
        lambda n: b'{"a":1' + b"e" * n,
    ],
    ids=range(10),
)
def test_hostile_bytes_are_refused_at_once(make: Callable[[int], bytes]) -> None:
    started = time.process_time()
    with pytest.raises(InvalidContent):
        decode(make(1_000_000))
    assert time.process_time() - started < 5


def test_a_large_document_takes_a_moment() -> None:
    raw = b'{"a":[' + b",".join([b'{"k":"v&","n":12345,"f":1.50}'] * 25_000) + b"]}"
    started = time.process_time()

    document = decode(raw)
    assert encode_compact(document) == raw.replace(b"&", b"\\u0026")
    assert reindent(raw, " ").count(b"\n") == 25_000 * 5 + 3
    assert time.process_time() - started < 20


def test_half_a_character_survives() -> None:
    # JSON can name one half of a surrogate pair, UTF-8 cannot: it is written as it was read.
    raw = b'{"\\ud800":"\\udc00 \\ud83d\\ude00"}'
    assert decode(raw) == {"\ud800": "\udc00 😀"}
    assert encode_compact(decode(raw)) == '{"\\ud800":"\\udc00 😀"}'.encode()


@given(st.binary(max_size=60) | st.text('{}[]",:\\ 0123456789.eE+-ntfu"aN\n', max_size=40).map(str.encode))
def test_any_bytes_are_a_document_or_invalid_content(raw: bytes) -> None:
    try:
        document = decode(raw)
    except InvalidContent:
        return
    assert decode(encode_compact(document)) == document


# --- writing


def _docker_list(**platform: str) -> Document:
    return {
        "schemaVersion": 2,
        "mediaType": DOCKER_LIST,
        "manifests": [
            {
                "mediaType": DOCKER_MANIFEST,
                "size": 523,
                "digest": "sha256:62e6df75043c166e992c6d16dbcb19d3fd3aa5bfc915a4085015257de7ae4992",
                "platform": {"architecture": "amd64", "os": "linux"} | platform,
            }
        ],
    }


def test_the_bytes_of_docker() -> None:
    raw = encode_docker(_docker_list())

    assert len(raw) == 433
    assert hashlib.sha256(raw).hexdigest() == "b63e73a11d6d2960d7be1ed939e2289e37fe056e1c89d4b29bd003fb33d37979"


def test_the_bytes_of_docker_for_rare_characters() -> None:
    raw = encode_docker(_docker_list(**{"os.version": "<&>é\u2028"}))

    assert hashlib.sha256(raw).hexdigest() == "3269406161feab569e17f0b756a90eeee929b50312618cb759f1ea6eaecd7aca"


def test_strings_are_written_as_by_go() -> None:
    # json.Marshal of Go 1.26, for every character up to U+00FF and those about the exceptions.
    low = (
        r"\u0000\u0001\u0002\u0003\u0004\u0005\u0006\u0007\b\t\n\u000b\f\r\u000e\u000f\u0010\u0011\u0012\u0013\u0014"
        r"\u0015\u0016\u0017\u0018\u0019\u001a\u001b\u001c\u001d\u001e\u001f !\"#$%\u0026'()*+,-./0123456789:;\u003c"
        r"=\u003e?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~"
    )
    high = "".join(map(chr, range(0x7F, 0x100)))
    value = "".join(map(chr, range(0x100))) + "\u2027\u2028\u2029\u202a\ufeff\ufffd\ufffe\uffff😀é&<>/"
    written = low + high + "\u2027\\u2028\\u2029\u202a\ufeff\ufffd\ufffe\uffff😀é\\u0026\\u003c\\u003e/"

    assert encode_compact({"s": value}) == f'{{"s":"{written}"}}'.encode()
    assert encode_compact({value: 1}) == f'{{"{written}":1}}'.encode()
    assert encode_docker({"s": value}) == f'{{\n   "s": "{written}"\n}}'.encode()
    assert encode_indented({"s": "<&>\u2028"}, "", escape_html=False) == b'{\n"s": "<&>\\u2028"\n}'


def test_empty_things_stay_on_their_line() -> None:
    assert encode_docker({}) == b"{}"
    assert encode_docker({"a": [], "b": {}, "c": [[], {}]}) == (
        b'{\n   "a": [],\n   "b": {},\n   "c": [\n      [],\n      {}\n   ]\n}'
    )
    assert encode_compact({"a": [], "b": {}, "c": ()}) == b'{"a":[],"b":{},"c":[]}'
    assert encode_indented([{"a": None}], "\t") == b'[\n\t{\n\t\t"a": null\n\t}\n]'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"bytes", object(), {1, 2}])
def test_what_is_not_json_is_not_written(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        encode_compact({"a": value})


def test_a_number_is_a_number() -> None:
    assert Number("1.50") == 1.5
    assert Number("1.50").text == "1.50"


@given(_objects)
def test_the_encoders_agree_with_pythons_but_for_escapes(document: Document) -> None:
    compact = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    docker = json.dumps(document, indent=3, ensure_ascii=False)

    assert encode_compact(document) == _as_go(compact).encode()
    assert encode_docker(document) == _as_go(docker).encode()
    assert (
        encode_indented(document, "\t", escape_html=False)
        == (
            json.dumps(document, indent="\t", ensure_ascii=False)
            .replace("\u2028", "\\u2028")
            .replace("\u2029", "\\u2029")
        ).encode()
    )
    assert json.loads(encode_compact(document)) == document


_number_texts = st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,5})?", fullmatch=True)


@given(st.lists(_number_texts, max_size=5))
@example(["-0", "1e99999", "1E-99999", "0.10", "10000000000000000000000"])
def test_numbers_keep_their_spelling(numbers: list[str]) -> None:
    raw = f'{{"n":[{",".join(numbers)}]}}'.encode()

    assert encode_compact(decode(raw)) == raw


@given(_objects)
def test_what_go_wrote_is_written_again_the_same(document: Document) -> None:
    compact, docker = encode_compact(document), encode_docker(document)

    assert encode_compact(decode(compact)) == compact == encode_compact(decode(docker))
    assert encode_docker(decode(docker)) == docker
    assert list(decode(compact)) == list(document)


# --- laying out anew


@pytest.mark.parametrize(
    "raw, laid_out",
    [
        # json.Indent of Go 1.26
        (
            rb'{"a":{},"b":[],"c":[1,{"d":-1.50E+3}],"e":"x\"}{[,: "}',
            b'{\n\t"a": {},\n\t"b": [],\n\t"c": [\n\t\t1,\n\t\t{\n\t\t\t"d": -1.50E+3\n\t\t}\n\t],'
            b'\n\t"e": "x\\"}{[,: "\n}',
        ),
        (b' { "a" : [ ] }', b'{\n\t"a": []\n}'),
        (b"{}", b"{}"),
        (b"[]", b"[]"),
        (b"[[]]", b"[\n\t[]\n]"),
        (b"[{},[]]", b"[\n\t{},\n\t[]\n]"),
        (b'{"a":true,"b":null}', b'{\n\t"a": true,\n\t"b": null\n}'),
        ('{"a":"é<\\u003c\\u2028\u2028\\/"}'.encode(), '{\n\t"a": "é<\\u003c\\u2028\u2028\\/"\n}'.encode()),
        (b'{"a":"\\\\"}', b'{\n\t"a": "\\\\"\n}'),
    ],
)
def test_reindent_as_go(raw: bytes, laid_out: bytes) -> None:
    assert reindent(raw, "\t") == laid_out


@given(_values, st.sampled_from(["", " ", "   ", "\t"]), st.booleans(), st.sampled_from([None, 2, "\t"]))
def test_reindent_changes_the_layout_and_nothing_else(
    value: Any, indent: str, ascii_only: bool, before: str | int | None
) -> None:
    raw = json.dumps(value, indent=before, ensure_ascii=ascii_only).encode()

    assert reindent(raw, indent) == json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()


def test_reindent_of_a_string_without_end() -> None:
    for raw in (b'{"a', b'{"a\\"', b'{"a\\', b'"'):
        with pytest.raises(InvalidContent, match="a string does not end"):
            reindent(raw, " ")
