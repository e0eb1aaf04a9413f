"""Type checkers see what a user writes: the examples pass them, and mistakes do not."""

import doctest
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import msgspec
import pytest

from support.parts import missing

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
MODULES = ["lading.client", "lading.client.blobs", "lading.client.sync", "lading.model.version"]
"""Those whose docstrings have examples."""
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CHECKERS = ["mypy", "pyright"]

MISTAKES = {
    "Client(insecre=True)": "insecre",
    "AsyncClient(insecre=True)": "insecre",
    "Client(on_note=3)": "on_note",
    'Client().copy("a", "b", tgs=["c"])': "tgs",
    'Client().drafts.annotate("a", "b", varaint="v8")': "varaint",
    'Client().drafts.push("a", if_digst="absent")': "if_digst",
    'Client().registries.login("a", "b")': "rgument",
    'Client().blobs.put("a", "text")': "str",
    'Client().blobs.put("a", b"text", mediatype="b")': "mediatype",
    'Client().get("a").manifests': "manifests",
    'Client().open("a").__enter__().write': "write",
    "Client.copy(1)": "rgument",
}
"""Each with a word of what a type checker says of it."""


def check(checker: str, folder: Path) -> str:
    """What a type checker says, in its strictest mode, of all files in a folder."""
    if importlib.util.find_spec(checker) is None:
        missing(f"{checker} is not installed: pip install {checker}")
    if checker == "pyright":
        # An interpreter shows what an expression is worth.
        settings = {"typeCheckingMode": "strict", "reportUnusedExpression": "none"}
        (folder / "pyrightconfig.json").write_text(json.dumps(settings))
        command = ["pyright", "--pythonpath", sys.executable, "-p", str(folder)]
    else:
        cache = ROOT / ".mypy_cache" / "examples"
        command = [
            "mypy",
            "--strict",
            "--no-error-summary",
            "--cache-dir",
            str(cache),
            "--config-file",
            os.devnull,
            ".",
        ]
    ran = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=os.environ | {"MYPYPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert ran.returncode in (0, 1), ran.stdout + ran.stderr
    return ran.stdout if ran.returncode else ""


def examples() -> Iterator[tuple[str, str]]:
    """Every example of the pages and of the docstrings, and the programs: its name, and what it is."""
    for path in sorted((ROOT / "tests" / "programs").glob("*.py")):
        yield path.stem, path.read_text()
    for page in PAGES:
        for number, block in enumerate(BLOCK.findall(page.read_text())):
            yield f"{page.stem.replace('-', '_')}_{number}", block
    for name in MODULES:
        for test in doctest.DocTestFinder(exclude_empty=True).find(import_module(name)):
            if test.examples:
                lines = "".join(example.source for example in test.examples)
                names = [word for word in ("AsyncClient", "Client", "Version") if re.search(rf"\b{word}\b", lines)]
                registry = 'registry: str = ""\n' if "registry" in lines else ""
                program = f"from lading import {', '.join(names)}\n\n{registry}{lines}"
                yield test.name.replace(".", "_"), program


@pytest.mark.slow
@pytest.mark.parametrize("checker", CHECKERS)
def test_examples_and_programs_pass(checker: str, tmp_path: Path) -> None:
    written = dict(examples())
    assert len(written) > 12
    for name, program in written.items():
        (tmp_path / f"{name}.py").write_text(program)
    assert check(checker, tmp_path) == ""


@pytest.mark.slow
@pytest.mark.parametrize("checker", CHECKERS)
def test_mistakes_do_not_pass(checker: str, tmp_path: Path) -> None:
    lines = ["from lading import AsyncClient, Client", *MISTAKES]
    (tmp_path / "mistakes.py").write_text("\n".join(lines) + "\n")
    said: dict[int, str] = {}
    for line in check(checker, tmp_path).splitlines():
        if found := re.search(r"mistakes\.py:(\d+)(?::\d+)?[: -]+error: (.*)", line):
            said[int(found[1])] = said.get(int(found[1]), "") + found[2]
    for number, (mistake, word) in enumerate(MISTAKES.items(), start=2):
        assert word in said.get(number, ""), f"{mistake}: {said.get(number)}"


@pytest.mark.slow
def test_every_type_of_the_package_is_known(tmp_path: Path) -> None:
    """What `pyright --verifytypes` finds: nothing is left to be inferred, in the public modules and in all others."""
    if importlib.util.find_spec("pyright") is None:
        missing("pyright is not installed: pip install pyright")
    # It reads no packages of an environment whose folder begins with a dot.
    (tmp_path / "packages").symlink_to(Path(msgspec.__file__).parent.parent)
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "pyright",
            "--pythonpath",
            sys.executable,
            "--verifytypes",
            "lading",
            "--ignoreexternal",
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{tmp_path / 'packages'}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert "Type completeness score: 100%" in ran.stdout, ran.stdout
    symbols = re.search(r'Symbols exported by "lading": (\d+)', ran.stdout)
    assert symbols is not None
    assert int(symbols[1]) > 1000
