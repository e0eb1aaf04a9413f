"""What is in the files that differ: packages that they name, and their text. Each layer is read once for all of it.

This module brings contents to those who know them, within their limits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from lading.images.diff import rpm
from lading.images.diff.files import ComparedFiles, Side, state_of
from lading.images.diff.packages import Package, kind_of, limit_of, package_changes, packages_in
from lading.images.diff.results import ContentDiff, PackageChange
from lading.images.diff.text import LIMIT, TOTAL, content_diff
from lading.images.diff.trees import Difference
from lading.images.files.delivery import Sink
from lading.images.files.filesystem import Inode
from lading.io import scratch
from lading.io.threads import heed, in_thread
from lading.model.text import excerpt


class Inside:
    """Looks into the files that differ.

    Args:
        compared: which they are.
        packages: whether packages are looked for.
        content: which files are compared line by line; None for none.
    """

    def __init__(
        self, compared: ComparedFiles, *, packages: bool, content: Callable[[Difference], bool] | None
    ) -> None:
        self.warnings: list[str] = []
        """What could not be looked into."""
        self._compared = compared
        self._named: tuple[list[Package], list[Package]] = ([], [])
        self._texts: tuple[dict[str, bytes], dict[str, bytes]] = ({}, {})
        self._finds_packages = packages
        self._too_large: set[str] = set()
        self._chosen = self._choose(content) if content is not None else []

    async def look(self) -> None:
        """Read the contents of both sides."""
        sides = (self._compared.a, self._compared.b)
        with ExitStack() as stack:
            databases: list[tuple[int, str, Path]] = []
            for number, side in enumerate(sides):
                await self._look_at(number, side, stack, databases)
            for number, path, folder in databases:
                packages = await in_thread(rpm.packages_in_database, folder, path)
                if packages is None:
                    self._warn(f"the packages in {excerpt(path)} were not compared: rpm cannot read it")
                self._named[number].extend(packages or ())

    def packages(self) -> tuple[PackageChange, ...]:
        """Which packages differ."""
        return package_changes(*self._named)

    async def contents(self) -> tuple[ContentDiff, ...]:
        """What differs in contents."""
        return await in_thread(lambda: tuple(self._content(one) for one in self._chosen))

    async def _look_at(self, number: int, side: Side, stack: ExitStack, databases: list[tuple[int, str, Path]]) -> None:
        wanted: list[tuple[str, Inode]] = []
        texts = {one.path for one in self._chosen if one.path not in self._too_large}
        for one in self._compared.found:
            inode = one.file_in_b if number else one.file_in_a
            path = one.path if number or one.path_in_a is None else one.path_in_a
            if inode is None:
                continue
            if not inode.member.size:
                self._texts[number][path] = b""
            elif (self._finds_packages and self._is_readable(path, inode)) or path in texts:
                wanted.append((path, inode))

        def sink(path: str, inode: Inode) -> Sink:
            kind = kind_of(path) if self._finds_packages and self._is_readable(path, inode) else None
            if kind == "rpm":
                folder = stack.enter_context(scratch.anywhere())
                databases.append((number, path, folder))
                return _into_file(stack.enter_context((folder / path.rpartition("/")[2]).open("wb")))
            limit = limit_of(path) if kind is not None else LIMIT

            def end(content: bytes) -> None:
                if kind is not None:
                    self._named[number].extend(packages_in(path, content))
                if path in texts:
                    self._texts[number][path] = content

            return _captured(limit, end)

        await side.contents(wanted, sink)

    def _is_readable(self, path: str, inode: Inode) -> bool:
        """Whether it is the file of a package manager that can be read; what cannot is said once."""
        kind = kind_of(path)
        if kind is None:
            return False
        if kind == "rpm" and not rpm.is_installed():
            self._warn("packages of rpm were not compared: the Python library rpm is not installed")
            return False
        if inode.member.size > (rpm.LIMIT if kind == "rpm" else limit_of(path)):
            self._warn(f"the packages in {excerpt(path)} were not compared: the file is too large")
            return False
        return True

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    def _choose(self, content: Callable[[Difference], bool]) -> list[Difference]:
        """The files that are compared line by line, and those that are too large for it."""
        chosen, total = [], 0
        for one in self._compared.found:
            if not content(one) or not _differs_in_content(one):
                continue
            chosen.append(one)
            sizes = [inode.member.size for inode in (one.file_in_a, one.file_in_b) if inode is not None]
            if max(sizes) > LIMIT or total + sum(sizes) > TOTAL:
                self._too_large.add(one.path)
            else:
                total += sum(sizes)
        return chosen

    def _content(self, one: Difference) -> ContentDiff:
        heed()
        if one.path not in self._too_large:
            texts = [
                found.get(one.path) if inode is not None else None
                for found, inode in zip(self._texts, (one.file_in_a, one.file_in_b), strict=True)
            ]
            return content_diff(one.path, *texts)
        return ContentDiff(path=one.path, state="too-large", a_size=_size(one.file_in_a), b_size=_size(one.file_in_b))


def _differs_in_content(one: Difference) -> bool:
    """Whether it is a regular file on each side that has it, with another content on the other."""
    nodes: Sequence[tuple[object, Inode | None]] = ((one.a, one.file_in_a), (one.b, one.file_in_b))
    if any(node is not None and inode is None for node, inode in nodes) or state_of(one) == "moved":
        return False
    return one.a is None or one.b is None or "content" in one.aspects


def _captured(limit: int, end: Callable[[bytes], None]) -> Sink:
    """A sink that keeps a content that is no larger than is allowed."""
    content = bytearray()

    def write(piece: bytes | memoryview) -> None:
        if len(content) + len(piece) <= limit:
            content.extend(piece)

    return Sink(write, lambda length: write(bytes(min(length, limit + 1))), lambda: end(bytes(content)))


def _into_file(file: BinaryIO) -> Sink:
    def end() -> None:
        file.truncate()
        file.close()

    def hole(length: int) -> None:
        file.seek(length, 1)

    return Sink(file.write, hole, end)


def _size(inode: Inode | None) -> int | None:
    return inode.member.size if inode is not None else None
