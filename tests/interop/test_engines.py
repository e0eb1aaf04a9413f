"""Docker and podman: lading reads what they save, and they load and run what lading writes, by file and by pipe."""

import json
import os
import tarfile
from pathlib import Path

import pytest

from interop.conftest import Tool
from lading.client import AsyncClient
from support import images
from support.docker import DockerCLI
from support.lading import Lading
from support.process import bare_environment, run
from support.registry import RealRegistry

AMD = images.make_busybox(seed="runs", kind="oci")
OTHER = images.make_busybox(seed="runs, too")
FOREIGN = images.make_image("linux/s390x", kind="oci", seed="of another platform")
INDEX = images.make_index([FOREIGN, AMD], kind="oci")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def there(engine: DockerCLI) -> dict[str, str]:
    """What lading needs to find the engine of the tests."""
    return {"DOCKER_HOST": engine.daemon, "PATH": os.environ["PATH"]}


def ids(host: str, repository: str, name: str) -> str:
    """The image ID of what a registry has: the digest of its config."""
    document = json.loads(images.get_manifest(host, repository, name)[0])
    return str(document["config"]["digest"])


class TestDocker:
    def test_a_save_of_several_images_is_pushed_in_one_pass_with_its_own_tags(
        self, lading: Lading, engine: DockerCLI, registry: RealRegistry, repository: str
    ) -> None:
        """As this Docker saves; other forms are in the tests of Docker archives."""
        for image, tag in ((AMD, "one"), (OTHER, "two")):
            images.push(registry.host, repository, tag, image)
            engine.run("pull", f"{registry.host}/{repository}:{tag}")
        engine.run("tag", f"{registry.host}/{repository}:one", f"{registry.host}/{repository}:three")
        names = [f"{registry.host}/{repository}:{tag}" for tag in ("one", "two", "three")]
        saved = engine.run("save", *names).stdout_bytes
        lading.run("push", "docker-archive:-", f"{registry.host}/{repository}-pushed", stdin=saved)
        pushed = f"{repository}-pushed"
        assert images.list_tags(registry.host, pushed) == ["one", "three", "two"]
        for tag, image in (("one", AMD), ("two", OTHER), ("three", AMD)):
            assert ids(registry.host, pushed, tag) == images.digest_of(image.config)
        one = lading.run("push", f"docker-archive:-:{names[1]}", f"{registry.host}/{pushed}:alone", stdin=saved)
        assert one.stdout.startswith(f"{registry.host}/{pushed}:alone@")
        assert ids(registry.host, pushed, "alone") == images.digest_of(OTHER.config)

    @pytest.mark.parametrize("kind", ["docker-archive:-", "docker-archive:a.tar.gz"])
    def test_it_loads_and_runs_the_image_for_its_platform(
        self, kind: str, lading: Lading, engine: DockerCLI, registry: RealRegistry, repository: str, here: Path
    ) -> None:
        images.push(registry.host, repository, "1", INDEX)
        ran = lading.run("copy", f"{registry.host}/{repository}:1", kind, "-t", "again", cwd=here)
        assert "only for linux/amd64" in ran.stderr
        archive = ran.stdout_bytes if kind.endswith("-") else (here / "a.tar.gz").read_bytes()
        loaded = engine.run("load", stdin=archive).stdout
        names = [f"{registry.host}/{repository}:{tag}" for tag in ("1", "again")]
        assert loaded == "".join(f"Loaded image: {name}\n" for name in names)
        for name in names:
            assert engine.run("run", "--rm", "--network=none", name).stdout == "runs\n"
        assert engine.run("image", "inspect", "--format", "{{.Id}}", names[0]).stdout.strip() == images.digest_of(
            AMD.config
        )

    def test_one_command_is_pull_tag_push(
        self, lading: Lading, engine: DockerCLI, registry: RealRegistry, repository: str, there: dict[str, str]
    ) -> None:
        images.push(registry.host, repository, "1", INDEX)
        name = f"{registry.host}/{repository}"
        lading.run("pull", f"{name}:1", env=there)
        assert engine.run("run", "--rm", "--network=none", f"{name}:1").stdout == "runs\n"
        lading.run("push", f"docker-daemon:{name}:1", f"{name}:pushed", "-t", "latest", env=there)
        assert images.list_tags(registry.host, repository) == ["1", "latest", "pushed"]
        assert ids(registry.host, repository, "latest") == images.digest_of(AMD.config)
        engine.run("image", "rm", f"{name}:1")
        engine.run("pull", f"{name}:pushed")
        assert engine.run("run", "--rm", "--network=none", f"{name}:pushed").stdout == "runs\n"

    def test_a_context_is_as_good_as_a_variable(
        self, lading: Lading, engine: DockerCLI, registry: RealRegistry, repository: str
    ) -> None:
        images.push(registry.host, repository, "1", AMD)
        docker = DockerCLI(lading.docker_config)
        docker.run("context", "create", "tests", "--docker", f"host={engine.daemon}", env={"DOCKER_HOST": ""})
        docker.run("context", "use", "tests", env={"DOCKER_HOST": ""})
        environment = {"PATH": os.environ["PATH"]}
        lading.run("pull", f"{registry.host}/{repository}:1", "docker-daemon:by/context:1", env=environment)
        assert engine.run("run", "--rm", "--network=none", "by/context:1").stdout == "runs\n"
        docker.run("context", "use", "default", env={"DOCKER_HOST": ""})
        lading.run("digest", "docker-daemon:by/context:1", env=environment | {"DOCKER_CONTEXT": "tests"})
        wrong = lading.run(
            "digest", "docker-daemon:by/context:1", env=environment | {"DOCKER_CONTEXT": "none"}, check=False
        )
        assert wrong.returncode == 6, wrong.stderr

    def test_nothing_moves_for_what_it_cannot_hold(
        self, lading: Lading, registry: RealRegistry, repository: str, there: dict[str, str]
    ) -> None:
        images.push(registry.host, repository, "artifact", images.make_artifact())
        images.push(registry.host, repository, "foreign", images.make_index([FOREIGN], kind="oci"))
        for name, code, said in (("artifact", 9, "it is an artifact"), ("foreign", 3, "--platform")):
            ran = lading.run("pull", f"{registry.host}/{repository}:{name}", env=there, check=False)
            assert ran.returncode == code, ran.stderr
            assert said in ran.stderr


