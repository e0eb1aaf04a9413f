"""What is public: the lists of names, and that the pages and the programs need nothing else."""

import ast
import importlib.util
import re
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

import lading

ROOT = Path(__file__).parent.parent
PUBLIC = ["lading", "lading.errors", "lading.model", "lading.store", "lading.edits", "lading.serve"]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
PROGRAMS = sorted((ROOT / "tests" / "programs").glob("*.py"))


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_is_there_and_says_what_it_is(module: str) -> None:
    loaded = import_module(module)
    assert len(set(loaded.__all__)) == len(loaded.__all__)
    for name in loaded.__all__:
        value = getattr(loaded, name)
        if isinstance(value, type | FunctionType):
            assert value.__doc__, name


@pytest.mark.parametrize("module", ["lading", "lading.model"])
def test_what_is_loaded_late_is_what_type_checkers_see(module: str) -> None:
    loaded = import_module(module)
    tree = ast.parse(Path(loaded.__file__ or "").read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        (node.module or "", alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == {(f"lading.{at}", name) for at, name in _homes(module)}
    assert {name for _, name in seen} == set(loaded.__all__) - {"__version__"}


def _homes(module: str) -> list[tuple[str, str]]:
    loaded = import_module(module)
    above = module.removeprefix("lading").lstrip(".")
    return [(f"{above}.{at}".lstrip("."), name) for at, names in loaded._HOME.items() for name in names]


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Clint'"):
        lading.Clint  # noqa: B018
    assert set(dir(lading)) == set(lading.__all__)


def test_a_name_in_several_modules_is_one_thing() -> None:
    seen: dict[str, object] = {}
    for module in PUBLIC:
        loaded = import_module(module)
        for name in loaded.__all__:
            assert seen.setdefault(name, getattr(loaded, name)) is getattr(loaded, name), name


@pytest.mark.parametrize("path", [*PAGES, *PROGRAMS], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_pages_and_programs_import_public_names_only(path: Path) -> None:
    text = path.read_text()
    for program in [text] if path.suffix == ".py" else BLOCK.findall(text):
        for node in ast.walk(ast.parse(program)):
            if isinstance(node, ast.Import):
                assert all(alias.name in PUBLIC or not alias.name.startswith("lading") for alias in node.names)
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "lading":
                assert node.module in PUBLIC
                for alias in node.names:
                    is_module = f"{node.module}.{alias.name}" in PUBLIC
                    assert is_module or alias.name in import_module(node.module or "").__all__


@pytest.fixture(scope="module")
def describe_api() -> ModuleType:
    found = importlib.util.spec_from_file_location("describe_api", ROOT / "docs" / "describe_api.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_the_reference_is_up_to_date(describe_api: ModuleType) -> None:
    """`docs/reference.md` is made from the docstrings: `python docs/describe_api.py > docs/reference.md`."""
    assert describe_api.missing() == set()
    assert (ROOT / "docs" / "reference.md").read_text() == describe_api.page()


STANDARD = {"Any", "AbstractAsyncContextManager", "AsyncIterator", "BinaryIO", "Callable", "Collection", "Iterable"}
STANDARD |= {"Literal", "Mapping", "None", "Path", "PathLike", "Self", "Sequence", "True", "False"}
WORDS = {"Compression", "Format", "ListType", "TagOrder"}
"""Aliases for a few words, which a program writes as they are."""


def test_what_clients_take_and_give_is_public(describe_api: ModuleType) -> None:
    public = {name for module in PUBLIC for name in import_module(module).__all__}
    ours = (lading.AsyncClient, lading.Drafts, lading.Blobs, lading.Registries, lading.Store, lading.Reader)
    for kind in (*ours, lading.Images, lading.Image, lading.ImageIndex):
        for name, value in describe_api._members(kind):
            if not isinstance(value, property):
                signature = describe_api._code(name, getattr(kind, name))
                named = set(re.findall(r"(?<![\w\"'])[A-Z]\w+", signature))
                assert named <= public | STANDARD | WORDS, f"{kind.__name__}.{name}"
