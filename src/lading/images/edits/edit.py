"""What an edit is: a value that changes an image, an index, or both. Knows nothing of where these are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from lading.errors import LadingError
    from lading.images.edits.base import Base
    from lading.images.edits.editing import Editing
    from lading.images.edits.index_editing import IndexEditing
    from lading.stores.location import AnyLocation


class Edit(msgspec.Struct, frozen=True):
    """One change of an image, or of an index: a value that can be applied to any number of them.

    An edit of an index is applied to each of its images that are meant, and then to the index.
    """

    async def apply(self, image: Editing) -> None:
        """Change an image; what is none, such as an artifact, has a manifest all the same.

        Args:
            image: the image while it is edited.

        Raises:
            LadingError: it cannot be changed so.
        """

    async def apply_to_index(self, index: IndexEditing) -> None:
        """Change the index that lists the images, once they were edited.

        Args:
            index: the index while it is edited.

        Raises:
            LadingError: it cannot be changed so.
        """

    def missing(self, title: str) -> LadingError | None:
        """The error that what it looks for was found in no image; None where it looks for nothing.

        An edit that looks for something puts itself among those that `image.has_found`.

        Args:
            title: what was edited.
        """
        del title
        return None

    @property
    def named_base(self) -> AnyLocation | None:
        """Where a base is that it names, and that is to be read before it is applied; None where there is none."""
        return None

    def with_base(self, base: Base) -> Edit:
        """The same edit with the base that it names.

        Args:
            base: what is there.
        """
        del base
        return self

    @property
    def changes_images(self) -> bool:
        """Whether it changes anything of an image."""
        return type(self).apply is not Edit.apply

    @property
    def changes_index(self) -> bool:
        """Whether it changes anything of an index: then there has to be one."""
        return type(self).apply_to_index is not Edit.apply_to_index

    @property
    def changes_every_index(self) -> bool:
        """Whether it changes indexes that are listed in the index, too."""
        return False
