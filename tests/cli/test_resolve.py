"""`lading resolve`: what clients will pull, from a registry, a draft or a layout."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lading import AsyncClient, Client
from lading.images.machine import this_machine
from lading.model.selection import every
from support.images import Entry, Manifest, RegistryClient, make_image, make_index, push
from support.lading import Lading
from support.parts import need
from support.process import run
from support.proxy import CountingProxy
from support.registry import RealRegistry

AMD64 = make_image("linux/amd64", kind="oci", seed="amd64")
AGAIN = make_image("linux/amd64", kind="oci", seed="amd64 again")
ARM5 = make_image("linux/arm/v5", kind="oci", seed="arm v5")
ARM6 = make_image("linux/arm/v6", kind="oci", seed="arm v6")
INDEX = make_index([AMD64, AGAIN, ARM5, ARM6], kind="oci")


@pytest.fixture
def name(registry: RealRegistry, repository: str) -> str:
    push(registry.host, repository, "list", INDEX)
    return f"{registry.host}/{repository}:list"


def short(manifest: Manifest) -> str:
    return manifest.digest.removeprefix("sha256:")[:12]


def test_clients_that_agree(lading: Lading, name: str) -> None:
    ran = lading.run("resolve", name, "--platform", "linux/amd64")
    assert ran.stdout.splitlines() == [
        "CLIENT                      TAKES        DIGEST        BECAUSE",
        f"docker 29.7.2 (containerd)  linux/amd64  {short(AMD64)}  the platform itself, the first of 2",
        f"containerd 2.3.4            linux/amd64  {short(AMD64)}  the platform itself, the first of 2",
        f"podman 5.8.2                linux/amd64  {short(AMD64)}  the platform itself, the first of 2",
        f"skopeo 1.22.2 (copy)        linux/amd64  {short(AMD64)}  the platform itself, the first of 2",
    ]
    assert ran.stderr == ""


def test_clients_that_disagree_are_marked(lading: Lading, name: str) -> None:
    clients = [text for client in ("docker", "docker@20.10", "podman") for text in ("--as", client)]
    ran = lading.run("resolve", name, "--platform", "linux/arm/v7", *clients)
    assert ran.stdout.splitlines() == [
        "   CLIENT                      TAKES         DIGEST        BECAUSE",
        f"   docker 29.7.2 (containerd)  linux/arm/v6  {short(ARM6)}  nearest variant below v7",
        f"*  docker 20.10 (graphdriver)  linux/arm/v5  {short(ARM5)}  "
        "no exact match: any arm entry will do, whatever its variant, the first of 2",
        f"   podman 5.8.2                linux/arm/v6  {short(ARM6)}  nearest variant below v7",
        "The clients disagree: docker 20.10 (graphdriver) takes another image than the rest.",
    ]


def test_every_client_is_asked_and_whoever_gets_nothing_is_named(lading: Lading, name: str) -> None:
    ran = lading.run("resolve", name, "--platform", "linux/arm/v7", "--all-clients", check=False)
    assert ran.returncode == 1
    table, says = ran.stdout.split("\n\n")
    assert len(table.splitlines()) == 1 + len(every()) + 1
    assert table.splitlines()[-1].startswith("The clients disagree: docker 20.10.24 (graphdriver) and docker 20.10.24 ")
    assert "ctr 2.3.4 (transfer), ctr 2.3.4 (local) and ctr 1.6.39 (local) get none." in table
    assert "ctr 1.6.39 (local): ctr: content digest" in says


@pytest.mark.parametrize(
    "clients,said",
    [
        ("skopeo,containerd,ctr@1.6", "ctr 1.6 (local) gets none."),
        ("ctr@1.6,ctr+local,docker", "docker 29.7.2 (containerd) gets an image, and the rest do not."),
        ("docker@20.10,docker", "docker 29.7.2 (containerd) takes another image than the rest."),
    ],
)
def test_how_clients_disagree_is_said(lading: Lading, name: str, clients: str, said: str) -> None:
    options = [text for client in clients.split(",") for text in ("--as", client)]
    ran = lading.run("resolve", name, "--platform", "linux/arm/v7", *options, check=False)
    assert f"The clients disagree: {said}" in ran.stdout.splitlines()


def test_one_client_shows_all_it_looked_at(lading: Lading, name: str) -> None:
    ran = lading.run("resolve", name, "--as", "podman@4.3.1", "--platform", "linux/arm/v7")
    assert ran.stdout.splitlines() == [
        "podman 4.3.1 takes linux/arm/v6",
        f"  {ARM6.digest}",
        "  nearest variant below v7",
        "",
        "  RANK  PLATFORM      DIGEST        BECAUSE",
        f"     0  linux/arm/v6  {short(ARM6)}  nearest variant below v7",
        f"     1  linux/arm/v5  {short(ARM5)}  would do, but linux/arm/v6 is preferred ({short(ARM6)})",
        f"     -  linux/amd64   {short(AMD64)}  linux/amd64 is not linux/arm/v7, and names are compared as they are",
        f"     -  linux/amd64   {short(AGAIN)}  linux/amd64 is not linux/arm/v7, and names are compared as they are",
    ]
    whole = lading.run("resolve", name, "--as", "podman@4.3.1", "--platform", "linux/arm/v7", "--no-trunc")
    assert AMD64.digest in whole.stdout


def test_nothing_fits(lading: Lading, name: str) -> None:
    ran = lading.run("resolve", name, "--as", "docker@20.10", "--platform", "linux/s390x", check=False)
    assert ran.returncode == 1
    assert ran.stdout.splitlines()[:3] == [
        "docker 20.10 (graphdriver) takes nothing",
        "  no entry fits",
        "  it prints: no matching manifest for linux/s390x in the manifest list entries",
    ]


def test_quiet_is_the_digest_alone(lading: Lading, name: str) -> None:
    options = ["--as", "docker", "--as", "docker@20.10", "--quiet", "--platform"]
    assert lading.run("resolve", name, *options, "linux/arm/v7").stdout == f"{ARM6.digest}\n{ARM5.digest}\n"
    ran = lading.run("resolve", name, *options, "linux/s390x", check=False)
    assert (ran.returncode, ran.stdout) == (1, "-\n-\n")


def test_json_has_exactly_the_promised_fields(lading: Lading, name: str) -> None:
    ran = lading.run("resolve", name, "--as", "docker@28.5.2", "--platform", "linux/arm/v7", "--format", "json")
    assert json.loads(ran.stdout) == {
        "reference": name,
        "platform": "linux/arm/v7",
        "results": [
            {
                "client": "docker",
                "version": "28.5.2",
                "variant": "graphdriver",
                "digest": ARM6.digest,
                "error": None,
                "fetched": [ARM6.digest],
                "candidates": [
                    {"digest": ARM6.digest, "rank": 0, "reason": "nearest variant below v7"},
                    {
                        "digest": ARM5.digest,
                        "rank": 1,
                        "reason": f"would do, but linux/arm/v6 is preferred ({short(ARM6)})",
                    },
                    {"digest": AMD64.digest, "rank": None, "reason": "linux/amd64 does not run on linux/arm/v7"},
                    {"digest": AGAIN.digest, "rank": None, "reason": "linux/amd64 does not run on linux/arm/v7"},
                ],
            }
        ],
    }
    ran = lading.run("resolve", name, "--as", "podman", "--as", "ctr", "--format", "json", "--host", "linux/s390x",
                     check=False)  # fmt: skip
    assert ran.returncode == 1
    document = json.loads(ran.stdout)
    assert document["platform"] is None
    podman, ctr = document["results"]
    assert (podman["variant"], podman["digest"], podman["fetched"]) == (None, None, [])
    assert "no image found in image index" in podman["error"]
    assert (ctr["variant"], ctr["digest"], ctr["error"]) == ("transfer", None, None)
    template = "{{ results[0].digest }}"
    ran = lading.run("resolve", name, "--as", "docker", "--platform", "linux/amd64", "--format", template)
    assert ran.stdout == f"{AMD64.digest}\n"


def test_the_host_counts_where_nobody_asks(lading: Lading, registry: RealRegistry, repository: str) -> None:
    levels = [make_image(f"linux/amd64/{level}", kind="oci", seed=level) for level in ("v1", "v2", "v3", "v4")]
    push(registry.host, repository, "levels", make_index(levels, kind="oci"))
    name = f"{registry.host}/{repository}:levels"

    def taken(host: str, client: str) -> str:
        return lading.run("resolve", name, "--host", host, "--as", client, "--quiet").stdout.strip()

    assert [taken(f"linux/amd64/{level}", "docker") for level in ("v1", "v2", "v3", "v4")] == [
        image.digest for image in levels
    ]
    assert taken("linux/amd64/v4", "containerd") == levels[0].digest
    assert taken("linux/amd64", "docker") == levels[0].digest


def test_the_host_is_this_machine(lading: Lading, registry: RealRegistry, repository: str) -> None:
    machine = this_machine()
    image = make_image(f"{machine.os}/{machine.architecture}", kind="oci", seed="this machine")
    push(registry.host, repository, "list", make_index([ARM5, image], kind="oci"))
    ran = lading.run("resolve", f"{registry.host}/{repository}:list", "--as", "docker", "--quiet")
    assert ran.stdout == f"{image.digest}\n"
    with Client() as client:
        assert client.resolve(f"{registry.host}/{repository}:list").host == machine


def test_a_draft_is_answered_for_before_it_is_pushed(
    lading: Lading, proxy: CountingProxy, registry: RealRegistry, repository: str
) -> None:
    for tag, image in (("a", AMD64), ("b", AGAIN), ("c", ARM6)):
        push(registry.host, repository, tag, image)
    name = f"{proxy.host}/{repository}"
    lading.run("manifest", "create", f"{name}:list", *(f"{name}:{tag}" for tag in "bac"))
    proxy.reset()
    ran = lading.run("resolve", f"{name}:list", "--platform", "linux/amd64", "--as", "docker", "--quiet")
    assert ran.stdout == f"{AGAIN.digest}\n"
    assert proxy.lines == []
    ran = lading.run("resolve", f"{name}:list", "--platform", "linux/amd64", "--as", "docker")
    assert ran.stderr == f"{name}:list is a local list; for the registry's: --remote\n"
    ran = lading.run("resolve", f"{name}:list", "--remote", check=False)
    assert ran.returncode == 3
    assert "was not found" in ran.stderr
    lading.run("manifest", "push", f"{name}:list")
    ran = lading.run("resolve", f"{name}:list", "--remote", "--platform", "linux/arm/v6", "--as", "podman", "--quiet")
    assert ran.stdout == f"{ARM6.digest}\n"


async def test_a_draft_in_the_library(registry: RealRegistry, repository: str, tmp_path: Path) -> None:
    push(registry.host, repository, "a", AMD64)
    name = f"{registry.host}/{repository}"
    async with AsyncClient(docker_config=tmp_path) as client:
        created = await client.drafts.create(f"{name}:list", [f"{name}:a"])
        found = await client.resolve(created.draft, platform="linux/amd64")
    assert found.is_pulled
    assert found.is_unanimous
    assert {str(selection.digest) for selection in found.selections} == {AMD64.digest}


def test_a_layout_is_as_good_as_a_registry(lading: Lading, name: str, tmp_path: Path) -> None:
    copy = ["--insecure-policy", "copy", "--all", "--src-tls-verify=false"]
    run([need("skopeo"), *copy, f"docker://{name}", f"oci:{tmp_path}/layout:list"])
    for location in (f"oci:{tmp_path}/layout:list", f"oci:{tmp_path}/layout"):
        ran = lading.run("resolve", location, "--platform", "linux/arm/v5", "--as", "docker@20.10", "--quiet")
        assert ran.stdout == f"{ARM5.digest}\n"
    ran = lading.run("resolve", f"oci:{tmp_path}/none", check=False)
    assert ran.returncode == 3
    assert "Traceback" not in ran.stderr


def test_nested_indexes_are_followed_by_whoever_follows_them(
    lading: Lading, registry: RealRegistry, repository: str
) -> None:
    inner = make_index([ARM5, AMD64], kind="oci")
    push(registry.host, repository, "nested", make_index([Entry(inner, platform={})], kind="oci"))
    name = f"{registry.host}/{repository}:nested"
    ran = lading.run("resolve", name, "--platform", "linux/amd64", "--all-clients", "--format", "json", check=False)
    results = {
        (result["client"], result["version"], result["variant"]): result for result in json.loads(ran.stdout)["results"]
    }
    docker = results["docker", "29.7.2", "containerd"]
    assert (docker["digest"], docker["fetched"]) == (AMD64.digest, [AMD64.digest])
    assert [item["digest"] for item in docker["candidates"]] == [inner.digest, AMD64.digest, ARM5.digest]
    podman = results["podman", "5.8.2", None]
    assert podman["digest"] == inner.digest
    assert "Unexpectedly received a manifest list" in podman["error"]
    assert results["skopeo", "1.22.2", "inspect"]["digest"] == AMD64.digest


def test_a_missing_image_is_not_replaced_by_the_next(lading: Lading, registry: RealRegistry, repository: str) -> None:
    push(registry.host, repository, "list", INDEX)
    with RegistryClient(registry.host, repository) as client:
        client.delete(AMD64.digest)
    name = f"{registry.host}/{repository}:list"
    ran = lading.run("resolve", name, "--platform", "linux/amd64", "--as", "docker@20.10", check=False)
    assert ran.returncode == 1
    assert ran.stdout.splitlines()[0] == "docker 20.10 (graphdriver) takes linux/amd64, and fails"
    assert f"  it prints: manifest for {name} not found: manifest unknown: manifest unknown" in ran.stdout.splitlines()


def test_each_content_is_read_once_and_configs_only_where_a_client_looks(
    proxy: CountingProxy, registry: RealRegistry, repository: str, lading: Lading
) -> None:
    push(registry.host, repository, "list", INDEX)
    name = f"{proxy.host}/{repository}"
    proxy.reset()
    lading.run("resolve", f"{name}:list", "--platform", "linux/amd64")
    assert [line.split()[:2] for line in proxy.lines] == [
        ["GET", f"/v2/{repository}/manifests/list"],
        ["GET", f"/v2/{repository}/manifests/{AMD64.digest}"],
    ]
    proxy.reset()
    lading.run("resolve", f"{name}:list", "--platform", "linux/amd64", "--all-clients")
    # ctr reads every manifest of the list.
    assert sorted(line.split()[1].rpartition("/")[2] for line in proxy.lines) == sorted(
        ["list", *(image.digest for image in (AMD64, AGAIN, ARM5, ARM6))]
    )
    push(registry.host, repository, "bare", make_index([Entry(ARM6, platform={})], kind="oci"))
    for client, reads in (("podman", False), ("containerd", True), ("docker+graphdriver", True), ("docker", False)):
        proxy.reset()
        lading.run("resolve", f"{name}:bare", "--platform", "linux/arm/v6", "--as", client)
        config = ARM6.document["config"]["digest"]
        assert any(config in line for line in proxy.lines) == reads, client


def test_an_image_that_is_no_list_is_taken_for_any_platform(
    lading: Lading, registry: RealRegistry, repository: str
) -> None:
    push(registry.host, repository, "arm", ARM6)
    ran = lading.run("resolve", f"{registry.host}/{repository}:arm", "--platform", "linux/amd64", "--as", "podman")
    assert ran.stdout.splitlines() == [
        "podman 5.8.2 takes an image",
        f"  {ARM6.digest}",
        "  not a list: it is pulled for whatever platform",
    ]


@pytest.mark.parametrize(
    "options,said",
    [
        (["--as", "dokker"], "'dokker' is not a client that lading knows"),
        (["--as", "docker@19.03"], "'docker@19.03' is older than what lading knows"),
        (["--as", "podman+copy"], "podman 5.8.2 has no variants"),
        (["--platform", "nonsense"], "'nonsense' is not a platform"),
        (["--host", "nonsense"], "'nonsense' is not a platform"),
        (["--as", "docker", "--all-clients"], "--as and --all-clients exclude each other"),
    ],
)
def test_what_cannot_be_understood_is_said_before_anything_is_sent(
    lading: Lading, proxy: CountingProxy, repository: str, options: list[str], said: str
) -> None:
    ran = lading.run("resolve", f"{proxy.host}/{repository}:list", *options, check=False)
    assert ran.returncode == 2
    assert said in ran.stderr
    assert len(ran.stderr.splitlines()) <= 3
    assert proxy.lines == []


def test_a_name_that_is_not_there(lading: Lading, name: str) -> None:
    ran = lading.run("resolve", f"{name}s", check=False)
    assert ran.returncode == 3
    assert ran.stderr.splitlines()[1] == "  the repository has 1 tag; the nearest is list"


async def test_indexes_nested_without_end_are_not_followed_without_end(
    registry: RealRegistry, new_repository: Callable[[], str]
) -> None:
    repository, found = new_repository(), make_index([AMD64], kind="oci")
    for _ in range(40):
        found = make_index([Entry(found, platform={})], kind="oci")
    push(registry.host, repository, "deep", found)
    from lading.errors import InvalidContent

    async with AsyncClient() as client:
        with pytest.raises(InvalidContent, match="nested too deeply"):
            await client.resolve(f"{registry.host}/{repository}:deep", platform="linux/amd64")
