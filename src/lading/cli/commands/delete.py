"""`lading delete`: manifests with their tags, or tags alone."""

from lading.cli.deleting import delete

__all__ = ["delete"]
