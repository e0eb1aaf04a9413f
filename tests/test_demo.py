"""`lading demo` tells the whole story, and everything it shows can be typed by hand."""

import re
import signal
import subprocess
import sys

from support.docker import DockerCLI
from support.lading import Lading

STORY = ["inspect", "tag", "tags", "manifest create", "manifest annotate", "manifest push", "manifest add"]
STORY += ["manifest ls", "manifest inspect", "delete"]


def test_the_demo_runs_every_command_of_the_story(lading: Lading) -> None:
    ran = lading.run("demo")
    commands = re.findall(r"^\$ lading (.*)$", ran.stdout, re.MULTILINE)
    for verb in STORY:
        assert any(command.startswith(verb) for command in commands), verb
    assert "moved from" in ran.stderr
    # The user's own store and credentials were left alone.
    assert list(lading.docker_config.iterdir()) == []


def test_with_keep_its_commands_can_be_typed_by_hand(lading: Lading, docker: DockerCLI) -> None:
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "lading", "demo", "--keep"],
        env=lading.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        seen = []
        for line in process.stdout:
            seen.append(line)
            if line.startswith("lading inspect"):
                break
        exported = next(line for line in seen if line.startswith("export DOCKER_CONFIG="))
        settings = {"DOCKER_CONFIG": exported.strip().partition("=")[2]}
        reference = seen[-1].split()[-1]
        assert "3 platforms" in lading.run("inspect", reference, env=settings).stdout
        assert (
            lading.run("manifest", "inspect", reference).stdout
            == docker.run("manifest", "inspect", "--insecure", reference).stdout
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
