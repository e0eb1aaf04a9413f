"""A container engine as a store, through its own command: real Docker, podman, and commands that fail."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from lading.errors import Denied, InvalidContent, LadingError, NotFound, Unreachable, Unsupported, UsageError
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.manifest import Manifest, parse
from lading.registry.repository import Repository
from lading.registry.session import Session
from lading.store import fetch_manifest, from_bytes, read
from lading.stores.docker.archive import NewDockerArchive
from lading.stores.docker.engine import DockerDaemon
from lading.stores.memory import Memory
from lading.transfer.graph import Copier
from support import images
from support.docker import NO_DAEMON, DockerCLI
from support.parts import need
from support.registry import RealRegistry


@asynccontextmanager
async def repository_of(registry: RealRegistry, repository: str) -> AsyncIterator[Repository]:
    async with Session() as session:
        yield Repository(session, registry.host, repository)


@pytest.fixture
def docker_command(engine: DockerCLI, monkeypatch: pytest.MonkeyPatch) -> str:
    """The docker command as a user has it whose engine is the one of the tests."""
    monkeypatch.setenv("DOCKER_HOST", engine.daemon)
    monkeypatch.setenv("DOCKER_CONFIG", str(engine.config))
    return str(need("docker"))


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def counted(path: Path, command: str) -> str:
    """A command that does what another does, and writes down how it was called."""
    return script(path, f'echo "$*" >> {path}.log\nexec {command} "$@"')


async def appears(path: Path) -> None:
    """Wait for a file that another process makes."""
    while not path.exists():  # noqa: ASYNC110  # there is no event for it
        await asyncio.sleep(0.01)


async def memory(image: images.Manifest) -> Memory:
    store = Memory()
    for digest, blob in image.blobs.items():
        await store.write(Descriptor(digest=Digest(digest), size=len(blob)), from_bytes(blob))
    await store.put(parse(image.content, image.media_type), "1")
    return store


async def load(program: str, image: images.Manifest, *names: str) -> None:
    source = await memory(image)
    async with DockerDaemon(program) as store:
        await Copier(store).copy(source, await source.resolve("1"), names=names)


class TestDocker:
    @pytest.mark.parametrize("kind", ["docker", "oci"])
    async def test_runs_what_came_from_a_registry(
        self, engine: DockerCLI, docker_command: str, registry: RealRegistry, repository: str, kind: images.Kind
    ) -> None:
        image = images.make_busybox(seed=f"{kind} through load", kind=kind)
        images.push(registry.host, repository, "1", image)
        names = [f"daemon/{kind}:1", f"reg.example/daemon/{kind}:2"]
        async with repository_of(registry, repository) as source, DockerDaemon(docker_command) as store:
            await Copier(store).copy(source, await source.resolve("1"), names=names)
            assert set(names) <= {name async for name in store.tags()}
            assert await store.contains(parse(image.content).descriptor)
        for name in names:
            assert engine.run("run", "--rm", "--network=none", name).stdout == f"{kind} through load\n"

    async def test_what_it_has_goes_to_a_registry_and_is_pulled(
        self, engine: DockerCLI, docker_command: str, registry: RealRegistry, repository: str
    ) -> None:
        image = images.make_busybox(seed="pushed without docker push")
        await load(docker_command, image, "daemon/push:1")
        async with repository_of(registry, repository) as target, DockerDaemon(docker_command) as store:
            await Copier(target).copy(store, await store.resolve("daemon/push:1"), names=["1"])
        engine.run("image", "rm", "daemon/push:1")
        name = f"{registry.host}/{repository}:1"
        engine.run("pull", name)
        assert engine.run("run", "--rm", "--network=none", name).stdout == "pushed without docker push\n"
        found = engine.run("image", "inspect", "--format", "{{.Id}}", name).stdout.strip()
        assert found == images.digest_of(image.config)

    async def test_saves_an_image_once_whatever_it_is_called(self, docker_command: str, tmp_path: Path) -> None:
        image = images.make_image(seed="saved once")
        await load(docker_command, image, "daemon/once:1", "daemon/once:latest")
        program = counted(tmp_path / "docker", docker_command)
        async with DockerDaemon(program) as store:
            name = images.digest_of(image.config)
            asked = ["daemon/once:1", "daemon/once", name, name[7:19], "daemon/once:1"]
            found = await asyncio.gather(*map(store.resolve, asked))
            assert len(set(found)) == 1
            assert await store.resolve(found[0].digest) == found[0]
            manifest = await fetch_manifest(store, found[0])
            assert isinstance(manifest, Manifest)
            for child in manifest.children:
                assert await store.contains(child)
                await read(store, child)
        calls = (tmp_path / "docker.log").read_text().splitlines()
        assert [call for call in calls if call.startswith("save")] == [f"save {name}"]

    async def test_is_not_asked_what_it_contains(self, docker_command: str, tmp_path: Path) -> None:
        program = counted(tmp_path / "docker", docker_command)
        async with DockerDaemon(program) as store:
            content = Descriptor(digest=Digest.of(b"x"), size=1)
            assert not await store.contains(content)
            await store.write(content, from_bytes(b"x"))
            assert await store.contains(content)
            assert await read(store, content) == b"x"
        assert not (tmp_path / "docker.log").exists()

    async def test_loads_an_image_once_and_then_only_tags_it(self, docker_command: str, tmp_path: Path) -> None:
        program = counted(tmp_path / "docker", docker_command)
        await load(program, images.make_image(seed="tagged"), "daemon/tagged:1", "daemon/tagged:2", "daemon/tagged:3")
        calls = [line.split()[0] for line in (tmp_path / "docker.log").read_text().splitlines()]
        assert calls == ["load", "tag", "tag"]

    async def test_loads_an_image_without_a_name(self, engine: DockerCLI, docker_command: str) -> None:
        image = images.make_image(seed="nameless")
        source = await memory(image)
        async with DockerDaemon(docker_command, repository="reg.example/later") as store:
            manifest = await Copier(store).copy(source, await source.resolve("1"))
            await store.tag(manifest.descriptor, "tag")
        inspected = engine.run("image", "inspect", "--format", "{{json .RepoTags}}", images.digest_of(image.config))
        assert inspected.stdout.strip() == '["reg.example/later:tag"]'

    async def test_an_image_it_has_gets_another_name(self, engine: DockerCLI, docker_command: str) -> None:
        await load(docker_command, images.make_image(seed="renamed"), "daemon/renamed:1")
        async with DockerDaemon(docker_command) as store:
            await store.tag(await store.resolve("daemon/renamed:1"), "daemon/renamed:2")
        assert "daemon/renamed:2" in engine.run("image", "inspect", "daemon/renamed:1").stdout

    async def test_it_goes_into_an_archive_and_back(
        self, engine: DockerCLI, docker_command: str, tmp_path: Path
    ) -> None:
        await load(docker_command, images.make_busybox(seed="there and back"), "daemon/back:1")
        async with DockerDaemon(docker_command) as source, NewDockerArchive(tmp_path / "a.tar") as target:
            await Copier(target).copy(source, await source.resolve("daemon/back:1"), names=["daemon/back:2"])
        engine.run("load", "--input", str(tmp_path / "a.tar"))
        assert engine.run("run", "--rm", "--network=none", "daemon/back:2").stdout == "there and back\n"

    async def test_an_index_is_refused_with_a_way_on(self, docker_command: str) -> None:
        index = parse(images.make_index([images.make_image()]).content)
        async with DockerDaemon(docker_command) as store:
            with pytest.raises(UsageError) as raised:
                await store.put(index, "app:1")
        assert raised.value.code == "index-in-docker-archive"

    async def test_deletes_nothing(self, docker_command: str) -> None:
        async with DockerDaemon(docker_command) as store:
            with pytest.raises(Unsupported):
                await store.delete(Descriptor(digest=Digest.of(b"x"), size=1))


class TestPodman:
    async def test_loads_saves_and_tags(self, podman: Path) -> None:
        image = images.make_image(seed="podman")
        await load(str(podman), image, "app:1", "reg.example/app:2")
        async with DockerDaemon(str(podman)) as store:
            assert sorted([name async for name in store.tags()]) == ["docker.io/library/app:1", "reg.example/app:2"]
            manifest = await fetch_manifest(store, await store.resolve("app:1"))
            assert isinstance(manifest, Manifest)
            assert manifest.config is not None
            assert manifest.config.digest == images.digest_of(image.config)
            for child in manifest.children:
                await read(store, child)
            with pytest.raises(NotFound, match="no such image"):
                await store.resolve("reg.example/none:1")


class TestFailures:
    async def test_no_such_image(self, docker_command: str) -> None:
        async with DockerDaemon(docker_command) as store:
            with pytest.raises(NotFound, match="daemon/none:1") as raised:
                await store.resolve("daemon/none:1")
            assert raised.value.remedy == "see what there is: docker images"
            with pytest.raises(UsageError):
                await store.resolve("")
            with pytest.raises(NotFound):
                await read(store, Descriptor(digest=Digest.of(b"x"), size=1))

    async def test_a_name_is_never_an_option(self, docker_command: str) -> None:
        async with DockerDaemon(docker_command) as store:
            with pytest.raises(LadingError):
                await store.resolve("--help")

    @pytest.mark.parametrize("host", [NO_DAEMON, "tcp://127.0.0.1:1", "ssh://127.0.0.1:1"])
    async def test_no_engine(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, host: str) -> None:
        monkeypatch.setenv("DOCKER_HOST", host)
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        async with DockerDaemon(str(need("docker"))) as store:
            with pytest.raises(Unreachable) as raised:
                await store.resolve("app:1")
            assert raised.value.cause
            with pytest.raises(Unreachable):
                [name async for name in store.tags()]
        with pytest.raises(Unreachable):
            await load(str(need("docker")), images.make_image(), "app:1")

    async def test_no_permission(self, tmp_path: Path) -> None:
        said = "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock"
        program = script(tmp_path / "docker", f"echo '{said}: dial unix: connect: permission denied' >&2; exit 1")
        async with DockerDaemon(program) as store:
            with pytest.raises(Denied, match="permission denied"):
                await store.resolve("app:1")

    async def test_no_command(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.delenv("LADING_DOCKER", raising=False)
        with pytest.raises(UsageError, match="neither a docker nor a podman"):
            await DockerDaemon().__aenter__()
        with pytest.raises(UsageError, match="no command nerdctl"):
            await DockerDaemon("nerdctl").__aenter__()

    async def test_which_command(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for name in ("docker", "podman", "other"):
            script(tmp_path / name, f"echo {name}:1")
        monkeypatch.setenv("PATH", str(tmp_path))

        async def asked() -> list[str]:
            async with DockerDaemon() as store:
                return [name async for name in store.tags()]

        monkeypatch.setenv("LADING_DOCKER", "other")
        assert await asked() == ["other:1"]
        monkeypatch.delenv("LADING_DOCKER")
        assert await asked() == ["docker:1"]
        (tmp_path / "docker").unlink()
        assert await asked() == ["podman:1"]

    @pytest.mark.parametrize(
        "content, cause",
        [(b"\x7fELF nonsense", ""), (b"#!/nonexistent/sh\n", "its interpreter /nonexistent/sh is not there")],
    )
    async def test_a_command_that_cannot_be_run(self, tmp_path: Path, content: bytes, cause: str) -> None:
        program = tmp_path / "docker"
        program.write_bytes(content)
        program.chmod(0o755)
        async with DockerDaemon(str(program)) as store:
            with pytest.raises(UsageError, match="cannot be run") as caught:
                await store.resolve("app:1")
        assert cause in (caught.value.cause or "")

    @pytest.mark.parametrize("half", ["", "head -c 700 {archive}"])
    async def test_saving_that_fails_half_way(self, tmp_path: Path, half: str) -> None:
        source = await memory(images.make_image())
        async with NewDockerArchive(tmp_path / "a.tar") as archive:
            await Copier(archive).copy(source, await source.resolve("1"), names=["app:1"])
        fails = f"{half.format(archive=tmp_path / 'a.tar')}\necho 'Error response from daemon: the disk is on fire' >&2"
        program = script(tmp_path / "docker", f'test "$1" = save || {{ echo id; exit; }}\n{fails}\nexit 1')
        async with DockerDaemon(program) as store:
            with pytest.raises(LadingError) as raised:
                await store.resolve("app:1")
            assert raised.value.cause == "the disk is on fire"

    async def test_saving_what_is_no_archive(self, tmp_path: Path) -> None:
        program = script(tmp_path / "docker", "echo nonsense")
        async with DockerDaemon(program) as store:
            with pytest.raises(InvalidContent):
                await store.resolve("app:1")

    @pytest.mark.parametrize(
        "text, says",
        [
            ("echo 'open /x: no space left on device' >&2; exit 1", "no space left"),
            ("cat > /dev/null; echo 'Error response from daemon: bad layer' >&2; exit 1", "bad layer"),
            ("cat > /dev/null; echo 'Error unpacking image app:1: apply layer error'", "apply layer error"),
            ("cat > /dev/null", "did not load"),
        ],
    )
    async def test_loading_that_fails(self, tmp_path: Path, text: str, says: str) -> None:
        big = images.make_image(layer_size=1 << 20)
        with pytest.raises(LadingError, match=says):
            await load(script(tmp_path / "docker", text), big, "app:1")

    @pytest.mark.parametrize("doing", ["image", "save", "load"])
    async def test_cancelling_ends_the_command(self, tmp_path: Path, doing: str) -> None:
        pid = tmp_path / "pid"
        text = f'test "$1" = {doing} || {{ echo id; exit; }}\necho $$ > {pid}.new; mv {pid}.new {pid}\nexec sleep 600'
        program = script(tmp_path / "docker", text)
        before = asyncio.all_tasks()

        async def work() -> None:
            if doing == "load":
                await load(program, images.make_image(layer_size=1 << 20), "app:1")
            async with DockerDaemon(program) as store:
                await store.resolve("app:1")

        working = asyncio.create_task(work())
        await appears(pid)
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)
        assert asyncio.all_tasks() == before

    async def test_a_command_that_will_not_end_is_killed(self, tmp_path: Path) -> None:
        pid = tmp_path / "pid"
        code = f"import os, pathlib, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); \
pathlib.Path('{pid}.new').write_text(str(os.getpid())); os.rename('{pid}.new', '{pid}'); time.sleep(60)"
        program = script(tmp_path / "docker", f'exec {sys.executable} -c "{code}"')
        async with DockerDaemon(program) as store:
            working = asyncio.create_task(store.resolve("app:1"))
            await appears(pid)
            working.cancel()
            with pytest.raises(asyncio.CancelledError):
                await working
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)
