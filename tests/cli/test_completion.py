"""Completion, as a shell asks for it: of what is known here, in files and in registries, without a word besides."""

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from shlex import quote

import pytest

from support.fakes import Reply, ScriptedServer, json_reply
from support.http import Request
from support.images import make_image, make_index, push
from support.lading import Lading
from support.parts import need
from support.process import run
from support.registry import RealRegistry

Completed = Callable[..., list[list[str]]]


@pytest.fixture
def environment(lading: Lading, tmp_path: Path) -> dict[str, str]:
    """One with `lading` on its path."""
    program = tmp_path / "bin" / "lading"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m lading "$@"\n')
    program.chmod(0o755)
    return lading.environment | {"PATH": f"{program.parent}:{os.environ['PATH']}"}


@pytest.fixture
def completed(environment: dict[str, str], tmp_path: Path) -> Completed:
    """What bash offers for each of some lines, typed in one session in the folder of the test."""

    def complete(*lines: str) -> list[list[str]]:
        script = ['eval "$(lading completion bash)"']
        for line in lines:
            script.append(f"COMP_LINE={quote(line)}; COMP_POINT=${{#COMP_LINE}}; _lading_completion lading")
            script.append('printf "%s " "${COMPREPLY[@]}"; echo')
        ran = run([need("bash"), "-c", "\n".join(script)], env=environment, cwd=tmp_path)
        assert ran.stderr == ""
        return [line.split() for line in ran.stdout.splitlines()]

    return complete


def test_commands_options_and_what_they_take(completed: Completed) -> None:
    verbs, within, option, choice, platform, client, code = completed(
        "lading ta",
        "lading manifest pu",
        "lading tags --so",
        "lading copy --to ",
        "lading inspect --platform linux/arm",
        "lading resolve x --as podm",
        "lading lint --ignore LAD10",
    )
    assert (verbs, set(within), option, choice) == (
        ["tag", "tags"],
        {"push", "pull", "put"},
        ["--sort"],
        ["oci", "docker"],
    )
    assert set(platform) == {"linux/arm/v6", "linux/arm/v7", "linux/arm64"}
    assert "podman" in client
    assert "LAD101" in code


def test_hosts_repositories_and_tags(
    completed: Completed, lading: Lading, registry: RealRegistry, new_repository: Callable[[], str]
) -> None:
    repository = new_repository()
    host, port = registry.host.split(":")
    for tag in ("1.10", "1.9", "2.0"):
        push(registry.host, repository, tag, make_image())
    name = f"{registry.host}/{repository}"
    lading.run("digest", f"{name}:1.9")
    (lading.docker_config / "config.json").write_text(
        '{"auths": {"https://index.docker.io/v1/": {}, "reg.example": {}}}'
    )
    hosts, login, repositories, tags, second, beside, option = completed(
        f"lading inspect {host}",
        "lading login reg.e",
        f"lading tags {name[:-2]}",
        f"lading digest {name}:1",
        f"lading copy oci:nowhere {name}:2",
        f"lading tag {name}:1.9 ",
        f"lading lint a --against={name}:2",
    )
    # What bash replaces is what follows the last colon.
    assert hosts == [f"{registry.host}/"]
    assert login == ["reg.example"]
    assert f"{port}/{repository}" in repositories
    assert (tags, second, beside, option) == (["1.9", "1.10"], ["2.0"], ["1.9", "1.10", "2.0"], ["2.0"])
    # Within a minute nobody is asked again.
    push(registry.host, repository, "1.11", make_image())
    assert completed(f"lading digest {name}:1.1") == [["1.10"]]


