"""The real clients that pull, each with everything in a folder of its own, and what they took.

`client` is how lading calls one, with the version that is installed. `pull` says which images were taken, by the
digest of their config, or what was printed where none was.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from support.docker import DockerCLI, dockerd
from support.images import Manifest, digest_of
from support.parts import missing, need, need_containerd
from support.process import Ran, bare_environment, run

PATIENCE = 30


@dataclass(frozen=True)
class Took:
    """What a client took."""

    images: tuple[str, ...] = ()
    """The digests of the configs."""
    printed: str = ""
    """What it said where it failed."""
    failed: bool = False


class Puller(Protocol):
    """A client that pulls."""

    @property
    def client(self) -> str:
        """What lading calls it."""

    def pull(self, name: str, platform: str | None, among: Sequence[Manifest]) -> Took:
        """Pull a name.

        Args:
            name: with its tag.
            platform: what `--platform` is given, if anything.
            among: the images it leads to.
        """


class Docker:
    """A docker daemon with a graph driver."""

    def __init__(self, cli: DockerCLI) -> None:
        self._cli = cli
        version = cli.run("version", "--format", "{{.Server.Version}}").stdout
        self.client = f"docker@{_number(version)}+graphdriver"

    def pull(self, name: str, platform: str | None, among: Sequence[Manifest]) -> Took:
        options = ["--platform", platform] if platform else []
        ran = self._cli.run("pull", *options, name, check=False)
        if ran.returncode:
            return _failed(ran)
        found = self._cli.run("image", "inspect", "--format", "{{.Id}}", name).stdout.strip()
        self._cli.run("image", "rm", "--force", found)
        return Took((found,))


class Podman:
    """podman without a service."""

    def __init__(self, folder: Path) -> None:
        program = need("podman")
        options = ["--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--events-backend=file"]
        folders = [f"--root={folder}/root", f"--runroot={folder}/run", f"--tmpdir={folder}/tmp"]
        self._command = [str(program), *folders, *options]
        (folder / "config.json").write_text("{}")
        self._environment = bare_environment(folder) | {"DOCKER_CONFIG": str(folder)}
        tried = self._run("images", check=False)
        if tried.returncode:
            missing(f"podman does not run here: {tried.stderr}")
        self.client = f"podman@{_number(self._run('--version').stdout)}"

    def pull(self, name: str, platform: str | None, among: Sequence[Manifest]) -> Took:
        options = ["--platform", platform] if platform else []
        ran = self._run("pull", "--quiet", "--tls-verify=false", *options, name, check=False)
        if ran.returncode:
            return _failed(ran)
        found = ran.stdout.strip().splitlines()[-1]
        self._run("rmi", "--force", found)
        return Took((f"sha256:{found}",))

    def _run(self, *arguments: str, check: bool = True) -> Ran:
        return run([*self._command, *arguments], check=check, env=self._environment)


class Skopeo:
    """skopeo, which copies (`copy`) or reads the config (`inspect`)."""

    def __init__(self, folder: Path, variant: str) -> None:
        self._program = need("skopeo")
        self._folder = folder
        self._variant = variant
        (folder / "config.json").write_text("{}")
        self._environment = bare_environment(folder) | {"DOCKER_CONFIG": str(folder)}
        version = _number(run([self._program, "--version"]).stdout)
        self.client = f"skopeo@{version}+{variant}"

    def pull(self, name: str, platform: str | None, among: Sequence[Manifest]) -> Took:
        parts = platform.split("/") if platform else []
        options = [f"--override-{what}={part}" for what, part in zip(("os", "arch", "variant"), parts, strict=False)]
        if self._variant == "inspect":
            ran = self._run(*options, "inspect", "--tls-verify=false", "--config", "--raw", f"docker://{name}")
            return _failed(ran) if ran.returncode else Took((digest_of(ran.stdout_bytes),))
        folder = self._folder / "copy"
        shutil.rmtree(folder, ignore_errors=True)
        ran = self._run(
            "--insecure-policy", *options, "copy", "--src-tls-verify=false", f"docker://{name}", f"dir:{folder}"
        )
        if ran.returncode:
            return _failed(ran)
        return Took((json.loads((folder / "manifest.json").read_text())["config"]["digest"],))

    def _run(self, *arguments: str) -> Ran:
        return run([self._program, *arguments], check=False, env=self._environment)


class Ctr:
    """`ctr` with a containerd of its own; what it took is what it unpacked."""

    def __init__(self, program: Path, folder: Path, variant: str) -> None:
        self._program = program
        self._folder = folder
        self._variant = variant
        self._pulls = 0
        version = _number(run([program, "--version"]).stdout)
        self.client = f"ctr@{version}+{variant}"

    def pull(self, name: str, platform: str | None, among: Sequence[Manifest]) -> Took:
        self._pulls += 1
        options = ["--platform", platform] if platform else []
        options += ["--local"] if self._variant == "local" and not self.client.startswith("ctr@1") else []
        ran = self._run("images", "pull", "--plain-http", "--snapshotter=native", *options, name)
        unpacked = self._run("snapshots", "--snapshotter=native", "ls").stdout
        images = tuple(image.document["config"]["digest"] for image in among if _diff(image) in unpacked)
        return Took(images, ran.stderr, True) if ran.returncode else Took(images)

    def fetched(self, among: Sequence[Manifest]) -> tuple[str, ...]:
        """The configs of the images of which the last pull downloaded the layers."""
        there = self._run("content", "ls", "--quiet").stdout
        return tuple(
            image.document["config"]["digest"]
            for image in among
            if all(layer["digest"] in there for layer in image.document["layers"])
        )

    def _run(self, *arguments: str) -> Ran:
        options = [f"--address={self._folder}/c.sock", f"--namespace=pull{self._pulls}"]
        return run([self._program, *options, *arguments], check=False, env=bare_environment(self._folder))


@contextmanager
def docker() -> Iterator[Docker]:
    with dockerd() as cli:
        yield Docker(cli)


@contextmanager
def podman() -> Iterator[Podman]:
    # podman wants a short path.
    with tempfile.TemporaryDirectory(prefix="podman-", ignore_cleanup_errors=True) as name:
        yield Podman(Path(name))


@contextmanager
def skopeo(variant: str) -> Iterator[Skopeo]:
    with tempfile.TemporaryDirectory(prefix="skopeo-") as name:
        yield Skopeo(Path(name), variant)


@contextmanager
def ctr(major: int, variant: str) -> Iterator[Ctr]:
    """`ctr` of a major version, and the containerd that it needs. Needs root."""
    program, client = need_containerd(major)
    if os.geteuid() != 0:
        missing("containerd needs root")
    with tempfile.TemporaryDirectory(prefix="ctr-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "config.toml").write_text(
            f'version = 2\nroot = "{folder}/root"\nstate = "{folder}/state"\n'
            'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
            f'[grpc]\naddress = "{folder}/c.sock"\n[ttrpc]\naddress = "{folder}/t.sock"\n'
            '[[plugins."io.containerd.transfer.v1.local".unpack_config]]\n'
            'platform = "linux/amd64"\nsnapshotter = "native"\n'
        )
        with (folder / "log").open("wb") as log:
            daemon = subprocess.Popen(
                [program, "--config", folder / "config.toml"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=bare_environment(folder),
            )
        try:
            _await(daemon, client, folder)
            yield Ctr(client, folder, variant)
        finally:
            daemon.terminate()
            daemon.wait(timeout=PATIENCE)


def _await(daemon: subprocess.Popen[bytes], client: Path, folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and daemon.poll() is None:
        asked = run([client, f"--address={folder}/c.sock", "version"], check=False, env=bare_environment(folder))
        if asked.returncode == 0:
            return
        time.sleep(0.05)
    raise RuntimeError(f"containerd did not start:\n{(folder / 'log').read_text()}")


def _failed(ran: Ran) -> Took:
    return Took(printed=ran.stderr or ran.stdout, failed=True)


def _number(text: str) -> str:
    found = re.search(r"\d+\.\d+\.\d+", text)
    assert found is not None, text
    return found[0]


def _diff(image: Manifest) -> str:
    """The id of an image's only layer once it is unpacked."""
    config: Mapping[str, Mapping[str, list[str]]] = json.loads(image.config)
    return config["rootfs"]["diff_ids"][0]
