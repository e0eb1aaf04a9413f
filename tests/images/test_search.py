"""Looking for one path from the top down finds what a merge of all layers has there, or says that it cannot tell."""

import random

import pytest

from lading.errors import InvalidContent, NotFound
from lading.images.files.filesystem import Filesystem
from lading.images.files.search import Found, Search
from lading.io.tar_stream import Member
from support.layers import entries
from support.parts import times

FOLDERS = ["a", "b", "a/a", "a/b", "b/a", "l", "l/a", "m"]
NAMES = ["x", "y"]
TARGETS = ["a", "b", "/a", "../b", "a/b", "b/../a", "..", "none", "l", "m", "x", "a/x", "./b/x", "/l/x"]


def random_layer(chance: random.Random) -> str:
    """Entries of all kinds; links and directories have the same few names, so that each may be the other's."""
    words: dict[str, str] = {}
    for _ in range(chance.randrange(1, 6)):
        folder = chance.choice(["", *(f"{folder}/" for folder in FOLDERS)])
        path, kind = f"{folder}{chance.choice(NAMES)}", chance.random()
        if kind < 0.6:
            words.setdefault(path, f"{path}={chance.randrange(100)}")
        elif kind < 0.7:
            words.setdefault(folder[:-1] or "a", f"{folder[:-1] or 'a'}/")
        elif kind < 0.8:
            name = chance.choice(["l", "m", "l", "a/b", path])
            words.setdefault(name, f"{name}->{chance.choice(TARGETS)}")
        elif kind < 0.9:
            words.setdefault("-", f"-{chance.choice([path, folder[:-1] or path])}")
        elif kind < 0.95:
            words.setdefault("!", f"!{folder[:-1]}")
        elif files := [word for word in words if "=" in words[word]]:
            words.setdefault(f"{path}z", f"{path}z~{chance.choice(files)}")
    if chance.random() < 0.7:  # as most tools write layers: with an entry for each parent
        for path in [word.partition("=")[0] for word in words.values()]:
            parts = path.lstrip("-!").split("/")[:-1]
            for end in range(1, len(parts) + 1):
                above = "/".join(parts[:end])
                words.setdefault(above, f"{above}/")
    listed = list(words.values())
    listed.sort(key=lambda word: ("~" in word, word.rstrip("/").count("/"), chance.random()))
    return " ".join(listed)


def members(text: str, number: int) -> list[Member]:
    return [
        Member(
            name=str(entry.name),
            type=entry.type,
            mode=entry.mode,
            uid=0,
            gid=0,
            size=len(entry.content),
            mtime=0,
            link=str(entry.link),
            offset=number * 1000 + at,
        )
        for at, entry in enumerate(entries(text))
    ]


def merged(layers: list[list[Member]], path: str, *, follow: bool) -> tuple[object, ...] | None:
    """What a merge of all layers has at a path."""
    files = Filesystem("it")
    for number, layer in enumerate(layers):
        files.apply(number, layer)
    try:
        _, node = files.find(path, follow=follow)
    except NotFound:
        return None
    member = node.inode.member
    return member.type, member.offset, node.inode.layer


@pytest.mark.parametrize("part", range(4))
def test_what_is_found_is_what_a_merge_has(part: int) -> None:
    found, absent, chance = 0, 0, random.Random(part)
    for _ in range(times(800, 10000)):
        texts = [random_layer(chance) for _ in range(chance.randrange(2, 5))]
        layers = [members(text, number) for number, text in enumerate(texts)]
        path = f"{chance.choice(FOLDERS)}/{chance.choice(NAMES)}" if chance.random() < 0.8 else chance.choice(NAMES)
        follow = chance.random() < 0.7
        try:
            expected = merged(layers, path, follow=follow)
        except InvalidContent:
            continue  # it is refused when all layers are read
        looking = Search(path, follow=follow)
        answers = (looking.add(number, layers[number]) for number in reversed(range(len(layers))))
        answer = next(answer for answer in answers if answer is not None)
        if isinstance(answer, Found):
            found += 1
            inode = answer.node.inode
            assert (inode.member.type, inode.member.offset, inode.layer) == expected, (texts, path)
        elif answer == "absent":
            absent += 1
            assert expected is None, (texts, path)
    assert found > 20
    assert absent > 5
