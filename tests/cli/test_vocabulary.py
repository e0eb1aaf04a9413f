"""Command lines of other tools: the command that does their job is named, and nothing is sent."""

import re
import shlex

import click
import pytest

from cli.failing import USAGE, assert_failed
from cli.place import AMD64, Place
from lading.cli import lading as root
from lading.cli.vocabulary import ELSEWHERE, JOBS, OPTIONS, option
from support.lading import Lading
from support.parts import need
from support.process import run

HOST = "localhost:1"
SAID = {
    "catalog": ("'catalog'", "lading repos REGISTRY"),
    f"catalog {HOST}": ("'catalog'", f"lading repos {HOST}"),
    "images": ("'images'", "lading repos REGISTRY", "lading tags REPOSITORY"),
    f"ls {HOST}": ("'ls'", f"lading repos {HOST}"),
    f"ls {HOST}/a": ("'ls'", f"lading tags {HOST}/a"),
    f"list-tags docker://{HOST}/a": ("'list-tags'", f"lading tags docker://{HOST}/a"),
    f"remove {HOST}/a:1": ("'remove'", f"lading delete {HOST}/a:1"),
    "rm": ("'rm'", "lading delete REF", "lading delete --untag REF"),
    "attach x --artifact-type a/b": ("'attach'", "lading artifact attach REF FILE… --artifact-type TYPE"),
    "discover x": ("'discover'", "lading tree x"),
    "get x": ("'get'", "lading manifest inspect x"),
    "export x x.tar": ("'export'", "lading image export REF", "lading pull REF docker-archive:FILE"),
    "history x": ("'history'", "lading image history x"),
    "save x -o x.tar": ("'save'", "lading pull REF docker-archive:FILE"),
    "manifest fetch x": ("'manifest fetch'", "lading manifest inspect x"),
    "blob fetch x": ("'blob fetch'", "lading blob get x"),
    "auth login": ("'auth login'", "lading login REGISTRY"),
    f"tag ls {HOST}/a": ("'tag ls'", f"lading tags {HOST}/a"),
    f"tag rm {HOST}/a:1": ("'tag rm'", f"lading delete --untag {HOST}/a:1"),
    f"repo ls {HOST}": ("'repo ls'", f"lading repos {HOST}"),
    f"image copy {HOST}/a {HOST}/b": ("'image copy'", f"lading copy {HOST}/a {HOST}/b"),
    "index append x -m y": ("'index append'", "lading index add TARGET SOURCE"),
    "index list x": ("'index list'", "lading index ls x"),
    "buildx imagetools create -t x y": ("'imagetools create'", "lading index create TARGET SOURCE"),
    "buildx imagetools inspect x": ("'imagetools inspect'", "lading inspect x"),
    "help catalog": ("'catalog'", "lading repos REGISTRY"),
    f"artifact push -f a {HOST}/a": ("has no option -f", "files are arguments: [TITLE=]FILE[:TYPE]"),
    f"artifact pull --keep-old-files {HOST}/a": ("has no option --keep-old-files", "--no-clobber"),
    f"artifact ls --external b {HOST}/a": ("has no option --external", "--referrers-in LOCATION"),
    f"artifact backup --output d {HOST}/a": ("has no option --output", "DST is an argument, such as oci:DIR"),
    "frobnicate": ("'frobnicate'", "lading --help"),
    "insect": ("'insect'", "did you mean: lading inspect"),
    "manifest psh": ("'manifest psh'", "did you mean: lading manifest push"),
    f"digest -o json {HOST}/a": ("has no option -o", "--format json"),
    f"inspect --json {HOST}/a": ("has no option --json", "--format json"),
    f"copy --src-tls-verify=false {HOST}/a {HOST}/b": ("has no option --src-tls-verify", "--insecure"),
    f"pull --creds a:b {HOST}/a": ("has no option --creds", "lading login REGISTRY"),
    f"delete -f {HOST}/a": ("has no option -f", "--yes"),
    f"manifest create {HOST}/a b --force": ("has no option --force", "--replace"),
    f"-q digest {HOST}/a": ("-q stands before the command", "lading digest -q …"),
    f"--format=json digest {HOST}/a": ("--format stands before the command", "lading digest --format …"),
}


@pytest.mark.parametrize("line", SAID)
def test_the_command_that_does_the_job_is_named(lading: Lading, line: str) -> None:
    assert_failed(lading.run(*line.split(), check=False), USAGE, SAID[line])


