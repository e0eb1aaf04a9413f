"""Files as artifacts: many small ones and one large one, pushed and pulled, first and again; attached, listed, kept.

    python -m bench.artifacts [--runs 3] [--only small]

A folder is one layer, which is packed and unpacked; oras does so too, and regctl takes single files only. Each round
has content of its own.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence

from bench.harness import MIB, Scenario, Step, main
from bench.harness.scenario import OURS, Names, Site
from support.images import make_artifact, make_image

REFERRERS = (
    "This registry has no referrers API, and the 20 artifacts were pushed without a list under a fallback tag: what is "
    "measured is how soon a tool finds that out."
)
TYPE = "application/vnd.example.bench"


def folder(count: int) -> Callable[[Site, int], Names]:
    """A folder with so many files of 1 kB."""

    def prepare(site: Site, run: int) -> Names:
        place = site.folder / "tree"
        shutil.rmtree(place, ignore_errors=True)
        chance = random.Random(run)
        for number in range(count):
            file = place / "small" / f"{number % 100}" / f"file-{number}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(chance.randbytes(512) * 2)
        return {"WHERE": str(place), "WHAT": "small"}

    return prepare


def file(size: int) -> Callable[[Site, int], Names]:
    """One file of so many bytes."""

    def prepare(site: Site, run: int) -> Names:
        place = site.folder / "one"
        place.mkdir(exist_ok=True)
        piece = random.Random(run).randbytes(MIB)
        with (place / "large").open("wb") as content:
            for number in range(size // MIB):
                content.write(b"%20d" % number + piece[20:])
        return {"WHERE": str(place), "WHAT": "large"}

    return prepare


def subject(site: Site, run: int) -> Names:
    """An image that 20 artifacts refer to, and a small file for each tool."""
    image = make_image(seed=f"subject/{run}", kind="oci")
    name = site.push(f"bench/subject-{run}", "1", image)
    for number in range(20):
        site.push(f"bench/subject-{run}", f"r{number}", make_artifact(files={"a": b"%d" % number}, subject=image))
    for tool in (*site.tools, *OURS):
        name_of_tool = tool.replace(", ", "-")
        (site.folder / f"sbom-{name_of_tool}.json").write_text(f'{{"run": {run}, "of": "{tool}"}}')
    return {"SUBJECT": name, "WHERE": str(site.folder)}


def repository(tags: int) -> Callable[[Site, int], Names]:
    """A repository with so many images, each with a tag and layers of its own."""

    def prepare(site: Site, run: int) -> Names:
        name = f"bench/kept-{tags}-{run}"
        for number in range(tags):
            site.push(name, f"t{number}", make_image(seed=f"{name}/{number}", layers=3, layer_size=50_000, kind="oci"))
        return {"REPOSITORY": f"{site.network.hosts[0]}/{name}"}

    return prepare


_REF = "$HOST/$MINE:$TAG"
_PUSH = Step(
    {
        "lading": f"cd $WHERE && lading artifact push -q {_REF} $WHAT",
        "oras": f"cd $WHERE && oras push --no-tty $oras_plain {_REF} $WHAT",
        "regctl": f"cd $WHERE && regctl artifact put --artifact-type {TYPE} -f $WHAT {_REF}",
    },
    "import os; os.chdir('$WHERE'); client.artifacts.push('$HOST/$MINE:$TAG', '$WHAT')",
)
_PULL = Step(
    {
        "lading": f"lading artifact pull -q {_REF} -o $FOLDER/out",
        "oras": f"oras pull --no-tty $oras_plain {_REF} -o $FOLDER/out",
        "regctl": f"mkdir -p $FOLDER/out && regctl artifact get {_REF} -o $FOLDER/out",
    },
    "client.artifacts.pull('$HOST/$MINE:$TAG', '$FOLDER/out')",
)
_FILES = "$$(printf ' -m application/octet-stream -f %s' $WHAT/*/*)"
_PUSH_EACH = Step(
    {
        "lading": f"cd $WHERE && lading artifact push -q {_REF} $WHAT/*/*",
        "oras": f"cd $WHERE && oras push --no-tty $oras_plain {_REF} $WHAT/*/*",
        "regctl": f"cd $WHERE && regctl artifact put --artifact-type {TYPE} --file-title {_FILES} {_REF}",
    },
)
_BACKUP = Step(
    {
        "lading": "lading artifact backup -q $REPOSITORY oci:$FOLDER/kept",
        "oras": "oras backup --no-tty $oras_plain --output $FOLDER/kept $REPOSITORY",
    },
)
_ATTACH = Step(
    {
        "lading": f"cd $WHERE && lading artifact attach -q $SUBJECT sbom-$TOOL.json --artifact-type {TYPE}",
        "oras": f"cd $WHERE && oras attach $oras_plain --artifact-type {TYPE} $SUBJECT sbom-$TOOL.json",
        "regctl": f"cd $WHERE && regctl artifact put --artifact-type {TYPE} --subject $SUBJECT -f sbom-$TOOL.json",
    },
)
_LIST = Step(
    {
        "lading": "lading artifact ls $SUBJECT",
        "oras": "oras discover $oras_plain $SUBJECT",
        "regctl": "regctl artifact list $SUBJECT",
    },
)
_TREE = Step(
    {
        "lading": "lading tree $SUBJECT",
        "oras": "oras discover $oras_plain $SUBJECT",
        "regctl": "regctl artifact tree --digest-tags $SUBJECT",
    },
)


def _without_regctl(step: Step) -> Step:
    return Step({tool: command for tool, command in step.commands.items() if tool != "regctl"}, step.library)


def scenarios(small: bool) -> Sequence[Scenario]:
    """All of them."""
    count, size = (200, 8 * MIB) if small else (10_000, 2048 * MIB)
    layers, tags = (10, 3) if small else (200, 50)
    both = {"pushed": _PUSH, "pushed again": _PUSH, "pulled": _PULL, "pulled again": _PULL}
    return [
        Scenario(
            f"a folder of {count:,} small files",
            {name: _without_regctl(step) for name, step in both.items()},
            folder(count),
            runs=3,
        ),
        Scenario(
            f"{layers:,} files, each a layer",
            {**both, "pushed": _PUSH_EACH, "pushed again": _PUSH_EACH},
            folder(layers),
            runs=3,
        ),
        Scenario(f"a file of {size // MIB:,} MiB", both, file(size), runs=3, networks=("plain",)),
        Scenario("a file attached", {"": _ATTACH, "again": _ATTACH}, subject),
        Scenario(f"a backup of {tags} tags", {"": _BACKUP, "again": _BACKUP}, repository(tags), runs=3),
        Scenario("what refers to an image", {"": _LIST, "as a tree": _TREE}, subject, note=REFERRERS),
    ]


if __name__ == "__main__":
    main(__doc__, scenarios)
