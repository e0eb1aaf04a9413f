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
def completed(lading: Lading, tmp_path: Path) -> Completed:
    """What bash offers for each of some lines, typed in one session in the folder of the test."""
    program = tmp_path / "bin" / "lading"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m lading "$@"\n')
    program.chmod(0o755)
    environment = lading.environment | {"PATH": f"{program.parent}:{os.environ['PATH']}"}

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
    assert (verbs, set(within), option, choice) == (["tag", "tags"], {"push", "pull"}, ["--sort"], ["oci", "docker"])
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
    folder, names, archive, draft, entry = completed(
        "lading inspect oci:lay",
        "lading inspect oci:layout:a",
        "lading push docker-archive:im",
        "lading manifest push reg",
        "lading manifest remove reg.example/app:1 linux/ar",
    )
    assert (folder, names, archive) == (["layout", "layout/"], ["a.1"], ["images.tar"])
    assert (draft, entry) == (["reg.example/app:1"], ["linux/arm64"])


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