class TestPodman:
    def environment(self, podman: Path) -> dict[str, str]:
        return {"LADING_DOCKER": str(podman), "PATH": os.environ["PATH"]}

    def test_it_is_the_engine(self, podman: Path, lading: Lading, registry: RealRegistry, repository: str) -> None:
        env = self.environment(podman)
        images.push(registry.host, repository, "1", INDEX)
        name = f"{registry.host}/{repository}"
        lading.run("pull", f"{name}:1", env=env)
        assert run([podman, "image", "inspect", "--format", "{{.Id}}", f"{name}:1"]).stdout.strip() == images.digest_of(
            AMD.config
        ).removeprefix("sha256:")
        lading.run("push", f"docker-daemon:{name}:1", f"{name}:pushed", env=env)
        assert ids(registry.host, repository, "pushed") == images.digest_of(AMD.config)
        # What podman made itself it calls localhost/, and finds it without.
        run([podman, "tag", f"{name}:1", "localhost/own:2"])
        assert lading.run("digest", "docker-daemon:own:2", env=env).stdout.startswith("sha256:")
        missing = lading.run("digest", "docker-daemon:nothing:2", env=env, check=False)
        assert missing.returncode == 3

    @pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
    async def test_it_loads_what_lading_writes(
        self, form: str, podman: Path, client: AsyncClient, registry: RealRegistry, repository: str
    ) -> None:
        images.push(registry.host, repository, "1", AMD)
        await client.copy(f"{registry.host}/{repository}:1", f"{form}:a.tar")
        said = run([podman, "load", "--input", "a.tar"]).stdout
        loaded = said.strip().rpartition(" ")[2]
        found = run([podman, "image", "inspect", "--format", "{{.Id}}", loaded]).stdout.strip()
        assert found == images.digest_of(AMD.config).removeprefix("sha256:")

    @pytest.mark.parametrize("form", ["docker-archive", "oci-archive", "oci-dir", "docker-archive, gzip"])
    async def test_lading_reads_what_it_saves(
        self, form: str, podman: Path, client: AsyncClient, registry: RealRegistry, repository: str, here: Path
    ) -> None:
        images.push(registry.host, repository, "1", AMD)
        name = f"{registry.host}/{repository}:1"
        await client.copy(name, "docker-archive:a.tar")
        run([podman, "load", "--input", "a.tar"])
        run([podman, "save", "--format", form.partition(",")[0], "--output", "saved", name])
        if form.endswith("gzip"):
            run(["gzip", "saved"])
            (here / "saved.gz").rename(here / "saved")
        kind = {"docker-archive": "docker-archive", "oci-archive": "oci-archive", "oci-dir": "oci"}[
            form.partition(",")[0]
        ]
        await client.copy(f"{kind}:saved", f"{registry.host}/{repository}:back")
        assert ids(registry.host, repository, "back") == images.digest_of(AMD.config)
        config = await client.config(f"{kind}:saved")
        assert config.diff_ids == (await client.config(name)).diff_ids

    async def test_several_images_in_one_archive(
        self, podman: Path, client: AsyncClient, registry: RealRegistry, repository: str
    ) -> None:
        for tag, image in (("one", AMD), ("two", OTHER)):
            images.push(registry.host, repository, tag, image)
        name = f"{registry.host}/{repository}"
        await client.copy(name, "docker-archive:a.tar", all_tags=True)
        run([podman, "load", "--input", "a.tar"])
        run([podman, "save", "--multi-image-archive", "--output", "b.tar", f"{name}:one", f"{name}:two"])
        report = await client.copy("docker-archive:b.tar", f"{name}-back", all_tags=None)
        assert len(report.images) == 2
        for tag, image in (("one", AMD), ("two", OTHER)):
            assert ids(registry.host, f"{repository}-back", tag) == images.digest_of(image.config)


