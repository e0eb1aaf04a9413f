"""A package that only some commands need: which extra has it, and the line that installs it where lading came from."""

import json
import shlex
import sys

import pytest

from cli.failing import USAGE, assert_failed
from lading.cli import extras
from support.lading import Lading

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CAME = {
    "a checkout": (
        {"url": "file:///home/you/my%20lading", "dir_info": {"editable": True}},
        "/home/you/my lading[serve]",
    ),
    "a repository": (
        {"url": "https://git.example/lading", "vcs_info": {"vcs": "git", "commit_id": COMMIT}},
        f"lading[serve] @ git+https://git.example/lading@{COMMIT}",
    ),
    "a wheel": (
        {"url": "file:///tmp/lading-1.0-py3-none-any.whl", "archive_info": {}},
        "lading[serve] @ file:///tmp/lading-1.0-py3-none-any.whl",
    ),
    "an index": (None, "lading[serve]"),
}


class Installed:
    """A distribution that says where it came from."""

    def __init__(self, came: object) -> None:
        self._came = came

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return json.dumps(self._came) if self._came is not None else None


@pytest.mark.parametrize("came", CAME)
def test_from_where_it_came(came: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said, what = CAME[came]
    monkeypatch.setattr(extras, "distribution", lambda _: Installed(said))
    assert shlex.split(extras.install_line("serve")) == [sys.executable, "-m", "pip", "install", what]


@pytest.mark.parametrize(
    "prefix, begins",
    [
        ("/home/you/.local/share/uv/tools/lading", "uv tool install --force"),
        ("/home/you/.local/share/pipx/venvs/lading", "pipx install --force"),
    ],
)
def test_by_what_installed_it(prefix: str, begins: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", prefix)
    monkeypatch.setattr(extras, "distribution", lambda _: Installed(None))
    assert extras.install_line("aws") == f"{begins} 'lading[aws]'"


def test_an_environment_without_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda _: None)
    assert extras.install_line("aws").startswith(f"uv pip install --python {sys.executable} ")


@pytest.mark.parametrize(
    "package, command",
    [
        ("starlette", "registry serve --address 127.0.0.1:0"),
        ("uvicorn", "registry serve --address 127.0.0.1:0"),
        ("h11", "demo"),
    ],
)
def test_commands_name_the_extra(package: str, command: str, lading: Lading, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package or name.startswith("lading.serve")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    said = lading.run(*command.split(), check=False)
    assert_failed(said, USAGE, ["", package, f"install it: {extras.install_line('serve')}"])
