"""Where a new field goes in a JSON object: where the program that wrote the object would have put it.

This module knows the orders in which Go programs write configs and manifests, and nothing of what the fields mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lading.model.encoding import Document

_OCI_CONFIG = (
    "created author architecture variant os os.version os.features config rootfs history",
    "User ExposedPorts Env Entrypoint Cmd Volumes WorkingDir Labels StopSignal ArgsEscaped",
)
_GGCR_CONFIG = (
    "architecture author container created docker_version history os rootfs config os.version variant os.features",
    "AttachStderr AttachStdin AttachStdout Cmd Healthcheck Domainname Entrypoint Env Hostname Image Labels OnBuild "
    "OpenStdin StdinOnce Tty User Volumes WorkingDir ExposedPorts ArgsEscaped NetworkDisabled MacAddress StopSignal "
    "Shell",
)
_DOCKER_CONFIG = (
    "id parent comment created container container_config docker_version author config architecture variant os Size "
    "rootfs history os.version os.features",
    "Hostname Domainname User AttachStdin AttachStdout AttachStderr ExposedPorts Tty OpenStdin StdinOnce Env Cmd "
    "Healthcheck ArgsEscaped Image Volumes WorkingDir Entrypoint NetworkDisabled MacAddress OnBuild Labels StopSignal "
    "StopTimeout Shell",
)
_BUILDKIT_CONFIG = (
    "architecture author config created history os os.features os.version rootfs variant",
    _DOCKER_CONFIG[1],
)

CONFIG = tuple(tuple(top.split()) for top, _ in (_OCI_CONFIG, _GGCR_CONFIG, _BUILDKIT_CONFIG, _DOCKER_CONFIG))
"""The fields of a config, as each of several programs writes them."""
CONTAINER = tuple(tuple(fields.split()) for _, fields in (_OCI_CONFIG, _GGCR_CONFIG, _DOCKER_CONFIG))
"""The fields of its object `config`."""
MANIFEST = (
    ("schemaVersion", "mediaType", "artifactType", "config", "layers", "subject", "annotations"),
    ("schemaVersion", "mediaType", "config", "layers", "annotations", "subject", "artifactType"),
)
INDEX = (("schemaVersion", "mediaType", "artifactType", "manifests", "subject", "annotations"),)
DESCRIPTOR = (
    ("mediaType", "digest", "size", "urls", "annotations", "data", "platform", "artifactType"),
    ("mediaType", "size", "digest", "data", "urls", "annotations", "platform", "artifactType"),
)
PLATFORM = (("architecture", "os", "os.version", "os.features", "variant", "features"),)


def set_field(document: Document, key: str, value: Any, orders: Sequence[Sequence[str]]) -> None:
    """Give a field a value; one that is there keeps its place.

    Args:
        document: the object, which is changed.
        key: the field.
        value: the value; None removes the field.
        orders: the orders in which programs write such an object. The first counts that the object is in.
    """
    if value is None:
        document.pop(key, None)
        return
    if key in document:
        document[key] = value
        return
    order = next((order for order in orders if key in order and _is_in(document, order)), ())
    after = frozenset(order[order.index(key) + 1 :]) if order else frozenset()
    later = [other for other in document if other in after]
    if not later:
        document[key] = value
        return
    fields = list(document.items())
    at = list(document).index(later[0])
    document.clear()
    document.update([*fields[:at], (key, value), *fields[at:]])


def _is_in(document: Document, order: Sequence[str]) -> bool:
    known = [key for key in document if key in order]
    return known == sorted(known, key=order.index)
