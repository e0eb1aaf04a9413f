"""`lading manifest delete`: the same as `lading delete`."""

from lading.cli.deleting import delete

__all__ = ["delete"]
