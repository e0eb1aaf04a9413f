"""What blobs turned out to be, beside what manifests and configs say of them. This module reads nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from lading.errors import InvalidContent
from lading.images.files.filesystem import Filesystem
from lading.images.lint.codes import Finding
from lading.images.lint.findings import short
from lading.images.validation.blobs import BlobFacts
from lading.images.validation.codes import BUILD, finding
from lading.images.validation.gather import Use, has_content, is_elsewhere
from lading.io.threads import heed
from lading.model.digest import Digest
from lading.model.media_types import LayerType
from lading.model.text import excerpt


def judge(uses: Sequence[Use], facts: BlobFacts, *, is_fast: bool) -> Iterator[Finding]:
    """What is wrong with one blob, and with what is said of it.

    Args:
        uses: everywhere that it is listed.
        facts: what it is.
        is_fast: whether it was only asked for.
    """
    if facts.state == "missing":
        yield from _missing(uses)
        return
    first = uses[0]
    if facts.state == "damaged":
        said = f"{_all(uses)} is not what its digest says: {facts.cause.rstrip('.')}."
        yield finding("LAD801", said, first.entry, digest=first.blob.digest)
        return
    for same in _alike(uses):
        yield from _size(same, facts, is_read=not is_fast)
        if not is_fast:
            yield from _layer(same, facts)
    if not is_fast:
        unpacked = [use for use in uses if use.is_layer]
        if unpacked and facts.problem:
            said = f"{_all(unpacked)} cannot be unpacked: {facts.problem.rstrip('.')}."
            yield finding("LAD803", said, unpacked[0].entry, digest=first.blob.digest)
        for use in uses:
            yield from _statement(use, facts)


def refused(images: Sequence[Sequence[Use]], facts_of: Callable[[Use], BlobFacts]) -> Iterator[Finding]:
    """The entries of layers that container engines refuse, the first of each image; this is work for a thread.

    Args:
        images: the layers of each.
        facts_of: says what a layer is.
    """
    seen: set[tuple[Digest, ...]] = set()
    for uses in images:
        digests = tuple(use.blob.digest for use in uses)
        found = [facts_of(use) for use in uses]
        if digests in seen or any(one.state != "whole" or one.problem or not one.packed for one in found):
            continue
        seen.add(digests)
        files = Filesystem("it")
        for number, (use, one) in enumerate(zip(uses, found, strict=True)):
            heed()
            try:
                files.apply(number, one.members)
            except InvalidContent as error:
                cause = (error.cause or error.message).removeprefix(f"layer {number + 1}, ")
                said = f"{use.title} is refused by container engines: {cause}."
                yield finding("LAD804", said, use.entry, digest=use.blob.digest)
                break


def _missing(uses: Sequence[Use]) -> Iterator[Finding]:
    uses = [use for use in uses if not has_content(use.blob)]
    if not uses:
        return  # all who list it have it in themselves
    first = uses[0]
    if is_elsewhere(uses):
        where = f"it is kept at {excerpt(first.blob.urls[0])}" if first.blob.urls else "nobody says where it is kept"
        said = f"{_all(uses)} was not verified: it is a foreign layer, and {where}."
        yield finding("LAD303", said, first.entry, digest=first.blob.digest)
    else:
        said = f"{_all(uses)} is not there: {short(first.blob.digest)}."
        yield finding("LAD302", said, first.entry, digest=first.blob.digest)


def _size(uses: Sequence[Use], facts: BlobFacts, *, is_read: bool) -> Iterator[Finding]:
    said = uses[0].blob
    if facts.size is not None and facts.size != said.size:
        message = f"{_all(uses)} has {facts.size:,} bytes, and its descriptor says {said.size:,}."
        # Of what was not read, the bytes are the likelier ones to be wrong.
        code, remedy = ("LAD304", BUILD) if is_read else ("LAD801", None)
        yield finding(code, message, uses[0].entry, digest=said.digest, remedy=remedy)


def _layer(uses: Sequence[Use], facts: BlobFacts) -> Iterator[Finding]:
    first = uses[0]
    if not first.is_layer or facts.problem or facts.diff_id is None:
        return
    kind = LayerType.parse(first.blob.media_type)
    if kind is not None and facts.compression and kind.compression != facts.compression:
        names = {"none": "not compressed", "gzip": "gzip", "zstd": "zstd"}
        said = f"{_all(uses)} is {names[facts.compression]}, and its media type says {first.blob.media_type}."
        fields = {"compression": facts.compression}
        yield finding("LAD805", said, first.entry, digest=first.blob.digest, fields=fields)
    is_comparable = first.diff_id is not None and first.diff_id.algorithm == facts.diff_id.algorithm
    if is_comparable and first.diff_id != facts.diff_id:
        said = f"{_all(uses)} has the diff ID {facts.diff_id}, and the config says {first.diff_id}."
        yield finding("LAD802", said, first.entry, digest=first.blob.digest)


def _statement(use: Use, facts: BlobFacts) -> Iterator[Finding]:
    if use.about is None or (facts.subjects is None and not facts.problem):
        return
    if facts.subjects is None:
        said = f"{use.title} is no in-toto statement: {facts.problem}."
    elif use.about in facts.subjects:
        return
    else:
        others = ", ".join(sorted(short(one) for one in facts.subjects)[:3]) or "nothing"
        said = f"{use.title} is a statement about {others}, and is kept with {short(use.about)}."
    yield finding("LAD809", said, use.entry, digest=use.blob.digest)


def _alike(uses: Sequence[Use]) -> list[list[Use]]:
    """The uses of a blob that say the same of it."""
    alike: dict[object, list[Use]] = {}
    for use in uses:
        alike.setdefault((use.blob.size, use.blob.media_type, use.is_layer, use.diff_id), []).append(use)
    return list(alike.values())


def _all(uses: Sequence[Use]) -> str:
    """What a blob is called that several manifests may have."""
    others = len({use.entry.digest for use in uses} - {uses[0].entry.digest})
    if not others:
        return uses[0].title
    return f"{uses[0].title}, which {others} other{'s have' if others > 1 else ' has'} too,"