class TestDockerArchivesOfOthers:
    async def test_crane_there_and_back(
        self, tool: Tool, client: AsyncClient, registry: RealRegistry, repository: str
    ) -> None:
        image = images.make_image(layers=3, seed="by crane")
        images.push(registry.host, repository, "1", image)
        name = f"{registry.host}/{repository}"
        tool("crane", "pull", "--insecure", f"{name}:1", "crane.tar")
        assert await client.digest("docker-archive:crane.tar") == image.digest
        await client.copy(f"{name}:1", "docker-archive:ours.tar")
        tool("crane", "push", "--insecure", "ours.tar", f"{name}:back")
        assert ids(registry.host, repository, "back") == images.digest_of(image.config)
        tool("crane", "pull", "--insecure", "--format=legacy", f"{name}:1", "legacy.tar")
        await client.copy("docker-archive:legacy.tar", f"{name}:legacy")
        assert ids(registry.host, repository, "legacy") == images.digest_of(image.config)

    async def test_skopeo_there_and_back_with_links_for_layers(
        self, tool: Tool, client: AsyncClient, registry: RealRegistry, repository: str, here: Path
    ) -> None:
        image = images.make_image(layers=2, seed="by skopeo")
        images.push(registry.host, repository, "1", image)
        name = f"{registry.host}/{repository}"
        skopeo = ("skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", "--dest-tls-verify=false")
        tool(*skopeo, f"docker://{name}:1", f"docker-archive:skopeo.tar:{name}:1")
        with tarfile.open(here / "skopeo.tar") as tar:
            assert any(member.issym() for member in tar)
        await client.copy("docker-archive:skopeo.tar", f"{name}:from-skopeo")
        assert ids(registry.host, repository, "from-skopeo") == images.digest_of(image.config)
        await client.copy(f"{name}:1", "docker-archive:ours.tar")
        tool(*skopeo, f"docker-archive:ours.tar:{name}:1", f"docker://{name}:back")
        assert ids(registry.host, repository, "back") == images.digest_of(image.config)


def test_what_docker_saves_on_another_machine_needs_no_docker_here(
    lading: Lading, engine: DockerCLI, registry: RealRegistry, repository: str, tmp_path: Path
) -> None:
    images.push(registry.host, repository, "1", AMD)
    engine.run("pull", f"{registry.host}/{repository}:1")
    saved = engine.run("save", f"{registry.host}/{repository}:1").stdout_bytes
    empty = bare_environment(tmp_path) | {"PATH": "/nowhere"}
    found = lading.run("inspect", "docker-archive:-", "--format", "{{ entries[0].platform }}", stdin=saved, env=empty)
    assert found.stdout == "linux/amd64\n"
