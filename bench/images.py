"""Looking into an image and changing it: one file, all names, the whole file system, a layer more, another config.

    python -m bench.images [--runs 3] [--small] [--only append] [--tool crane]

The image has 500 MiB of layers (`--small`: 20), half of it text and half of it noise, in five layers. A task that a
tool does not have is left out: regctl makes no archive of a file system, and flattens nothing; crane reads a file by an
export. regctl stops reading where it has found the file, and so does not know whether the layer is what its digest
says.
"""

from __future__ import annotations

import gzip
import io
import random
import tarfile
from collections.abc import Sequence

from bench.harness import MIB, Scenario, Step, main
from bench.harness.scenario import Names, Site
from support.images import Manifest
from support.layers import Blob, image

LAYERS = 5
LOW, TOP = "data/0/noise-2", f"data/{LAYERS - 1}/text-3"


def make(size: int) -> Manifest:
    """The image, of layers of about so many bytes together."""
    chance = random.Random(1)
    layers = []
    for number in range(LAYERS):
        content = mixed(chance, f"data/{number}", size // LAYERS, text_counts=2 / 5)
        layers.append(Blob(gzip.compress(content, 6, mtime=0), content))
    return image(*layers, config={"config": {"Cmd": ["/x"]}})


def mixed(chance: random.Random, folder: str, size: int, *, text_counts: float = 1) -> bytes:
    """An archive of text and noise, of about so many bytes, of which those of text may count for less."""
    words = [bytes(chance.choices(b"abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 10))) for _ in range(5000)]
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        at, made = 0, 0
        while made < size:
            length = int(chance.paretovariate(0.9) * 4000) % (8 * MIB)
            is_text = at % 2
            content = b" ".join(chance.choices(words, k=length // 7)) if is_text else chance.randbytes(length)
            member = tarfile.TarInfo(f"{folder}/{'text' if is_text else 'noise'}-{at}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
            at, made = at + 1, made + int(len(content) * (text_counts if is_text else 1))
    return plain.getvalue()


def _file(path: str) -> Step:
    return Step(
        {
            "lading": f"lading image cat $IMAGE {path}",
            "crane": f"$crane export $IMAGE - | tar -xOf - {path}",
            "regctl": f"regctl image get-file $IMAGE {path}",
        },
    )


_NAMES = Step({"lading": "lading image ls -R $IMAGE", "crane": "$crane export $IMAGE - | tar -tf -"})
_EXPORT = Step({"lading": "lading image export $IMAGE $FOLDER/out", "crane": "$crane export $IMAGE $FOLDER/out"})


def _append(added: str) -> Step:
    return Step(
        {
            "lading": f"lading image append -q $IMAGE {added} -t $HOST/$MINE:$TAG",
            "crane": f"$crane append -b $IMAGE -f {added} -t $HOST/$MINE:$TAG",
            "regctl": f"regctl image mod $IMAGE --layer-add tar={added} --create $HOST/$MINE:$TAG",
        },
    )


_EDIT = Step(
    {
        "lading": "lading image edit -q $IMAGE --label a=$TAG --env C=D -t $HOST/$MINE:$TAG",
        "crane": "$crane mutate $IMAGE --label a=$TAG --env C=D -t $HOST/$MINE:$TAG",
        "regctl": "regctl image mod $IMAGE --label a=$TAG --env C=D --create $HOST/$MINE:$TAG",
    },
)
_FLATTEN = Step(
    {
        "lading": "lading image flatten -q $IMAGE -t $HOST/$MINE:$TAG",
        "crane": "$crane flatten $IMAGE -t $HOST/$MINE:$TAG",
    }
)


def scenarios(small: bool) -> Sequence[Scenario]:
    """All of them."""
    size = 20 * MIB if small else 500 * MIB
    made: list[Site] = []

    def prepare(site: Site, run: int) -> Names:
        """The image, and archives to put on top of it, other ones in each round."""
        if run == 0 and site not in made:
            made.append(site)
            site.push("bench/image", "1", make(size))
        found = {"IMAGE": f"{site.network.hosts[0]}/bench/image:1"}
        for name, length in (("SMALL", 5 * MIB), ("LARGE", size * 2 // 5)):
            file = site.folder / f"{name}.tar"
            file.write_bytes(mixed(random.Random(run), "added", length))
            found[name] = str(file)
        return found

    return [
        Scenario("a file of the lowest layer, and again", {"": _file(LOW), "again": _file(LOW)}, prepare, keeps=True),
        Scenario("a file of the top layer", {"": _file(TOP)}, prepare, keeps=True),
        Scenario("the names of all files, and again", {"": _NAMES, "again": _NAMES}, prepare, keeps=True),
        Scenario("an archive of all files", {"": _EXPORT}, prepare, runs=3, keeps=True),
        Scenario("a layer of 5 MiB appended", {"": _append("$SMALL")}, prepare, keeps=True),
        Scenario(
            "a layer of 200 MiB appended, not compressed yet", {"": _append("$LARGE")}, prepare, runs=3, keeps=True
        ),
        Scenario("a label and a variable set", {"": _EDIT}, prepare, keeps=True),
        Scenario("all layers made one", {"": _FLATTEN}, prepare, runs=3, keeps=True),
    ]


if __name__ == "__main__":
    main(__doc__, scenarios)
