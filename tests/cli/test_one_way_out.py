"""Nothing in `cli/` prints but `cli/output.py`; and what that prints is text, whatever it is given."""

import ast
import json
import logging
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lading.cli
from cli.terminal import on_terminal
from lading.cli import output
from lading.cli.logs import LogHandler
from lading.model.text import json_printable, printable
from support.images import make_image, push
from support.lading import Lading
from support.registry import RealRegistry

CLI = Path(lading.cli.__file__).parent
PRINTS = {"print", "input", "os.write", "traceback.print_exc", "logging.StreamHandler"} | {
    f"click.{name}"
    for name in (
        "echo",
        "secho",
        "style",
        "prompt",
        "confirm",
        "pause",
        "progressbar",
        "echo_via_pager",
        "get_text_stream",
    )
}


def prints(module: ast.AST) -> list[str]:
    """What in a module writes to a stream, or could."""
    names = [ast.unparse(node) for node in ast.walk(module) if isinstance(node, ast.Attribute | ast.Name)]
    # Whether it is a terminal may be asked, and what others wrote may be sent on.
    streams = [n for n in names if n.startswith(("sys.std", "sys.__")) and "stdin" not in n and n.count(".") > 1]
    return [name for name in names if name in PRINTS] + [
        name for name in streams if not name.endswith((".isatty", ".flush", ".fileno"))
    ]


def test_no_module_prints_but_one() -> None:
    modules = {path.relative_to(CLI).as_posix(): ast.parse(path.read_text()) for path in CLI.rglob("*.py")}
    said = {name: prints(tree) for name, tree in modules.items()}
    assert "click.echo" in said.pop("output.py"), "this test sees what prints"
    assert {name: found for name, found in said.items() if found} == {}


def test_the_library_prints_nothing() -> None:
    modules = [path for path in CLI.parent.rglob("*.py") if CLI not in path.parents]
    said = {path.name: set(prints(ast.parse(path.read_text()))) - {"os.write"} for path in modules}
    assert {name: found for name, found in said.items() if found} == {}


HARMLESS = ["plain", "é e\u0301", "日本語", "العربية", "emoji 🐳", "a\u00a0b\u3000c", "back\\slash", ""]
HARMFUL = {
    "\n": r"\n",
    "\r": r"\r",
    "\t": r"\t",
    "\x00": r"\x00",
    "\x1b": r"\x1b",
    "\x7f": r"\x7f",
    "\x85": r"\x85",
    "\x9b": r"\x9b",
    "\u00ad": r"\xad",
    "\u034f": r"\u034f",
    "\u061c": r"\u061c",
    "\u200b": r"\u200b",
    "\u200f": r"\u200f",
    "\u2028": r"\u2028",
    "\u2029": r"\u2029",
    "\u202e": r"\u202e",
    "\u2060": r"\u2060",
    "\u2066": r"\u2066",
    "\u2069": r"\u2069",
    "\u2800": r"\u2800",
    "\u3164": r"\u3164",
    "\ufe0f": r"\ufe0f",
    "\ufeff": r"\ufeff",
    "\ud800": r"\ud800",
    "\ufdd0": r"\ufdd0",
    "\ue000": r"\ue000",
    "\U000e0041": r"\U000e0041",
    "\U000e0100": r"\U000e0100",
}


@pytest.mark.parametrize("text", HARMLESS)
def test_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == text
    assert json_printable(json.dumps(text, ensure_ascii=False)) == json.dumps(text, ensure_ascii=False)


@pytest.mark.parametrize("character", HARMFUL, ids=ascii)
def test_what_is_no_text_is_an_escape(character: str) -> None:
    assert printable(f"a{character}b") == f"a{HARMFUL[character]}b"
    document = json_printable(json.dumps(character, ensure_ascii=False))
    assert character in "\n\t" or document.isascii()
    assert json.loads(document) == character


@given(st.text(st.characters()))
def test_whatever_it_is_given(text: str) -> None:
    for shown in (printable(text), json_printable(text, keep="")):
        assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp")]
    assert json.loads(json_printable(json.dumps(text, ensure_ascii=False))) == text


def test_a_line_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    output.say("one\nerror: two", "three")
    output.emit({}, "text", lambda: output.table([["HEAD", "B"], ["a\nb", "c"]]))
    output.emit({"a": "x\ny"}, "{{ a }}\\n{{ a | json }} {{ [a, a] | join('\\n') }}", lambda: "")
    output.emit({"a\n": [{"b": "\x9b\u202e"}]}, "json", lambda: "")
    said = capsys.readouterr().out
    assert said.splitlines()[:6] == ["one\\nerror: two", "three", "HEAD  B", "a\\nb  c", "x\\ny", '"x\\ny" x\\ny']
    assert said.splitlines()[6:] == [
        "x\\ny",
        "{",
        '  "a\\n": [',
        "    {",
        '      "b": "\\u009b\\u202e"',
        "    }",
        "  ]",
        "}",
    ]


def test_nobody_else_can_colour_a_text(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A text has no mark of ours, nor what one looks like without its number."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    marked = output.paint("\x1b[0mours", "red")
    number = marked[1:17]
    output.say(f"{marked} {marked.replace(number, '0' * 16)}")
    assert capsys.readouterr().out == (
        "\x1b[31m\\x1b[0mours\x1b[0m \\ufdd00000000000000000red\\ufdd1\\x1b[0mours\\ufdd00000000000000000plain\\ufdd1\n"
    )


def test_a_log_has_a_line_for_each_record(capsys: pytest.CaptureFixture[str]) -> None:
    handler = LogHandler()
    handler.handle(logging.LogRecord("a", logging.INFO, "f", 1, "of %s\nGET / 200", ("\x1b[1m\u202e",), None))
    assert capsys.readouterr().err == "of \\x1b[1m\\u202e\n    GET / 200\n"


def test_raw_documents_are_exact_but_on_a_terminal(lading: Lading, registry: RealRegistry, repository: str) -> None:
    made = make_image(annotations={"k": "\x9b1m\u202e\x7fé"})
    image = replace(made, content=json.dumps(made.document, ensure_ascii=False).encode())
    push(registry.host, repository, "1", image)
    ref = f"{registry.host}/{repository}:1"
    for command in (["inspect", "--raw", ref], ["manifest", "inspect", "--raw", ref]):
        assert lading.run(*command).stdout.encode() == image.content
        seen = on_terminal(lading, *command)
        assert r"\u009b1m\u202e\u007fé" in seen.text
        assert json.loads(seen.text) == json.loads(image.content)
