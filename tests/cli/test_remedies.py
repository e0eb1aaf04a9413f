"""Remedies that are printed are commands that parse and help: those written down are parsed, and these are tried."""

import ast
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

import lading.cli
from cli.place import Place
from lading.cli.findings import worded_code
from lading.images.lint import CODES
from support.certs import Authority
from support.images import Entry, make_image, make_index, push
from support.lading import Lading
from support.process import Ran
from support.registry import RealRegistry
from support.remedies import commands, refused

CLI = Path(lading.cli.__file__).parent
DOCS = CLI.parents[2] / "docs"
AMD64 = make_image("linux/amd64", kind="oci", seed="amd64")
ARMV7 = make_image("linux/arm/v7", kind="oci", seed="arm")
INDEX = make_index([AMD64, ARMV7], kind="oci")


def texts(module: ast.AST) -> list[str]:
    """The texts of a module that are no docstrings, with names in the places of values."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {ast.get_docstring(node, clean=False) for node in ast.walk(module) if isinstance(node, documented)}
    inner = {id(part) for node in ast.walk(module) if isinstance(node, ast.JoinedStr) for part in node.values}
    found = []
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            found.append(re.sub(r"{\w+}", "reg.example/app:1", node.value))
        elif isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "reg.example/app:1" for part in node.values]
            found.append("".join(map(str, parts)))
    return [text for text in found if text not in docstrings]


MADE = ("demo.py", "findings.py")
"""What they say is put together when it is said: the demo runs it, and what lint says is tried below."""


def test_every_command_that_is_written_down_parses() -> None:
    said = [text for path in CLI.rglob("*.py") if path.name not in MADE for text in texts(ast.parse(path.read_text()))]
    said += [worded_code(code).remedy for code in CODES.values()]
    said += [span for page in DOCS.glob("lint/*.md") for span in re.findall(r"`([^`]+)`", page.read_text())]
    seen = [command for text in said for command in commands(text)]
    assert len(seen) > 100
    assert {command: why for command in seen if (why := refused(command))} == {}


@pytest.fixture
def typed(place: Place, tmp_path: Path) -> Callable[..., Ran]:
    """Runs a command in the folder of the test, where there are a layout, archives and a registry with the same."""
    place.push("image", AMD64)
    place.push("list", INDEX)
    run = place.lading.run
    for target in ("oci:my layout:list", "oci-archive:images.oci:list"):
        run("copy", "-q", f"{place.name}:list", target, cwd=tmp_path)
    run("copy", "-q", f"{place.name}:image", "docker-archive:images.tar:app:image", cwd=tmp_path)

    def type_in(line: str, *, check: bool = False) -> Ran:
        return run(*shlex.split(line), check=check, cwd=tmp_path)

    return type_in


HELPS: dict[str, dict[str, str]] = {
    "digest {r}:none": {},
    "digest {host}/nothing:none": {},
    "inspect 'oci:my layout:none'": {},
    "inspect oci-archive:images.oci:none": {},
    "tags {r}:list": {},
    "tags 'oci:my layout:list'": {},
    "manifest pull {r}:image": {"NAME": "reg.example/new:1"},
    "manifest push {r}:unmade": {"IMAGE…": "{r}:image", "{r}:unmade": "{r}:list"},
    "manifest inspect {r}:unmade {r}:image": {},
    "manifest rm {r}:unmade": {},
    "registry gc 'oci:my layout:list'": {"delete": "delete --yes"},
    "tag {r}:list docker-archive:new.tar:app:a": {
        "OS/ARCH": "linux/amd64",
        "SRC": "{r}:list",
        "DST": "docker-archive:b.tar",
    },
    "delete --yes docker-archive:images.tar:app:image": {"FILE": "second.tar"},
    "registry check 'oci:my layout:list'": {"REFERENCE": "{r}:brought"},
    "pull {r}:image {r}:other": {},
    "push {r}:image {host}/other/app": {"REF": "{host}/other/app:1"},
    "push 'my layout' {r}": {},
    "manifest push --if-digest absent {r}:unmade": {"IMAGE…": "{r}:image", "{r}:unmade": "{r}:list"},
}
"""What is typed, and what is put in the place of words of the remedy that stand for others."""


@pytest.mark.parametrize("line", HELPS)
def test_a_remedy_can_be_typed_and_helps(line: str, typed: Callable[..., Ran], place: Place) -> None:
    names = {"r": place.name, "host": place.host}
    typed(f"manifest create {place.name}:made {place.name}:image", check=True)
    failed = typed(line.format(**names))
    assert failed.returncode != 0
    remedies = [command for text in failed.stderr.splitlines()[1:] for command in commands(text)]
    for command in remedies:
        words = command
        for word, value in HELPS[line].items():
            words = words.replace(word.format(**names), value.format(**names))
        typed(words, check=True)
    assert remedies or "oci:" in failed.stderr, failed.stderr


@pytest.mark.parametrize("where", ["{r}:bad", "'oci:my layout:bad'"])
def test_what_lint_says_mends_the_list(where: str, typed: Callable[..., Ran], place: Place, tmp_path: Path) -> None:
    """All that is said is typed, in its order, and then there is nothing to find."""
    other = make_image("linux/amd64", kind="oci", seed="hidden")
    bad = make_index([AMD64, other, Entry(ARMV7, platform={"os": "linux", "architecture": "arm"})], kind="oci")
    place.push("bad", bad)
    typed(f"copy -q {place.name}:bad 'oci:my layout:bad'", check=True)
    where = where.format(r=place.name)
    found = typed(f"lint {where}")
    assert found.stdout.count("LAD") == 2
    said = [command for line in found.stdout.splitlines() for command in commands(line)]
    assert len(said) == 2, (found.stdout, found.stderr)
    for command in said:
        typed(command, check=True)
    assert "nothing found" in typed(f"lint {where}", check=True).stdout


def test_a_damaged_blob_is_replaced_as_it_is_said(typed: Callable[..., Ran], place: Place, tmp_path: Path) -> None:
    blob = tmp_path / "my layout" / "blobs" / "sha256" / next(iter(AMD64.blobs)).removeprefix("sha256:")
    blob.chmod(0o644)
    blob.write_bytes(bytes(blob.stat().st_size))
    failed = typed("copy 'oci:my layout:list' oci:other:list")
    (command,) = commands(failed.stderr)
    source, target = f"{place.name}:list", "'oci:my layout:list'"
    words = command.replace("SRC", source)
    typed(words if ":list" in words else words.replace("'oci:my layout'", target), check=True)
    typed("copy 'oci:my layout:list' oci:other:list", check=True)


LOCAL = """
digest {0}:none
digest {0}:list --platform linux/s390x
inspect {0}:none
inspect {0}@sha256:{zeros}
resolve {0}:none
lint {0}:none
tag {0}:none more
tag --if-digest absent {0}:list list
delete --yes {0}:none
delete --untag --yes {0}:none
tags {0}:list
copy {0}:none oci:new:a
copy {0}:list --platform linux/s390x oci:new:a
copy --include 'x*' {0}:list oci:new:a
copy --all-tags --include 'x*' {0} oci:new
copy --referrers {0}:list docker-archive:new.tar
copy --if-digest sha256:{zeros} {0}:list {0}:other
copy --sparse {0}:list oci:new:a
push {0}:none {r}:x
push {0}:list --platform linux/s390x {r}:x
manifest inspect {0}:none
manifest create {r}:made {0}:none
manifest create {r}:made {0}:list --platform linux/s390x
image ls {0}:none
image ls {0}:list /none
image cat {0}:list /none
image size {0}:none
image history {0}:none
image export {0}:none new.tar
"""


STORES = ["'oci:my layout'", "oci-archive:images.oci", "docker-archive:images.tar", "dir:single", "oci:nowhere"]


@pytest.mark.parametrize("store", STORES)
def test_of_a_file_nothing_is_said_of_registries(store: str, typed: Callable[..., Ran], place: Place) -> None:
    """Nor is a part of its name taken for a password."""
    typed("copy -q 'oci:my layout:list' --platform linux/amd64 dir:single", check=True)
    for line in LOCAL.split("\n")[1:-1]:
        ran = typed(line.format(store, r=place.name, zeros="0" * 64))
        assert ran.stderr or not ran.returncode, line
        assert "registr" not in ran.stderr.lower(), (line, ran.stderr)
    for name in ("1", "a.b@1", "@0"):
        ran = typed(f"digest {store}:@{name}")
        assert "***" not in ran.stderr, ran.stderr


@pytest.mark.parametrize(
    "command", ["digest {r}:1", "copy {r}:1 {r}:2", "manifest create reg.example/list:1 {r}:1", "tags {r}"]
)
def test_what_is_said_of_a_certificate_that_nobody_knows_helps(command: str, lading: Lading, tmp_path: Path) -> None:
    """The registry has a name of its own: what is on loopback is believed without."""
    authority = Authority(tmp_path / "authority", names=("registry.example", "127.0.0.1"))
    with RealRegistry(tls=authority) as registry:
        push(registry.host, "app", "1", AMD64, scheme="https", trust=authority)
        host = f"registry.example:{registry.host.partition(':')[2]}"
        words = [*command.format(r=f"{host}/app").split(), "--resolve", f"{host}:127.0.0.1"]
        failed = lading.run(*words, check=False)
        assert failed.returncode == 6
        assert "if the host is trusted: --ca-file, or ca_file = … for this host" in failed.stderr
        lading.run(*words, "--ca-file", str(authority.ca))
        config = lading.home / ".config" / "lading" / "config.toml"
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(f'[hosts."{host}"]\nca_file = "{authority.ca}"\n')
        lading.run(*words, *(["--replace"] if words[0] == "manifest" else []))
