"""`demo`: the whole story on the embedded registry, each command with its real output."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import click

from lading.cli.groups import Command
from lading.cli.options import Options, common


@click.command(cls=Command)
@click.option("--keep", is_flag=True, help="Serve it anew afterwards, until interrupted, for you to try things.")
@click.option("--address", default="127.0.0.1:0", metavar="HOST:PORT", help="Where the registry listens.")
@common(insecure=False)
def demo(options: Options, keep: bool, address: str) -> None:
    """Walk through lading's main job, without a server and without a network.

    Every command is printed and then really run, against a registry in this process.

    \b
    lading demo
    lading demo --keep --address 127.0.0.1:5000
    """
    with stage(options, address) as (host, _):
        _walk(host)
    if keep:
        # What is tried begins where the pages of the documentation do: the tour has moved tags.
        with stage(options, host) as (host, folder):
            _wait(host, folder)


@contextmanager
def stage(options: Options, address: str) -> Iterator[tuple[str, str]]:
    """A registry with images, each for one platform, and no local lists: what the demo and every page begin with.

    Args:
        options: the flags of the command that shows it.
        address: where the registry listens.

    Returns:
        The registry, and the folder of Docker's that lists and credentials are kept in meanwhile: the user's are left
        alone.
    """
    from lading.images.demo import fill
    from lading.serve import background

    with tempfile.TemporaryDirectory(prefix="lading-demo-") as folder, background(address=address) as url:
        host = url.removeprefix("http://")
        before = os.environ.get("DOCKER_CONFIG")
        os.environ["DOCKER_CONFIG"] = folder
        try:
            options.run(lambda client: fill(client.connect(f"{host}/demo/app", writing=True)))
            yield host, folder
        finally:
            if before is None:
                del os.environ["DOCKER_CONFIG"]
            else:
                os.environ["DOCKER_CONFIG"] = before


def _walk(host: str) -> None:
    app = f"{host}/demo/app"
    _say(f"A registry runs at {host}, with images that were built one platform at a time.")
    _run(f"lading tags {app}")
    _run(f"lading inspect {app}:1.0-amd64")
    _say("Another tag, without pulling: one request reads the manifest, one writes it.")
    _run(f"lading tag {app}:1.0-amd64 amd64-stable")
    _run(f"lading tags {app} --points-at amd64-stable")
    _say("Several platforms under one name.")
    _run(f"lading manifest create {app}:1.0 {app}:1.0-amd64 {app}:1.0-arm64")
    _run(f"lading manifest annotate {app}:1.0 {app}:1.0-arm64 --variant v8")
    _run("lading manifest ls")
    _run(f"lading manifest push --dry-run {app}:1.0")
    _run(f"lading manifest push {app}:1.0")
    _run(f"lading inspect {app}:1.0")
    _say("The 32-bit ARM image is there now, too: update the list, and push it only if nobody else did.")
    _run(f"lading manifest add {app}:1.0 {app}:1.0-arm")
    _run("lading manifest ls --remote")
    _run(f"lading manifest push {app}:1.0 --if-digest $(lading digest {app}:1.0) -t latest")
    _run(f"lading manifest inspect {app}:latest")
    _say("A new version of one image: the list is resolved anew, and says what changed.")
    _run(f"lading tag {app}:1.1-amd64 1.0-amd64")
    _run(f"lading manifest create --amend {app}:1.0 {app}:1.0-amd64")
    _run(f"lading manifest push --purge {app}:1.0")
    _run("lading manifest ls")
    _say("What is no longer needed goes; lading says first what that takes.")
    _run(f"lading delete --dry-run {app}:1.0-arm")
    _run(f"lading delete --untag --yes {app}:amd64-stable")
    _run(f"lading tags {app} --digests")


def _run(line: str) -> None:
    from lading.cli import main
    from lading.cli.output import paint, say

    say(paint(f"$ {line}", "bold"))
    code = main(_words(line)[1:])
    say("")
    if code:
        raise click.ClickException(f"the demo's own command ended with {code}: {line}")


def _words(line: str) -> list[str]:
    """The words of a command line, with `$(lading …)` replaced by what it prints."""
    import contextlib
    import io

    from lading.cli import main

    start = line.find("$(")
    if start >= 0:
        end = line.index(")", start)
        answer = io.StringIO()
        with contextlib.redirect_stdout(answer):
            main(_words(line[start + 2 : end])[1:])
        line = line[:start] + answer.getvalue().strip() + line[end + 1 :]
    return shlex.split(line)


def _say(text: str) -> None:
    from lading.cli.output import paint, say

    say(paint(f"# {text}", "green"))


def _wait(host: str, folder: str) -> None:
    import signal
    import threading

    from lading.cli.output import say

    _say("The registry begins anew, as the pages of the documentation do, and serves until Ctrl-C.")
    _say("To leave your own lists and credentials alone, in the terminal where you try things:")
    say(f"export DOCKER_CONFIG={shlex.quote(folder)}", f"lading tags {host}/demo/app")
    done = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: done.set())
    try:
        done.wait()
    except KeyboardInterrupt:
        say("")
