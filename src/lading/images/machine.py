"""The machine lading runs on, as clients on it would see it: operating system, architecture and CPU level."""

from __future__ import annotations

import platform
import re
import sys
from pathlib import Path

from lading.model.platform import Platform

_OS = {"win32": "windows", "cygwin": "windows"}
_ARCHITECTURES = {
    "x86_64": "amd64",
    "amd64": "amd64",
    "aarch64": "arm64",
    "arm64": "arm64",
    "armv8l": "arm",
    "i386": "386",
    "i686": "386",
    "loongarch64": "loong64",
    "ppc64le": "ppc64le",
    "riscv64": "riscv64",
    "s390x": "s390x",
}
# What the x86-64 psABI asks of each level, in the words of /proc/cpuinfo.
_LEVELS = {
    "v2": "cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3",
    "v3": "abm avx avx2 bmi1 bmi2 f16c fma movbe xsave",
    "v4": "avx512bw avx512cd avx512dq avx512f avx512vl",
}


def this_machine() -> Platform:
    """This machine; its variant is the level of an amd64 (`v1` to `v4`), or the version of an arm."""
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        cpuinfo = ""
    return machine(sys.platform, platform.machine(), cpuinfo, platform.version())


def engine_platform() -> Platform:
    """The platform of the images that a container engine on this machine runs.

    That is Linux, whatever the machine itself runs: elsewhere, engines have a virtual machine. A variant is said of an
    arm of 32 bits only: `linux/arm/v7`, `linux/arm64`, `linux/amd64`.
    """
    here = this_machine()
    return Platform(
        os="linux", architecture=here.architecture, variant=here.variant if here.architecture == "arm" else ""
    )


def machine(system: str, hardware: str, cpuinfo: str = "", version: str = "") -> Platform:
    """A machine from what its operating system says of it.

    Args:
        system: as `sys.platform` names it.
        hardware: as `uname -m` names it.
        cpuinfo: the content of `/proc/cpuinfo`, where there is one.
        version: the version of the operating system; only that of Windows counts.
    """
    os = _OS.get(system, system.rstrip("0123456789"))
    hardware = hardware.lower()
    architecture = _ARCHITECTURES.get(hardware, "arm" if hardware.startswith("arm") else hardware)
    variant = {"amd64": _amd64_level(cpuinfo), "arm64": "v8", "arm": _arm_version(hardware, cpuinfo)}
    return Platform(
        os=os,
        architecture=architecture,
        variant=variant.get(architecture, ""),
        os_version=version if os == "windows" else "",
    )


def _amd64_level(cpuinfo: str) -> str:
    has = set(_said(cpuinfo, "flags").split())
    level = "v1"
    for name, needed in _LEVELS.items():
        if not has.issuperset(needed.split()):
            break
        level = name
    return level


def _arm_version(hardware: str, cpuinfo: str) -> str:
    said = _said(cpuinfo, "cpu architecture") or hardware.removeprefix("armv")
    if said.startswith("7") and _said(cpuinfo, "model name").lower().startswith("armv6-compatible"):
        return "v6"
    number = re.match(r"[5-8]", said)
    return f"v{number[0]}" if number else "v7"


def _said(cpuinfo: str, key: str) -> str:
    """The value of a key for the first CPU."""
    for line in cpuinfo.splitlines():
        name, colon, value = line.partition(":")
        if colon and name.strip().lower() == key:
            return value.strip()
    return ""
