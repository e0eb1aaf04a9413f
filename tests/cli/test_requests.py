"""What a command costs in requests, exactly, against a registry that wants Bearer tokens."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.images import make_image, make_index, push
from support.lading import Lading
from support.proxy import CountingProxy
from support.registry import RealRegistry
from support.tokens import TokenService

USER = ("alice", "secret")
ARCHITECTURES = ("amd64", "arm64/v8", "arm/v7", "s390x", "ppc64le", "riscv64", "386", "mips64le")
CHALLENGED = 2
"""What a first request costs beside itself: its first try, answered 401, and the token."""


@dataclass
class Counted:
    """A registry with Bearer tokens behind a counting proxy, and lading logged in to it."""

    lading: Lading
    proxy: CountingProxy

    def run(self, *args: str, warm: bool = False) -> list[str]:
        """The requests of a command, in order: of one that knows nothing yet, or of one that comes after others."""
        if not warm:
            shutil.rmtree(self.lading.home / ".cache", ignore_errors=True)
        self.proxy.reset()
        self.lading.run(*args)
        return self.proxy.lines

    @contextmanager
    def slow(self) -> Iterator[None]:
        """Let answers take so long that what is sent at once overlaps, however busy the machine is."""
        self.proxy.latency = 0.5
        try:
            yield
        finally:
            self.proxy.latency = 0

    @property
    def name(self) -> str:
        return f"{self.proxy.host}/counted/app"


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counted]:
    tokens = TokenService(dict([USER]))
    with RealRegistry(auth="token", tokens=tokens) as registry, CountingProxy(registry.url, tokens=tokens.url) as proxy:
        images = [make_image(f"linux/{architecture}", seed=architecture) for architecture in ARCHITECTURES]
        push(registry.host, "counted/app", "list", make_index(images), auth=USER)
        for number, image in enumerate(images):
            push(registry.host, "counted/app", f"image{number}", image, auth=USER)
        lading = Lading(Path(tmp_path_factory.mktemp("home")))
        lading.run("login", proxy.host, "--username", USER[0], "--password-stdin", stdin=USER[1].encode())
        yield Counted(lading, proxy)


def test_digest_is_one_request(counted: Counted) -> None:
    assert len(counted.run("digest", f"{counted.name}:list")) == 1 + CHALLENGED
    assert counted.proxy.count("HEAD") == 2


@pytest.mark.parametrize(
    "command, requests",
    [
        ("digest {name}:list", 1),
        ("manifest inspect {name}:list", 1),
        ("inspect {name}:list", 1 + len(ARCHITECTURES)),
        ("tags {name}", 1),
        ("tag {name}:list list", 2),
    ],
)
def test_what_is_remembered_costs_nothing(counted: Counted, command: str, requests: int) -> None:
    words = command.format(name=counted.name).split()
    assert len(counted.run(*words)) == requests + CHALLENGED
    assert len(counted.run(*words, warm=True)) == requests


def test_a_warm_digest_is_one_request_of_one_connection(counted: Counted) -> None:
    counted.run("digest", f"{counted.name}:list")
    assert counted.run("digest", f"{counted.name}:image0", warm=True) == ["HEAD /v2/counted/app/manifests/image0"]
    assert counted.proxy.connections == 1, "TLS is not tried again where there was none"


def test_nothing_is_remembered_where_that_is_not_wanted(counted: Counted) -> None:
    shutil.rmtree(counted.lading.home / ".cache", ignore_errors=True)
    for _ in range(2):
        counted.proxy.reset()
        counted.lading.run("digest", f"{counted.name}:list", env={"LADING_CACHE": "0"})
        assert counted.proxy.count() == 1 + CHALLENGED
    assert not (counted.lading.home / ".cache").exists()


def test_who_logs_out_is_forgotten(tmp_path: Path) -> None:
    tokens = TokenService(dict([USER]))
    with RealRegistry(auth="token", tokens=tokens) as registry:
        push(registry.host, "counted/app", "1", make_image(), auth=USER)
        lading = Lading(tmp_path)
        lading.run("login", registry.host, "--username", USER[0], "--password-stdin", stdin=USER[1].encode())
        lading.run("digest", f"{registry.host}/counted/app:1")
        assert list((tmp_path / ".cache/lading/registries").iterdir())
        lading.run("logout", registry.host)
        assert list((tmp_path / ".cache/lading/registries").iterdir()) == []
        assert lading.run("digest", f"{registry.host}/counted/app:1", check=False).returncode == 4


def test_manifest_inspect_is_one_request_however_large_the_list(counted: Counted) -> None:
    assert len(counted.run("manifest", "inspect", f"{counted.name}:list")) == 1 + CHALLENGED
    assert len(counted.run("manifest", "inspect", f"{counted.name}:image0")) == 1 + CHALLENGED


def test_inspect_reads_all_platforms_in_one_more_round_trip(counted: Counted) -> None:
    with counted.slow():
        requests = counted.run("inspect", f"{counted.name}:list")
    assert len(requests) == 1 + CHALLENGED + len(ARCHITECTURES)
    assert counted.proxy.rounds() == 1 + CHALLENGED + 1


def test_create_asks_for_everything_at_once(counted: Counted) -> None:
    sources = [f"{counted.name}:image{number}" for number in range(len(ARCHITECTURES))]
    with counted.slow():
        requests = counted.run("manifest", "create", f"{counted.name}:created", *sources)
    assert len(requests) == 2 * len(ARCHITECTURES) + 2
    assert counted.proxy.rounds() == 4


def test_push_to_the_same_repository_is_one_request(counted: Counted) -> None:
    counted.lading.run(
        "manifest", "create", f"{counted.name}:pushed", f"{counted.name}:image0", f"{counted.name}:image1"
    )
    requests = counted.run("manifest", "push", f"{counted.name}:pushed")
    assert len(requests) == 1 + CHALLENGED
    assert requests[-1] == "PUT /v2/counted/app/manifests/pushed"


def test_each_further_tag_of_a_push_is_one_more(counted: Counted) -> None:
    counted.lading.run("manifest", "create", f"{counted.name}:tagged", f"{counted.name}:image0")
    requests = counted.run("manifest", "push", f"{counted.name}:tagged", "-t", "one", "-t", "two")
    assert len(requests) == 3 + CHALLENGED


@pytest.mark.parametrize("count", [1, 5])
def test_tag_is_one_request_and_two_for_each_tag(counted: Counted, count: int) -> None:
    with counted.slow():
        requests = counted.run("tag", f"{counted.name}:list", *(f"new{count}-{number}" for number in range(count)))
    assert len(requests) == 1 + 2 * count + CHALLENGED
    assert counted.proxy.count("PUT") == count
    assert counted.proxy.rounds() == CHALLENGED + 2, "what tags named before is read beside the source"


def test_local_commands_send_nothing(counted: Counted) -> None:
    name = f"{counted.name}:local"
    counted.lading.run("manifest", "create", name, f"{counted.name}:image0")
    for command in (["annotate", name, f"{counted.name}:image0", "--variant", "v1"], ["inspect", name], ["ls"]):
        assert counted.run("manifest", *command) == []
    assert counted.run("manifest", "push", "--dry-run", name) == []
    assert counted.run("manifest", "rm", name) == []


def test_tokens_are_for_what_is_done(counted: Counted) -> None:
    counted.run("digest", f"{counted.name}:list")
    scopes = [exchange.query for exchange in counted.proxy.exchanges if exchange.path == "/token"]
    assert len(scopes) == 1
    assert "push" not in scopes[0]


def test_a_tag_in_another_repository_mounts_its_blobs(counted: Counted) -> None:
    counted.run("tag", f"{counted.name}:image0", f"{counted.proxy.host}/counted/other:mounted")
    assert counted.proxy.count("GET", "/blobs/") == 0
    assert counted.proxy.count("POST", "/blobs/uploads/") == 2
    uploads = [exchange.query for exchange in counted.proxy.exchanges if exchange.method == "POST"]
    assert all("mount=" in query and "from=counted" in query for query in uploads)


def test_five_hundred_tags_go_over_eight_connections(tmp_path: Path, registry: RealRegistry, repository: str) -> None:
    image, other = make_image(seed="one"), make_image(seed="other")
    with CountingProxy(registry.url) as proxy:
        name = f"{proxy.host}/{repository}"
        push(registry.host, repository, "tag-0", image)
        push(registry.host, repository, "other", other)
        lading = Lading(tmp_path)
        lading.run("tag", f"{name}:tag-0", *(f"tag-{number}" for number in range(1, 500)))
        proxy.reset()
        found = lading.run("tags", name, "--points-at", "tag-0").stdout.split()
        assert sorted(found) == sorted(f"tag-{number}" for number in range(500))
        assert proxy.count("HEAD") == 501 + 1
        assert len({exchange.connection for exchange in proxy.exchanges}) <= 8
        assert proxy.max_in_flight <= 8
