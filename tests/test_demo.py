"""`lading demo` tells the whole story, and everything it shows can be typed by hand."""

import re
import signal
import subprocess
import sys
from pathlib import Path

from support.lading import Lading
from test_docs import FIRST_PORT, ROOT, free_port, play

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


def test_with_keep_the_pages_can_be_typed_beside_it(lading: Lading, tmp_path: Path) -> None:
    """All of README.md comes out as it is printed there, although the tour has changed tags before."""
    port = free_port(FIRST_PORT + 50)
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "lading", "demo", "--keep", "--address", f"127.0.0.1:{port}"],
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
            seen.append(line.strip())
            if line.startswith("lading tags"):
                break
        exported = next(line for line in seen if line.startswith("export DOCKER_CONFIG="))
        readme = ROOT / "README.md"
        folder = exported.partition("=")[2]
        assert play(readme, f"localhost:{port}", tmp_path / "user", DOCKER_CONFIG=folder) == readme.read_text()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
