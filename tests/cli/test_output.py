"""What every command does alike: terminals, pipes, signals, and requests that are shown."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from cli.place import AMD64, INDEX, Place
from cli.terminal import on_terminal, without_colour
from support.fakes import Reply, ScriptedServer, error_reply
from support.http import Request
from support.images import (
    Entry,
    make_image,
    make_index,
)
from support.lading import Lading
from support.parts import need
from support.process import run
from support.registry import RealRegistry


def test_a_terminal_changes_nothing_but_colour(place: Place) -> None:
    ref = place.push("1.0", INDEX)
    for command in (
        ["inspect", ref],
        ["tags", place.name, "--digests"],
        ["tag", "--dry-run", ref, "new"],
    ):
        piped = place.run(*command)
        assert on_terminal(place.lading, *command).text == piped
        coloured = on_terminal(place.lading, *command, env={"NO_COLOR": ""}).text
        assert without_colour(coloured) == piped
        assert ("\x1b[" in coloured) == (command[0] in ("inspect", "tag"))
        assert on_terminal(place.lading, *command, env={"NO_COLOR": "", "TERM": "dumb"}).text == piped


def test_documents_have_no_colour(place: Place) -> None:
    ref = place.push("1.0", INDEX)
    for format_ in ("json", "{{ reference }} {{ digest }}"):
        seen = on_terminal(place.lading, "inspect", ref, "--format", format_, env={"NO_COLOR": ""})
        assert seen.text == place.run("inspect", ref, "--format", format_)


def test_errors_in_colour(lading: Lading) -> None:
    assert on_terminal(lading, "digest", "App", env={"NO_COLOR": ""}).text.startswith("\x1b[31merror:\x1b[0m 'App'")
    assert on_terminal(lading, "digest", "App").text.startswith("error: 'App'")


HOSTILE = "\x1b]0;title\x07\x1b[31mred\x9b1m\x7f\u202edrowssap\r\x08"


def test_nobody_elses_control_characters_reach_a_terminal(place: Place) -> None:
    """Not in an annotation, not in a label, not in what a registry says; and in JSON escaped as JSON does."""
    image = make_image(kind="oci", annotations={HOSTILE: HOSTILE}, config={"Labels": {"a": HOSTILE}})
    ref = place.push("a", image)
    listed = place.push("list", make_index([Entry(image, annotations={"k": HOSTILE})], kind="oci"))
    for command in (
        ["inspect", ref],
        ["inspect", listed],
        ["inspect", ref, "--format", "json"],
        ["inspect", ref, "--format", "{{ config.Labels.a }}"],
        ["manifest", "create", f"{place.name}:l", ref],
        ["manifest", "inspect", ref, "--format", "json"],
    ):
        ran = place.lading.run(*command)
        for text in (ran.stdout, ran.stderr):
            assert not [c for c in text if (ord(c) < 32 and c != "\n") or 0x7F <= ord(c) <= 0x9F], command
    assert json.loads(place.run("inspect", ref, "--format", "json"))["annotations"] == {HOSTILE: HOSTILE}
    assert "\u202e" not in place.run("inspect", ref)
    assert r"\x1b]0;title\x07\x1b[31mred\x9b1m\x7f\u202edrowssap\r\x08" in place.run("inspect", ref)
    assert "\x1b[31mred" not in on_terminal(place.lading, "inspect", ref, env={"NO_COLOR": ""}).text


def test_what_a_registry_says_is_cleaned(lading: Lading) -> None:
    headers = (("Warning", '299 - "beware of this"'),)
    with ScriptedServer(lambda _: error_reply(403, "DENIED\x1b[1m", HOSTILE, headers=headers)) as server:
        ran = lading.run("manifest", "inspect", f"{server.host}/a/b:x", check=False)
    assert "\x1b" not in ran.stderr
    assert f"warning: {server.host} says: beware of this\n" in ran.stderr
    assert ran.stderr.count("warning:") == 1


def test_whoever_has_seen_enough(place: Place) -> None:
    ref = place.push("tag-0", AMD64)
    place.run("tag", ref, *(f"tag-{number}" for number in range(1, 30)))
    command = f"{sys.executable} -m lading tags {place.name} | head -n 1; echo ${{PIPESTATUS[0]}}"
    ran = run([need("bash"), "-c", command], env=place.lading.environment)
    assert ran.stdout.splitlines()[1] == "0"
    assert ran.stderr == ""
    closed = subprocess.run(
        [sys.executable, "-m", "lading", "inspect", ref],
        env=place.lading.environment,
        stdout=_closed_pipe(),
        stderr=subprocess.PIPE,
        check=False,
    )
    assert (closed.returncode, closed.stderr) == (0, b"")


def test_a_poor_encoding(place: Place) -> None:
    ref = place.push("a", make_image(kind="oci", annotations={"k": "…"}))
    assert "k=\\u2026" in place.lading.run("inspect", ref, env={"PYTHONIOENCODING": "latin-1"}).stdout


def test_ctrl_c_ends_it_at_once(lading: Lading) -> None:
    over = threading.Event()

    def answer(_: Request) -> Reply:
        over.wait(120)
        return Reply()

    with ScriptedServer(answer) as server:
        for command in (
            ["digest", f"{server.host}/a/b:x"],
            ["manifest", "create", f"{server.host}/a/b:l", f"{server.host}/a/b:x"],
        ):
            server.reset()
            process = subprocess.Popen(
                [sys.executable, "-m", "lading", *command],
                env=lading.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            while not server.requests and process.poll() is None:
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(timeout=60)  # although no answer comes
            assert (process.returncode, stdout, stderr) == (130, "", "interrupted\n")
        over.set()


@pytest.mark.parametrize("flag", ["--verbose", "--debug"])
def test_requests_are_shown(place: Place, flag: str) -> None:
    ran = place.lading.run("digest", flag, place.push("a", AMD64))
    assert ran.stdout == f"{AMD64.digest}\n"
    assert f"HEAD http://{place.host}/v2/{place.repository}/manifests/a 200" in ran.stderr


def test_debug_shows_where_an_error_came_from(lading: Lading) -> None:
    ran = lading.run("digest", "App", "--debug", check=False)
    assert "Traceback" in ran.stderr
    assert ran.stderr.splitlines()[-3].startswith("error: 'App'")


def test_requests_are_shown_without_passwords(lading: Lading, basic_registry: RealRegistry, team: str) -> None:
    lading.run("login", basic_registry.host, "-u", "alice", "--password-stdin", stdin=b"secret")
    ran = lading.run("digest", "--debug", team)
    assert "secret" not in ran.stderr.replace(team, "")
    assert "YWxpY2U6c2VjcmV0" not in ran.stderr


def _closed_pipe() -> int:
    read, write = os.pipe()
    os.close(read)
    return write
