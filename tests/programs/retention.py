"""Retention: in each repository the newest versions of every minor stay, and everything that those need.

What is no version stays; so does what an index lists that stays, and what a signature or an SBOM refers to. A tag that
moves while the job runs is left alone. With `--dry-run` nothing is deleted.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence

from lading import (
    AsyncClient,
    Conflict,
    Digest,
    Index,
    InvalidContent,
    NotFound,
    Readable,
    TagInfo,
    Unsupported,
    Version,
)
from lading.model import INDEXES, subject_of
from lading.store import fetch_manifest


def newest(tags: Iterable[str], keep: int) -> set[str]:
    """The newest so many versions of every minor."""
    by_minor: defaultdict[tuple[int, int], list[tuple[Version, str]]] = defaultdict(list)
    for tag in tags:
        if version := Version.from_tag(tag):
            by_minor[version.major, version.minor].append((version, tag))
    return {tag for group in by_minor.values() for _, tag in sorted(group)[-keep:]}


async def listed_in(store: Readable, digest: Digest) -> set[Digest]:
    """Everything that an index lists, and the indexes in it."""
    found: set[Digest] = set()
    manifest = await fetch_manifest(store, digest)
    if isinstance(manifest, Index):
        for entry in manifest.manifests:
            found.add(entry.digest)
            if entry.media_type in INDEXES:
                found |= await listed_in(store, entry.digest)
    return found


async def has_referrers(store: Readable, digest: Digest) -> bool:
    """Whether a signature, an SBOM or anything else refers to a manifest."""
    async for _ in store.referrers(await store.resolve(digest)):
        return True
    return False


async def tidy(client: AsyncClient, repository: str, keep: int, *, dry_run: bool) -> list[str]:
    """Delete what need not stay in one repository; returns the names that went, or would."""
    infos = [info for info in await client.tags(repository, digests=True) if info.digest is not None]
    images = {info.tag: info for info in infos if subject_of(info.tag) is None}
    wanted = newest(images, keep) | {tag for tag in images if Version.from_tag(tag) is None}
    kept = {digest_of(images[tag]) for tag in wanted}
    kept |= {subject for info in infos if (subject := subject_of(info.tag)) is not None}
    async with client.open(repository) as store, asyncio.TaskGroup() as group:
        rest = {digest_of(info) for info in images.values()} - kept
        referred = {digest: group.create_task(has_referrers(store, digest)) for digest in rest}
        lists = [digest for digest in kept if any(is_index(info, digest) for info in images.values())]
        listings = [group.create_task(listed_in(store, digest)) for digest in lists]
    kept |= {digest for digest, task in referred.items() if task.result()}
    kept = kept.union(*(task.result() for task in listings))
    gone: list[str] = []
    for tag, info in images.items():
        if digest_of(info) in kept:
            continue
        name = f"{repository}:{tag}"
        if dry_run or await delete(client, name, digest_of(info)):
            gone.append(name)
    return gone


async def delete(client: AsyncClient, name: str, digest: Digest) -> bool:
    """Delete a manifest by one of its tags, if that still names it."""
    try:
        await client.delete(name, if_digest=digest)
    except NotFound:
        return True  # it went with another tag of the same manifest
    except Conflict as error:
        print(f"left alone: {error}")
        return False
    return True


def digest_of(info: TagInfo) -> Digest:
    """What a tag names; it was asked for."""
    assert info.digest is not None
    return Digest(info.digest)


def is_index(info: TagInfo, digest: Digest) -> bool:
    """Whether a tag says that a digest is that of an index."""
    return info.digest == digest and info.media_type in INDEXES


async def run(registry: str, keep: int = 5, *, dry_run: bool = False) -> list[str]:
    """Tidy all repositories of a registry; returns the names that went, or would."""
    gone: list[str] = []
    async with AsyncClient() as client:
        for name in await client.registries.repositories(registry):
            try:
                gone += await tidy(client, f"{registry}/{name}", keep, dry_run=dry_run)
            except (NotFound, Unsupported, InvalidContent) as error:
                print(f"{registry}/{name}: {error}")
    return gone


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("registry")
    parser.add_argument("--keep", type=int, default=5)
    parser.add_argument("--dry-run", action="store_true")
    given = parser.parse_args(arguments)
    for name in asyncio.run(run(given.registry, given.keep, dry_run=given.dry_run)):
        print("would delete" if given.dry_run else "deleted", name)


if __name__ == "__main__":
    main()
