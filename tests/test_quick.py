"""What is said before the command line is loaded, and what is loaded later: the same as without either."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from lading import later, quick
from support.lading import Lading

ASKED = [["--version"], [], ["help"], ["--help"], ["-h"]]


class TestQuick:
    @pytest.mark.parametrize("args", ASKED)
    def test_an_answer_is_that_of_the_command_line(
        self, args: list[str], lading: Lading, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        assert quick.answer(args)
        assert capfd.readouterr().out == lading.run(*args, env={"COLUMNS": "80"}).stdout

    @pytest.mark.parametrize("columns", ["", "nonsense", "0", "200"])
    def test_a_terminal_is_as_wide_as_the_environment_says_if_it_does(
        self, columns: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", columns)
        assert quick.answer(["help"])
        assert capfd.readouterr().out.startswith("Usage: lading")

    def test_a_narrow_terminal_gets_help_of_its_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "79")
        assert not quick.answer(["help"])

    @pytest.mark.parametrize("args", [["digest"], ["--version", "--debug"], ["help", "digest"], ["--help", "digest"]])
    def test_anything_else_is_for_the_command_line(self, args: list[str]) -> None:
        assert not quick.answer(args)

    def test_so_is_completion(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("_LADING_COMPLETE", "bash_complete")
        assert not quick.answer([])

    def test_so_is_an_output_that_takes_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        full = os.open("/dev/full", os.O_WRONLY)
        monkeypatch.setattr(os, "write", lambda _, text, write=os.write: write(full, text))
        assert not quick.answer(["--version"])
        os.close(full)

    def test_the_program_ends_in_the_same_way(self, lading: Lading) -> None:
        ran = lading.run("--version", process=True)
        assert (ran.stdout, ran.stderr) == (f"{quick.VERSION}\n", "")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with modules that are to be loaded later, if their names begin with `late`."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(later, "LATER", {"late", "late_pair", "late_pair.inner", "unicodedata"})
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.delitem(sys.modules, "unicodedata", raising=False)
    later.load_later()
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("late")]:
        del sys.modules[name]


def late(folder: Path, text: str) -> ModuleType:
    (folder / "late.py").write_text(text)
    return import_module("late")


class TestLater:
    def test_types_that_libraries_take_at_once_are_loaded_for_all_others(self) -> None:
        code = """
from lading import later
later.load_later()
import click, decimal, msgspec, uuid
print(later.is_waiting(decimal), later.is_waiting(uuid))
print(decimal.Decimal("1.5") * 2, uuid.UUID(int=1).int, uuid.SafeUUID.unknown.name)
print(msgspec.json.decode(b'{"a": 1.5}'), click.INT.convert("2", None, None))
"""
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert ran.stdout.splitlines() == ["True True", "3.0 1 unknown", "{'a': 1.5} 2"]

    def test_a_module_is_loaded_when_it_is_asked_for_a_name(self, folder: Path) -> None:
        module = late(folder, "value = 3\nloader = __loader__\n")
        assert later.is_waiting(module)
        assert module.value == 3
        assert not later.is_waiting(module)
        assert type(module) is ModuleType
        assert module.loader is module.__loader__
        with pytest.raises(AttributeError, match="nothing"):
            _ = module.nothing

    def test_so_is_one_that_a_name_is_imported_from(self, folder: Path) -> None:
        (folder / "late.py").write_text("value = 3\n")
        name: dict[str, object] = {}
        exec("from late import value", name)
        assert name["value"] == 3
        with pytest.raises(ImportError):
            exec("from late import nothing", {})

    def test_a_package_and_a_module_in_it_wait_each_for_itself(self, folder: Path) -> None:
        (folder / "late_pair").mkdir()
        (folder / "late_pair" / "__init__.py").write_text("value = 1\n")
        (folder / "late_pair" / "inner.py").write_text("from late_pair import value\nmore = value + 1\n")
        inner = import_module("late_pair.inner")
        assert later.is_waiting(sys.modules["late_pair"])
        assert inner.more == 2
        assert not later.is_waiting(sys.modules["late_pair"])

    def test_a_module_that_is_not_written_in_python(self, folder: Path) -> None:
        module = import_module("unicodedata")
        assert later.is_waiting(module)
        assert module.category("a") == "Ll"

    def test_a_failure_is_of_the_one_who_asks_and_the_next_one_tries_again(self, folder: Path) -> None:
        module = late(folder, "import nowhere_to_be_found\n")
        for _ in range(2):
            with pytest.raises(ModuleNotFoundError, match="nowhere_to_be_found"):
                _ = module.value

    def test_threads_wait_for_the_one_that_loads(self, folder: Path) -> None:
        text = "import threading\nbegun.set()\nmay_end.wait(20)\nvalue = 3\n"
        module = late(folder, text)
        begun, may_end = threading.Event(), threading.Event()
        module.__dict__.update(begun=begun, may_end=may_end)
        found: list[int] = []
        threads = [threading.Thread(target=lambda: found.append(module.value)) for _ in range(3)]
        for thread in threads:
            thread.start()
        assert begun.wait(20)
        may_end.set()
        for thread in threads:
            thread.join()
        assert found == [3, 3, 3]

    def test_what_is_not_there_is_not_found(self, folder: Path) -> None:
        with pytest.raises(ModuleNotFoundError):
            import_module("late")

    def test_names_that_stand_there_early_are_those_that_come(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import concurrent.futures
        import gettext
        import inspect
        import logging
        import platform
        import subprocess
        import traceback

        for module in (concurrent.futures, logging, subprocess):
            for name, value in later._EARLY[module.__name__].items():
                if name != "getLogger":
                    assert getattr(module, name) == value
        assert later._EARLY.keys() <= later.LATER
        assert later._EARLY["platform"]["system"]() == platform.system()  # type: ignore[operator]
        assert later._gettext("a") == gettext.gettext("a")
        assert [later._ngettext("a", "b", number) for number in (1, 2)] == ["a", "b"]
        for doc in ("", "a", "  a\tb ", "\ta\tb", "a\n   b\n   c\n", "\n  x\n    y\n\n"):
            assert later._cleandoc(doc) == inspect.cleandoc(doc)
        here, there = later._extract_stack(), traceback.extract_stack()
        assert here[-1].name == there[-1].name
        assert len(here) == len(there)

    def test_a_logger_logs(self, caplog: pytest.LogCaptureFixture) -> None:
        logger = later._Logger("somewhere")
        logger.warning("a thing")
        with caplog.at_level("DEBUG"):
            logger.debug("another %s", "thing")
        assert [(one.name, one.getMessage()) for one in caplog.records] == [
            ("somewhere", "a thing"),
            ("somewhere", "another thing"),
        ]

    def test_msgspec_takes_from_typing_what_is_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, "msgspec.json")
        with pytest.raises(ModuleNotFoundError):
            later._Finder.find_spec("typing_extensions")
        monkeypatch.delitem(sys.modules, "msgspec")
        assert later._Finder.find_spec("typing_extensions") is None
