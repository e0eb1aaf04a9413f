"""What is compared besides what documents say."""

from __future__ import annotations

import msgspec


class DiffOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What is compared besides manifests, configs and lists of layers."""

    files: bool = False
    packages: bool = False
    content: bool = False
    paths: tuple[str, ...] = ()
    """Which files, as paths or globs; all where there are none."""
    times: bool = False
    """Whether times of modification count."""

    @property
    def needs_layers(self) -> bool:
        """Whether layers have to be read."""
        return self.files or self.packages or self.content
