"""The images of the demo: real ones, for three platforms, made here. Each holds one program that says hello.

The programs are machine code that makes two system calls, write and exit, so they run wherever Linux does.
"""

from __future__ import annotations

import struct

from lading.images.build import BuiltImage, build
from lading.model.platform import Platform
from lading.store import Store

PLATFORMS = (
    Platform(os="linux", architecture="amd64"),
    Platform(os="linux", architecture="arm64", variant="v8"),
    Platform(os="linux", architecture="arm", variant="v7"),
)
_CREATED = "2024-05-29T00:00:00Z"


async def fill(store: Store) -> None:
    """Put versions 1.0 and 1.1 of the images into a repository, each platform under a tag of its own."""
    for version in ("1.0", "1.1"):
        for platform in PLATFORMS:
            await hello(platform, version).push(store, f"{version}-{platform.architecture}")


def hello(platform: Platform, version: str) -> BuiltImage:
    """An image whose only program prints which version it is, and for which platform.

    Args:
        platform: one of PLATFORMS.
        version: the version.
    """
    program = _program(platform, f"hello from {version} on {platform}\n".encode())
    return build(
        {"hello": program},
        platform,
        config={"Entrypoint": ["/hello"], "Labels": {"org.opencontainers.image.version": version}},
        created=_CREATED,
        created_by="lading demo",
    )


def _program(platform: Platform, text: bytes) -> bytes:
    if platform.architecture == "amd64":
        code = (
            b"\xb8\x01\x00\x00\x00\xbf\x01\x00\x00\x00\x48\x8d\x35\x10\x00\x00\x00"  # write, stdout, text
            + b"\xba"
            + struct.pack("<I", len(text))  # its length
            + b"\x0f\x05\xb8\x3c\x00\x00\x00\x31\xff\x0f\x05"  # call; exit, 0, call
        )
        return _elf64(62, code + text)
    if platform.architecture == "arm64":
        words = (0xD2800808, 0xD2800020, 0x100000C1, 0xD2800002 | len(text) << 5, 0xD4000001, 0xD2800BA8)
        code = struct.pack("<8I", *words, 0xD2800000, 0xD4000001)
        return _elf64(183, code + text)
    words = (0xE3A07004, 0xE3A00001, 0xE28F1010, 0xE3A02000 | len(text), 0xEF000000, 0xE3A07001)
    code = struct.pack("<8I", *words, 0xE3A00000, 0xEF000000)
    return _elf32(40, code + text)


def _elf64(machine: int, content: bytes) -> bytes:
    start, base = 120, 0x400000
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, base + start, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    size = start + len(content)
    return head + struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000) + content


def _elf32(machine: int, content: bytes) -> bytes:
    start, base = 84, 0x10000
    head = b"\x7fELF\x01\x01\x01" + bytes(9)
    # 0x05000000: the ARM EABI, version 5.
    head += struct.pack("<HHIIIIIHHHHHH", 2, machine, 1, base + start, 52, 0, 0x05000000, 52, 32, 1, 0, 0, 0)
    size = start + len(content)
    return head + struct.pack("<IIIIIIII", 1, 0, base, base, size, size, 5, 0x1000) + content
