"""Copies: one large layer, many layers, several platforms, many small images; fresh, again, and under a second tag.

    python -m bench.copies [--runs 5] [--network realistic] [--only platforms]

From one registry to another and within one, and to and from an OCI layout and an archive. Each round has content that
is nowhere yet.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from functools import cache

from bench.harness import MIB, Scenario, Step, main
from bench.harness.scenario import LIBRARY, OURS, Names, Site
from support.images import Manifest, make_image, make_index, make_layer, noise

ARCHITECTURES = (
    *("amd64", "arm64/v8", "arm/v7", "arm/v6", "arm/v5", "386", "s390x", "ppc64le", "riscv64", "mips64le", "loong64"),
    "mips64",
)


@cache
def _layer(seed: str, size: int) -> bytes:
    return make_layer({"file": noise(seed, size)})


def layers(seed: str, count: int, size: int, run: int) -> list[bytes]:
    """Layers that no other round has: gzip files one after the other are one."""
    return [_layer(f"{seed}/{number}", size) + gzip.compress(b"%d" % run, mtime=0) for number in range(count)]


def image(seed: str, count: int, size: int) -> Callable[[Site, int], Names]:
    """An image of so many layers of so many bytes."""

    def prepare(site: Site, run: int) -> Names:
        made = make_image(layers=layers(seed, count, size, run), kind="oci")
        return _pushed(site, f"{seed}-{run}", made)

    return prepare


def index(seed: str, platforms: int, count: int, size: int) -> Callable[[Site, int], Names]:
    """An index of so many platforms, each an image of so many layers of so many bytes."""

    def prepare(site: Site, run: int) -> Names:
        children = [
            make_image(f"linux/{one}", layers=layers(f"{seed}/{one}", count, size, run), kind="oci")
            for one in ARCHITECTURES[:platforms]
        ]
        return _pushed(site, f"{seed}-{run}", make_index(children, kind="oci"))

    return prepare


def many(count: int) -> Callable[[Site, int], Names]:
    """A repository with so many small images, which share one layer."""

    def prepare(site: Site, run: int) -> Names:
        shared = layers("many/shared", 1, 50_000, run)
        name = f"bench/many-{run}"
        for number in range(count):
            made = make_image(layers=[*shared, *layers(f"many/{number}", 1, 2_000, run)], kind="oci")
            site.push(name, f"v{number}", made)
        return {"SOURCE": f"{site.network.hosts[0]}/{name}", "COUNT": f"{count}"}

    return prepare


def _pushed(site: Site, name: str, made: Manifest) -> Names:
    return {"SOURCE": site.push(f"bench/{name}", "1", made), "NAME": name}


def copy_of_one(target: str, *, all_platforms: bool = True) -> Step:
    """What each tool calls a copy of all that `$SOURCE` names."""
    every = "--all " if all_platforms else ""
    return Step(
        {
            "lading": f"lading copy -q $SOURCE {target}",
            "crane": f"$crane copy $SOURCE {target}",
            "regctl": f"regctl image copy $SOURCE {target}",
            "oras": f"oras cp $oras_from_to $SOURCE {target}",
            "skopeo": f"skopeo copy {every}--quiet --insecure-policy $skopeo_from_to docker://$SOURCE docker://{target}",
        },
        f"client.copy('$SOURCE', '{target}')",
    )


def _three(host: str) -> dict[str, Step]:
    target = f"${host}/$MINE/$NAME"
    return {
        "fresh": copy_of_one(f"{target}:1"),
        "again": copy_of_one(f"{target}:1"),
        "second tag": copy_of_one(f"{target}:2"),
    }


_LAYOUT = {
    "to a layout": Step(
        {
            "lading": "lading copy -q $SOURCE oci:$FOLDER/layout:1",
            "crane": "$crane pull --format oci $SOURCE $FOLDER/layout",
            "regctl": "regctl image copy $SOURCE ocidir://$FOLDER/layout:1",
            "oras": "oras cp $oras_from --to-oci-layout $SOURCE $FOLDER/layout:1",
            "skopeo": "skopeo copy --all --quiet --insecure-policy $skopeo_from docker://$SOURCE oci:$FOLDER/layout:1",
        },
        "client.copy('$SOURCE', 'oci:$FOLDER/layout:1')",
    ),
    "from a layout": Step(
        {
            "lading": "lading copy -q oci:$FOLDER/layout:1 $OTHER/$MINE/$NAME:1",
            "crane": "$crane push $FOLDER/layout $OTHER/$MINE/$NAME:1",
            "regctl": "regctl image copy ocidir://$FOLDER/layout:1 $OTHER/$MINE/$NAME:1",
            "oras": "oras cp --from-oci-layout $oras_to $FOLDER/layout:1 $OTHER/$MINE/$NAME:1",
            "skopeo": (
                "skopeo copy --all --quiet --insecure-policy $skopeo_to oci:$FOLDER/layout:1 docker://$OTHER/$MINE/$NAME:1"
            ),
        },
        "client.copy('oci:$FOLDER/layout:1', '$OTHER/$MINE/$NAME:1')",
    ),
}
_ARCHIVE = {
    "to an archive": Step(
        {
            "lading": "lading copy -q $SOURCE oci-archive:$FOLDER/image.tar:1",
            "regctl": "regctl image export $SOURCE $FOLDER/image.tar",
            "skopeo": (
                "skopeo copy --all --quiet --insecure-policy $skopeo_from docker://$SOURCE "
                "oci-archive:$FOLDER/image.tar:1"
            ),
        },
        "client.copy('$SOURCE', 'oci-archive:$FOLDER/image.tar:1')",
    ),
    "from an archive": Step(
        {
            "lading": "lading copy -q oci-archive:$FOLDER/image.tar:1 $OTHER/$MINE/$NAME:1",
            "regctl": "regctl image import $OTHER/$MINE/$NAME:1 $FOLDER/image.tar",
            "skopeo": (
                "skopeo copy --all --quiet --insecure-policy $skopeo_to oci-archive:$FOLDER/image.tar:1 "
                "docker://$OTHER/$MINE/$NAME:1"
            ),
        },
        "client.copy('oci-archive:$FOLDER/image.tar:1', '$OTHER/$MINE/$NAME:1')",
    ),
}


def all_tags(*steps: str) -> dict[str, Step]:
    """What each tool calls a copy of all tags, for each of these steps."""
    copy = Step(
        {
            "lading": "lading copy -q --all-tags $SOURCE $OTHER/$MINE-$TAG",
            "crane": "$crane copy --all-tags $SOURCE $OTHER/$MINE-$TAG",
            "regctl": "regctl tag ls $SOURCE | xargs -I{} regctl image copy $SOURCE:{} $OTHER/$MINE-$TAG:{}",
            "regsync": (
                'printf \'{version: 1, defaults: {parallel: 8}, creds: [{registry: "%s", tls: %s, user: %s, pass: %s}, '
                '{registry: "%s", tls: %s, user: %s, pass: %s}], sync: [{source: %s, target: %s, type: repository}]}\' '
                "$HOST $regsync $OTHER $regsync $SOURCE $OTHER/$MINE-$TAG > $FOLDER/sync.yml; "
                "regsync once -c $FOLDER/sync.yml"
            ),
        },
        "client.copy('$SOURCE', '$OTHER/$MINE-$TAG', all_tags=True)",
    )
    return dict.fromkeys(steps, copy)


_LARGE = ("lading", LIBRARY, "crane", "regctl", "oras", "skopeo")


def scenarios(small: bool) -> Sequence[Scenario]:
    """All of them."""
    large = 16 * MIB if small else 1024 * MIB
    images = 10 if small else 200
    one = "16 MiB" if small else "1 GiB"
    return [
        Scenario(f"{one} in 1 layer", _three("OTHER"), image("large", 1, large), "large copies", 3, rows=_LARGE),
        Scenario(
            f"{one} in 40 layers", _three("OTHER"), image("layers", 40, large // 40), "large copies", 3, rows=_LARGE
        ),
        Scenario("an index of 12 platforms", _three("OTHER"), index("index", 12, 4, 100_000), "copies"),
        Scenario("an index of 8 platforms", _three("OTHER"), index("eight", 8, 4, 100_000), "copies"),
        Scenario(
            "an index of 12 platforms, within a registry", _three("HOST"), index("within", 12, 4, 100_000), "copies"
        ),
        Scenario(
            f"{images} small images",
            all_tags("fresh", "again"),
            many(images),
            "copies",
            runs=2,
            rows=(*OURS, "crane", "regsync"),
        ),
        Scenario("an image and a layout", _LAYOUT, image("layout", 6, large // 64), "layouts and archives"),
        Scenario("an image and an archive", _ARCHIVE, image("archive", 6, large // 64), "layouts and archives"),
    ]


if __name__ == "__main__":
    main(__doc__, scenarios)
