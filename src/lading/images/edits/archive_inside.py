"""A tar archive that is a file in a layer, written anew with some of its members changed.

This module knows one layer at a time, and not why a member is changed. The archive is kept in a temporary file: it may
be as large as the layer.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from lading.images.edits.rewrite import Change, Entry, Rewriter, path_of
from lading.images.files.layers import LayerContent, read_layer
from lading.io import scratch
from lading.io.tar_stream import Member, TarStream


class ArchiveInside:
    """The archive, while it is written anew: `read` makes it of a layer, and `change` puts it there.

    Args:
        what: what the layer is called in messages.
        path: where the archive is in the layer.
        change: what is done to each of its members.
    """

    def __init__(self, what: str, path: str, change: Change) -> None:
        self.is_there: bool = False
        """Whether the layer has a file of that path."""
        self._what = f"{path} in {what}"
        self._path = path
        self._change = change
        self._file = scratch.file()
        self._rewriter: Rewriter | None = None
        self._tar: TarStream | None = None

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove what was written."""
        self._file.close()
        if self._rewriter is not None:
            self._rewriter.__exit__()

    @property
    def is_changed(self) -> bool:
        """Whether any of its members was changed."""
        return self._rewriter is not None and self._rewriter.is_changed

    async def read(self, content: LayerContent) -> None:
        """Read the layer, and write the archive that is in it anew.

        Raises:
            InvalidContent: the layer is damaged, or what is there is no tar archive.
        """
        await read_layer(content, self._member, on_content=self._content, on_end=self._end)

    def change(self, entry: Entry) -> None:
        """Replace the content of the file, where an entry of the layer is that."""
        if entry.path == self._path and entry.member.type == "0":
            entry.content = self._file

    def _member(self, member: Member) -> bool:
        if member.type != "0" or path_of(member.name) != self._path or member.extents is not None:
            return False
        # Of several entries of one path the last counts.
        self.is_there = True
        self._file.seek(0)
        self._file.truncate()
        if self._rewriter is not None:
            self._rewriter.__exit__()
        self._rewriter = Rewriter(self._what, self._change, self._file)
        self._tar = TarStream(self._what, self._rewriter.member)
        return True

    def _content(self, piece: memoryview) -> None:
        assert self._rewriter is not None
        assert self._tar is not None
        data = bytes(piece)
        self._rewriter.plain(data)
        self._tar.feed(data)

    def _end(self) -> None:
        assert self._rewriter is not None
        assert self._tar is not None
        self._tar.finish()
        self._rewriter.finish()