def test_files_drafts_and_their_entries(
    completed: Completed, lading: Lading, registry: RealRegistry, repository: str, tmp_path: Path
) -> None:
    push(registry.host, repository, "a", make_index([make_image("linux/amd64"), make_image("linux/arm64")]))
    lading.run("copy", f"{registry.host}/{repository}:a", f"oci:{tmp_path}/layout:a.1")
    lading.run("manifest", "create", "reg.example/app:1", f"oci:{tmp_path}/layout:a.1")
    (tmp_path / "images.tar").touch()
    lading.run("copy", f"{registry.host}/{repository}:a", "--platform", "linux/arm64", f"dir:{tmp_path}/single")
    folder, names, archive, single, draft, entry = completed(
        "lading inspect oci:lay",
        "lading inspect oci:layout:a",
        "lading push docker-archive:im",
        "lading push dir:s",
        "lading manifest push reg",
        "lading manifest remove reg.example/app:1 linux/ar",
    )
    assert (folder, names, archive) == (["layout", "layout/"], ["a.1"], ["images.tar"])
    assert single == ["single", "single/"]
    assert (draft, entry) == (["reg.example/app:1"], ["linux/arm64"])


def test_in_fish(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "images.tar").touch()
    lines = "lading tags --so", "lading inspect oci-archive:im", "lading login --authfile im", "lading copy --to do"
    asked = "; ".join(f"complete -C {quote(line)}" for line in lines)
    ran = run([need("fish"), "-c", f"lading completion fish | source; {asked}"], env=environment, cwd=tmp_path)
    said = [line.partition("\t")[0] for line in ran.stdout.splitlines()]
    assert (said, ran.stderr) == (["--sort", "oci-archive:images.tar", "images.tar", "docker"], "")


ZSH = r"""
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'autoload -Uz compinit; compinit -u -D; eval "$(lading completion zsh)"'
zpty -w shell 'keep() { print -r -- "$BUFFER" >>typed; BUFFER= }; zle -N keep; bindkey "^X" keep; : >typed'
while [[ ! -e typed ]]; do sleep 0.05; done
zpty -w -n shell "${(pj:\t\x18:)@}"$'\t\x18'
while (( $(wc -l <typed) < $# )); do sleep 0.05; done
cat typed
"""


def test_in_zsh(environment: dict[str, str], tmp_path: Path) -> None:
    """Typed at a prompt, and completed there: what the line has then."""
    (tmp_path / "images.tar").touch()
    lines = {
        "lading tags --so": "lading tags --sort ",
        "lading inspect oci-archive:im": "lading inspect oci-archive:images.tar ",
        "lading login --authfile im": "lading login --authfile images.tar ",
        "lading inspect oci:bi": "lading inspect oci:bin/",
        "lading lint --fail-on ne": "lading lint --fail-on never ",
    }
    ran = run([need("zsh"), "-f", "-c", ZSH, "zsh", *lines], env=environment | {"TERM": "dumb"}, cwd=tmp_path)
    assert (ran.stdout.splitlines(), ran.stderr) == (list(lines.values()), "")


def test_what_would_run_as_a_command_is_not_offered(completed: Completed) -> None:
    hostile = ["a$(touch evil)", "a;b", "a`id`", "a b", "a\nb", "a\u202e", "a'", "ok"]
    with ScriptedServer(lambda _: json_reply({"name": "app", "tags": hostile})) as server:
        assert completed(f"lading tags --points-at {server.host}/app:") == [["ok"]]


def test_a_registry_that_says_nothing_is_not_waited_for(completed: Completed) -> None:
    over = threading.Event()

    def answer(_: Request) -> Reply:
        over.wait(60)
        return Reply()

    with ScriptedServer(answer) as server:
        begin = time.monotonic()
        assert completed(f"lading digest {server.host}/app:") == [[]]
        over.set()
        assert time.monotonic() - begin < 10


def test_what_is_broken_or_refused_is_no_noise(completed: Completed, lading: Lading) -> None:
    (lading.docker_config / "config.json").write_text("{")
    with ScriptedServer(lambda _: Reply(status=401)) as server:
        lines = f"lading digest {server.host}/app:", "lading digest [", "lading nothing ", "lading tags 'unended"
        assert completed(*lines) == [[], [], [], []]
