"""What a name stands for: digest, inspect, more tags, and lists of tags; where a command is a request or a few.

python -m bench.names [--runs 5] [--network plain] [--only digest]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.harness import Scenario, Step, main
from bench.harness.scenario import OURS, Names, Site
from support.images import make_image, make_index

PLATFORMS = (
    *("amd64", "arm64/v8", "arm/v7", "arm/v6", "arm/v5", "386", "s390x", "ppc64le", "riscv64", "mips64le", "loong64"),
    "mips64",
)


def index(site: Site, run: int) -> Names:
    """An index of 12 platforms, always the same."""
    if run == 0:
        site.push("bench/index", "1", make_index([make_image(f"linux/{one}", seed=one) for one in PLATFORMS]))
    return {"INDEX": f"{site.network.hosts[0]}/bench/index:1"}


def _tags(count: int) -> str:
    return " ".join(f"t$TAG-{number}" for number in range(count))


def _one_by_one(command: str, count: int) -> str:
    return " && ".join(command.replace("NEW", f"t$TAG-{number}") for number in range(count))


def _retag(count: int) -> Step:
    return Step(
        {
            "lading": f"lading tag -q $INDEX {_tags(count)}",
            "crane": _one_by_one("$crane tag $INDEX NEW", count),
            "oras": f"oras tag $oras_plain $INDEX {_tags(count)}",
            "regctl": _one_by_one("regctl image copy $INDEX $HOST/bench/index:NEW", count),
        },
        f"client.tag('$INDEX', *(f't$TAG-{{n}}' for n in range({count})))",
    )


def many_tags(count: int) -> Callable[[Site, int], Names]:
    """A repository of so many tags; ten of them share a digest."""

    def prepare(site: Site, run: int) -> Names:
        name = f"bench/tags{count}"
        if run == 0:
            for number in range(count // 10):
                image = make_image(seed=f"tags/{number}")
                for ten in range(10):
                    site.push(name, f"v{number}.{ten}", image)
        repository = f"{site.network.hosts[0]}/{name}"
        every = " ".join(f"{repository}:v{number // 10}.{number % 10}" for number in range(count))
        return {"REPOSITORY": repository, "OF": f"{repository}:v1.0", "REFERENCES": every}

    return prepare


def _digests() -> Step:
    each = "for one in $REFERENCES; do {} $$one; done"
    return Step(
        {
            "lading": "lading digest $REFERENCES",
            "crane": each.format("$crane digest"),
            "oras": each.format("oras resolve $oras_plain"),
            "regctl": each.format("regctl image digest"),
        },
    )


def _digests_of_tags() -> Step:
    return Step(
        {
            "lading": "lading tags --digests $REPOSITORY",
            "crane": "for tag in $$($crane ls $REPOSITORY); do $crane digest $REPOSITORY:$$tag; done",
            "regctl": "for tag in $$(regctl tag ls $REPOSITORY); do regctl image digest $REPOSITORY:$$tag; done",
        },
    )


def scenarios(small: bool) -> Sequence[Scenario]:
    """All of them."""
    tags = 50 if small else 2000
    few = 20 if small else 200
    many = 20 if small else 500
    half = 10 if small else 50
    return [
        Scenario(
            "digest",
            {
                "": Step(
                    {
                        "lading": "lading digest $INDEX",
                        "crane": "$crane digest $INDEX",
                        "oras": "oras resolve $oras_plain $INDEX",
                        "regctl": "regctl image digest $INDEX",
                    },
                    "client.digest('$INDEX')",
                )
            },
            index,
        ),
        Scenario(
            "inspect an index of 12 platforms",
            {
                "": Step(
                    {
                        "lading": "lading manifest inspect $INDEX",
                        "crane": "$crane manifest $INDEX",
                        "oras": "oras manifest fetch $oras_plain $INDEX",
                        "regctl": "regctl manifest get $INDEX",
                        "skopeo": "skopeo inspect --raw $tls_no docker://$INDEX",
                        "docker": "docker manifest inspect $docker_insecure $INDEX",
                    },
                    "client.get('$INDEX')",
                )
            },
            index,
        ),
        Scenario("one more tag", {"": _retag(1)}, index),
        Scenario("5 more tags", {"": _retag(5)}, index),
        Scenario(f"{half} more tags", {"": _retag(half)}, index, runs=3),
        Scenario(f"{many} more tags at once", {"": _retag(many)}, index, runs=3, rows=(*OURS, "oras")),
        Scenario("digests of 10 tags", {"": _digests()}, many_tags(10)),
        Scenario(f"digests of {few} names", {"": _digests()}, many_tags(few), runs=2, rows=(*OURS, "crane")),
        Scenario(f"all {few} tags with digests", {"": _digests_of_tags()}, many_tags(few), runs=2),
        Scenario(
            f"all {tags} tags with digests",
            {"": _digests_of_tags()},
            many_tags(tags),
            runs=2,
            rows=OURS,
            note="Others ask for each digest in a process of its own: those that are slow at that have no row here.",
        ),
        Scenario(
            f"which of {tags} tags point at a digest",
            {
                "": Step(
                    {
                        "lading": "lading tags --points-at $OF $REPOSITORY",
                        "oras": "oras repo tags $oras_plain $OF",
                    },
                )
            },
            many_tags(tags),
            runs=2,
        ),
    ]


if __name__ == "__main__":
    main(__doc__, scenarios)