PEERS = {
    "oras push": "artifact push",
    "oras pull": "artifact pull",
    "oras attach": "artifact attach",
    "oras discover": "tree",
    "oras backup": "artifact backup",
    "oras restore": "artifact restore",
    "oras blob fetch": "blob get",
    "oras blob push": "blob put",
    "oras manifest fetch": "manifest get",
    "oras manifest push": "manifest put",
    "oras manifest delete": "manifest delete",
    "regctl artifact get": "artifact get",
    "regctl artifact put": "artifact push",
    "regctl artifact list": "artifact ls",
    "regctl artifact tree": "tree",
    "regctl blob get": "blob get",
    "regctl blob put": "blob put",
    "regctl manifest get": "manifest get",
    "regctl manifest head": "manifest head",
    "regctl manifest put": "manifest put",
    "regctl manifest delete": "manifest delete",
}


@pytest.mark.parametrize("theirs", PEERS)
def test_every_option_of_other_tools_for_artifacts_is_known(theirs: str) -> None:
    """The same, or what it is called here, or why there is none."""
    page = run([need(theirs.partition(" ")[0]), *theirs.split()[1:], "--help"]).stdout.partition("Global Flags")[0]
    command: click.Command | None = root
    for word in PEERS[theirs].split():
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), word)
    assert command is not None
    ours = {"--help", *(name for param in command.params for name in param.opts)}
    names = re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", page, re.MULTILINE)
    assert len(names) > 1
    assert [name for name in names if name not in ours and option(name, command) is None] == []


GROUPS = ("auth", "blob", "image", "index", "manifest", "repo", "tag")


@pytest.mark.parametrize("tool", ["crane", "oras", "regctl", "skopeo"])
def test_every_command_of_other_tools_is_known(tool: str, lading: Lading) -> None:
    """What lading has under another name, it names; what it does not do, it says."""
    seen = 0
    for path in [
        (),
        *(() if tool == "skopeo" else ((group,) for group in GROUPS)),
    ]:
        for name in _commands_of(tool, path):
            words = [*path, name]
            if _is_command(words) or name == "help":
                continue
            said = lading.run(*words, check=False)
            assert said.returncode == USAGE, (words, said.stdout)
            assert re.search(r": lading |lading (signs|changes|builds) no|of lading ", said.stderr), said.stderr
            assert "did you mean" not in said.stderr, words
            assert "--help" not in said.stderr, words
            seen += 1
    assert seen


def _commands_of(tool: str, path: tuple[str, ...]) -> list[str]:
    """The commands of a group of a tool, as its help lists them."""
    page = run([need(tool), *path, "--help"], check=False).stdout
    if path and f"{tool} {' '.join(path)} [command]" not in page:
        return []
    listed = page.partition("Available Commands:")[2].partition("\n\n")[0]
    return re.findall(r"^  ([a-z-]+) ", listed, re.MULTILINE)


def _is_command(words: list[str]) -> bool:
    command: click.Command | None = root
    for word in words:
        command = command.get_command(click.Context(command), word) if isinstance(command, click.Group) else None
    return command is not None


def test_no_command_is_taken_for_one_of_others() -> None:
    names = [name for *_, names in (*JOBS, *ELSEWHERE) for name in names.split(", ")]
    assert [name for name in names if _is_command(name.split())] == []


def test_what_is_named_can_be_typed() -> None:
    """Every command that is named takes such a command line, and every option is one of some command."""
    for _, line, _ in JOBS:
        command: click.Command | None = root
        words = shlex.split(re.sub(r"\bOS/ARCH\b", "linux/arm64", line).lower())[1:]
        while isinstance(command, click.Group):
            command = command.get_command(click.Context(command), words.pop(0))
        assert command is not None, line
        command.make_context("lading", [word.replace("…", "") for word in words])
    flags = {flag for command in _every_command(root) for param in command.params for flag in param.opts}
    named = {said.split()[0] for options in OPTIONS.values() for said in options if said.startswith("-")}
    assert named <= flags


def _every_command(command: click.Command) -> list[click.Command]:
    if not isinstance(command, click.Group):
        return [command]
    inner = [
        command.get_command(click.Context(command), name) for name in command.list_commands(click.Context(command))
    ]
    return [command, *(found for one in inner if one is not None for found in _every_command(one))]


@pytest.mark.parametrize("words", ["", "digest", "manifest", "manifest push"])
def test_help_of_a_command(lading: Lading, words: str) -> None:
    assert lading.run("help", *words.split()).stdout == lading.run(*words.split(), "--help").stdout


def test_an_image_that_is_called_like_a_command(place: Place) -> None:
    ref = place.push("ls", AMD64)
    place.run("tag", ref, "list")
    assert set(place.run("tags", place.name).split()) == {"ls", "list"}
