"""A list of 3 or 12 images, put under one name and pushed: the images are in the registry already.

    python -m bench.lists [--runs 5] [--network realistic]

Docker keeps a list on disk before it pushes; podman pulls the images' manifests into its own storage. Both are what
their users do. With lading both ways are measured: `manifest create` and `manifest push`, and `index create`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.harness import Scenario, Step, main
from bench.harness.scenario import Names, Site
from support.images import make_image

PLATFORMS = (
    *("amd64", "arm64/v8", "arm/v7", "arm/v6", "arm/v5", "386", "s390x", "ppc64le", "riscv64", "mips64le", "loong64"),
    "mips64",
)

DOCKER = (
    "`docker manifest push` spoke plain HTTP to the registry of the realistic network, which is on loopback: no row "
    "is there."
)


def images(count: int) -> Callable[[Site, int], Names]:
    """So many images, each for another platform."""

    def prepare(site: Site, run: int) -> Names:
        if run == 0:
            for number, platform in enumerate(PLATFORMS[:count]):
                site.push("bench/list", f"image{number}", make_image(f"linux/{platform}", seed=platform))
        names = [f"{site.network.hosts[0]}/bench/list:image{number}" for number in range(count)]
        return {
            "COUNT": f"{count}",
            "IMAGES": " ".join(names),
            "TAGS": " ".join(f"image{number}" for number in range(count)),
            "CRANE_IMAGES": " ".join(f"-m {name}" for name in names),
            "REGCTL_IMAGES": " ".join(f"--ref {name}" for name in names),
            "PODMAN_IMAGES": " ".join(f"docker://{name}" for name in names),
        }

    return prepare


def _list() -> Step:
    name = "$HOST/bench/list:$TAG-$COUNT"
    podman = "podman --root $FOLDER/storage --runroot $FOLDER/run --storage-driver vfs manifest"
    return Step(
        {
            "lading": f"lading index create -q {name}-$TOOL $IMAGES",
            "docker": (
                f"docker manifest create $docker_insecure {name}-docker $IMAGES && "
                f"docker manifest push --purge $docker_insecure {name}-docker"
            ),
            "crane": f"$crane index append -t {name}-crane $CRANE_IMAGES",
            "regctl": f"regctl index create {name}-regctl $REGCTL_IMAGES",
            "oras": f"oras manifest index create $oras_plain {name}-oras $TAGS",
            "podman": (
                f"{podman} create list && for image in $PODMAN_IMAGES; do {podman} add $tls_no list $$image; done && "
                f"{podman} push --all $tls_no list docker://{name}-podman"
            ),
        },
        "client.indexes.create('$HOST/bench/list:$TAG-$COUNT-library', '$IMAGES'.split())",
    )


def _draft() -> Step:
    name = "$HOST/bench/list:$TAG-$COUNT-draft-$TOOL"
    return Step(
        {
            "lading": f"lading manifest create {name} $IMAGES && lading manifest push --purge {name}",
        },
        "client.drafts.create('$HOST/bench/list:$TAG-$COUNT-draft-library', '$IMAGES'.split()); "
        "client.drafts.push('$HOST/bench/list:$TAG-$COUNT-draft-library', purge=True)",
    )


def scenarios(small: bool) -> Sequence[Scenario]:
    """All of them."""
    return [
        Scenario(
            f"create and push a list of {count}", {"": _list(), "by a draft": _draft()}, images(count), note=DOCKER
        )
        for count in ((3,) if small else (3, 12))
    ]


if __name__ == "__main__":
    main(__doc__, scenarios)
