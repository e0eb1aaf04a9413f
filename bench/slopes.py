"""How cost grows: memory against the size of a layer, and time against the number of images.

    python -m bench.slopes [--tool crane regctl skopeo]

A layer of 64 MiB to 8 GiB is copied into another registry; 1 to 5,000 images are. What should not grow is the memory,
and the time for each image.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence

from bench import copies
from bench.harness import MIB, Scenario, main
from bench.harness.scenario import Names, Site
from lading import Client, Descriptor

OCI = "application/vnd.oci.image"


def layer(size: int) -> Callable[[Site, int], Names]:
    """An image with one layer of so many bytes, made on disk and sent by the library."""

    def prepare(site: Site, run: int) -> Names:
        name = f"slope-{size // MIB}"
        file = site.folder / f"layer-{size // MIB}"
        pieces = [random.Random(number).randbytes(MIB) for number in range(8)]
        with file.open("wb") as written:
            written.write(b"%20d" % run)
            for number in range(size // MIB):
                written.write(pieces[number % 8])
        repository = f"{site.network.direct[0]}/bench/{name}"
        with Client(insecure=True) as client:
            layer = client.blobs.put(repository, file)
            rootfs = {"type": "layers", "diff_ids": [str(layer.digest)]}
            said = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs}).encode()
            config = client.blobs.put(repository, said)
            manifest = {
                "schemaVersion": 2,
                "mediaType": f"{OCI}.manifest.v1+json",
                "config": _described(config, "config.v1+json"),
                "layers": [_described(layer, "layer.v1.tar")],
            }
            client.put(json.dumps(manifest).encode(), f"{repository}:{run}")
        file.unlink()
        return {"SOURCE": f"{site.network.hosts[0]}/bench/{name}:{run}", "NAME": name}

    return prepare


def _described(content: Descriptor, kind: str) -> dict[str, object]:
    return {"mediaType": f"{OCI}.{kind}", "digest": str(content.digest), "size": content.size}


def scenarios(small: bool) -> Sequence[Scenario]:
    """All of them."""
    sizes = [4, 8] if small else [64, 512, 4096, 8192]
    counts = [1, 5] if small else [1, 50, 500, 5000]
    copy = copies.copy_of_one("$OTHER/$MINE:$TAG")
    return [
        *(
            Scenario(
                f"a layer of {size} MiB", {"": copy}, layer(size * MIB), "size", 1, ("plain",), rows=("lading", "crane")
            )
            for size in sizes
        ),
        *(
            Scenario(
                f"{count} images",
                {"": copies.all_tags("fresh")["fresh"]},
                copies.many(count),
                "count",
                1,
                ("plain",),
                rows=("lading", "crane"),
            )
            for count in counts
        ),
    ]


if __name__ == "__main__":
    main(__doc__, scenarios)
