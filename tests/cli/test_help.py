"""What lading says about itself: help that fits a screen, examples that work, and pages that are up to date."""

import importlib.util
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import pytest

from lading.cli import lading as root
from support.lading import Lading
from support.process import run

ROOT = Path(__file__).parents[2]
SCREEN = 24
"""Lines of a terminal, at 80 columns."""


def commands(command: click.Command = root, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command there is, as it is typed after `lading`."""
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from commands(inner, (*path, name))


def help_of(path: tuple[str, ...], *, whole: bool = False) -> str:
    """A command's help at 80 columns, without a process for each; with `whole`, what `--help-all` prints."""
    command: click.Command | None = root
    context = click.Context(root, info_name="lading", terminal_width=78, help_option_names=["-h", "--help"])
    context.meta["lading.help-all"] = whole
    for name in path:
        assert isinstance(command, click.Group)
        command = command.get_command(context, name)
        assert command is not None
        context = click.Context(command, context, info_name=name)
    assert command is not None
    return command.get_help(context)


ALL = list(commands())
NAMES = [" ".join(path) or "lading" for path in ALL]


@pytest.mark.parametrize("path", ALL, ids=NAMES)
def test_help_fits_a_screen(path: tuple[str, ...]) -> None:
    text, whole = help_of(path), help_of(path, whole=True)
    assert len(text.splitlines()) <= SCREEN, text
    assert text.startswith(f"Usage: {' '.join(('lading', *path))} ")
    for said in (text, whole):
        assert max(map(len, said.splitlines())) <= 80
        assert "..." not in re.sub(r"\b[A-Z_,]+\.\.\.|\[ARGS\]\.\.\.", "", said)
        assert "x>=" not in said
    # What has no room is named, and described elsewhere; nothing is named for nothing.
    # Edits that few need are counted.
    rare = re.findall(r"^  (--[a-z-]+)", whole.partition("\nRarely:\n")[2].partition("\n\n")[0], re.MULTILINE)
    assert f"{len(rare)} rarer option" in " ".join(text.split()) or not rare
    described, here = (
        {*re.findall(r"^  (?:-\w, )?(--[a-z-]+|[a-z]+(?= ))", said, re.MULTILINE)} - {*rare} for said in (whole, text)
    )
    named = text.partition("More, with --help-all: ")[2]
    assert all(re.search(rf"(?<![\w-]){name}(?![\w-])", text) for name in described - {"--help-all", "--help"}), text
    assert bool(named) == bool(described - here)


def test_all_of_it(lading: Lading) -> None:
    for words in ([], ["copy"], ["registry", "serve"]):
        assert lading.run(*words, "--help-all").stdout == help_of(tuple(words), whole=True) + "\n"
        assert lading.run(*words, "--help").stdout == help_of(tuple(words)) + "\n"


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_common_options_are_apart(path: tuple[str, ...]) -> None:
    own, _, common = help_of(path, whole=True).partition("How it talks:")
    for flag in ("--format", "--insecure", "--quiet", "--debug"):
        assert f" {flag}" not in own.partition("Options:")[2]
    if common:
        assert "--help" in common


def test_every_option_says_what_it_does() -> None:
    for path in ALL:
        for line in help_of(path, whole=True).splitlines():
            assert not re.fullmatch(r"  (-\w, )?--[\w-]+( \S+)?", line) or len(line) > 28, line


def test_examples_can_be_parsed() -> None:
    """Every line of help that begins with `lading` is a command line that lading takes."""
    seen = 0
    for path in ALL:
        for line in help_of(path, whole=True).splitlines():
            example = re.sub(r"\s{2,}.*", "", line.strip().rpartition(" | ")[2])
            if not example.startswith("lading ") or "--help" in example:
                continue
            words = shlex.split(example)[1:]
            command: click.Command = root
            context, name = click.Context(root, info_name="lading"), ""
            while isinstance(command, click.Group):
                name = words.pop(0)
                found = command.get_command(context, name)
                assert found is not None, line
                command, context = found, click.Context(found, context, info_name=name)
            assert context.parent is not None
            command.make_context(name, words, context.parent)
            seen += 1
    assert seen > 20


@pytest.mark.parametrize("words", [[], ["manifest"], ["registry"]])
def test_a_group_alone_prints_its_help(lading: Lading, words: list[str]) -> None:
    alone = lading.run(*words)
    assert alone.stdout == lading.run(*words, "--help").stdout == lading.run(*words, "-h").stdout
    assert alone.stderr == ""


def test_what_json_means_is_written_down() -> None:
    """`docs/json.md` is made from the documents: `python docs/describe_json.py > docs/json.md`."""
    made = run([sys.executable, ROOT / "docs" / "describe_json.py"]).stdout
    assert (ROOT / "docs" / "json.md").read_text() == made


def test_what_lint_finds_is_written_down() -> None:
    """`docs/lint/` is made from the codes: `python docs/describe_lint.py`."""
    page = importlib.util.spec_from_file_location("describe_lint", ROOT / "docs" / "describe_lint.py")
    assert page is not None
    assert page.loader is not None
    module = importlib.util.module_from_spec(page)
    page.loader.exec_module(module)
    there = {path.name: path.read_text() for path in (ROOT / "docs" / "lint").iterdir()}
    assert there == module.pages()


def test_every_command_with_a_format_is_described() -> None:
    described = set(re.findall(r"^## `lading (.*)`$", (ROOT / "docs" / "json.md").read_text(), re.MULTILINE))
    assert described == {" ".join(path) for path in ALL if "--format" in help_of(path)}


def test_documents_have_their_fields(lading: Lading) -> None:
    document = msgspec.json.decode(lading.run("version", "--format", "json").stdout_bytes)
    page = (ROOT / "docs" / "json.md").read_text()
    section = page.partition("## `lading version`")[2]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(document)


def test_help_needs_no_terminal_and_no_home() -> None:
    """In the barest of environments, where nothing can be found out about the user."""
    said = subprocess.run([sys.executable, "-m", "lading", "--help"], env={}, capture_output=True, check=False)
    assert (said.returncode, said.stderr) == (0, b"")
