"""What a manifest leads to, visited: all of it, each content gone into once, as far as the limits allow."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lading.errors import InvalidContent
from lading.model import reach
from lading.model.config import ImageConfig
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.index import Index
from lading.model.manifest import Manifest
from lading.model.media_types import OCI_INDEX, OCI_MANIFEST
from lading.model.platform import Platform
from lading.model.reach import Reach, visit
from lading.model.selection import Gap, every, select

DIGESTS = [Digest.of(b"%d" % number) for number in range(12)]
Graph = dict[Digest, list[Digest]]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Contents that list such as come after them, any number of times."""
    return {
        digest: draw(st.lists(st.sampled_from(DIGESTS[number + 1 :]), max_size=5)) if number < 11 else []
        for number, digest in enumerate(DIGESTS)
    }


def reachable(graph: Graph, roots: list[Digest]) -> set[Digest]:
    return set(roots).union(*(reachable(graph, graph[root]) for root in roots)) if roots else set()


def depth_of(graph: Graph, root: Digest) -> int:
    return max((1 + depth_of(graph, child) for child in graph[root]), default=0)


@given(graph=graphs(), roots=st.lists(st.sampled_from(DIGESTS), max_size=5))
def test_everything_is_visited_and_gone_into_once(graph: Graph, roots: list[Digest]) -> None:
    asked: list[Digest] = []

    def within(digest: Digest, _: int) -> list[Digest]:
        asked.append(digest)
        return graph[digest]

    entered: set[Digest] = set()
    found = list(visit(roots, lambda digest: digest, within, entered=entered))
    assert set(found) == set(asked) == entered == reachable(graph, roots)
    assert len(asked) == len(set(asked))
    assert len(found) == len(roots) + sum(len(graph[digest]) for digest in asked), "as often as it is listed"


CHAIN = dict(zip(DIGESTS, [[digest] for digest in DIGESTS[1:]] + [[]], strict=True))


@example(graph=CHAIN, roots=DIGESTS[9:11], limit=1)
@given(graph=graphs(), roots=st.lists(st.sampled_from(DIGESTS), unique=True), limit=st.integers(0, 6))
def test_what_one_root_does_not_reach_another_may(graph: Graph, roots: list[Digest], limit: int) -> None:
    """What does not lead too deep is seen whole, whatever else does, and in whichever order."""
    entered: set[Digest] = set()
    found: set[Digest] = set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reach, "DEPTH", limit)
        for root in roots:
            visiting = visit([root], lambda digest: digest, lambda d, _: graph[d], Reach("x"), entered)
            try:
                found.update(visiting)
            except InvalidContent:
                assert depth_of(graph, root) > limit
        assert entered <= found
        for root in roots:
            if depth_of(graph, root) <= limit:
                assert reachable(graph, [root]) <= entered


@pytest.mark.parametrize("limit,code", [("DEPTH", reach.DEEP), ("MANIFESTS", reach.LARGE), ("BYTES", reach.LARGE)])
def test_a_walk_ends_at_its_limits(limit: str, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for allowed in (3, 2):
        monkeypatch.setattr(reach, limit, allowed)
        walk = Reach("reg.example/app:1")

        def far(walk: Reach = walk) -> None:
            for depth in (1, 2, 3):
                walk.enter(1, depth)
                walk.count(1)

        if allowed == 3:
            far()
            continue
        with pytest.raises(InvalidContent, match=r"reg\.example/app:1") as raised:
            far()
        assert (raised.value.code, raised.value.fields["limit"]) == (code, 2)


@pytest.mark.parametrize("client", [client for client in every() if client.name in ("docker", "skopeo", "containerd")])
def test_the_way_down_through_lists_has_an_end(client: object) -> None:
    """For each client that goes into lists within lists: what is known may go on for ever."""
    platform = Platform(os="linux", architecture="amd64")
    contents: dict[Digest, Manifest | Index | ImageConfig | Gap] = {}
    below = Descriptor.of(b"image", OCI_MANIFEST)
    index = Index.build([])
    for _ in range(2000):
        entry = Descriptor(media_type=below.media_type, digest=below.digest, size=below.size, platform=platform)
        index = Index.build([entry], OCI_INDEX)
        contents[index.digest] = index
        below = index.descriptor
    outcome = ""
    try:
        outcome = select(index, platform, as_=str(client), contents=contents).outcome
    except InvalidContent as error:
        outcome = error.code or ""
    assert outcome in (reach.DEEP, "fails"), "some clients do not go into them"
