"""What machine lading runs on, from what the operating system says of it."""

import pytest

from lading.images.machine import machine, this_machine

V2 = "fpu cx8 cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3"
V3 = f"{V2} abm avx avx2 bmi1 bmi2 f16c fma movbe xsave"
V4 = f"{V3} avx512bw avx512cd avx512dq avx512f avx512vl"


def cpuinfo(**said: str) -> str:
    """`/proc/cpuinfo` with two processors, of which only the first counts."""
    lines = [f"{key.replace('_', ' ')}\t: {value}" for key, value in said.items()]
    return "\n".join(["processor\t: 0", *lines, "", "processor\t: 1", "flags\t: none", ""])


@pytest.mark.parametrize(
    "system,hardware,said,expected",
    [
        ("linux", "x86_64", cpuinfo(flags="fpu sse2"), "linux/amd64/v1"),
        ("linux", "x86_64", cpuinfo(flags=V2), "linux/amd64/v2"),
        ("linux", "x86_64", cpuinfo(flags=V3), "linux/amd64/v3"),
        ("linux", "x86_64", cpuinfo(flags=V4), "linux/amd64/v4"),
        ("linux", "x86_64", cpuinfo(flags=V4.replace("movbe", "")), "linux/amd64/v2"),
        ("linux", "x86_64", "", "linux/amd64/v1"),
        ("linux", "i686", "", "linux/386"),
        ("linux", "aarch64", cpuinfo(CPU_architecture="8"), "linux/arm64/v8"),
        ("linux", "armv7l", cpuinfo(model_name="ARMv7 Processor rev 4", CPU_architecture="7"), "linux/arm/v7"),
        ("linux", "armv6l", cpuinfo(model_name="ARMv6-compatible processor", CPU_architecture="7"), "linux/arm/v6"),
        ("linux", "armv7l", cpuinfo(CPU_architecture="5TEJ"), "linux/arm/v5"),
        ("linux", "armv6l", "", "linux/arm/v6"),
        ("linux", "armv8l", "", "linux/arm/v8"),
        ("linux", "s390x", "", "linux/s390x"),
        ("linux", "loongarch64", "", "linux/loong64"),
        ("darwin", "arm64", "", "darwin/arm64/v8"),
        ("freebsd14", "amd64", "", "freebsd/amd64/v1"),
        ("win32", "AMD64", "", "windows/amd64/v1"),
    ],
)
def test_a_machine_is_told_by_its_system(system: str, hardware: str, said: str, expected: str) -> None:
    assert str(machine(system, hardware, said)) == expected


def test_only_windows_has_a_version() -> None:
    assert machine("win32", "AMD64", version="10.0.20348").os_version == "10.0.20348"
    assert machine("linux", "x86_64", version="#1 SMP").os_version == ""


def test_this_machine_is_one_that_go_knows() -> None:
    assert this_machine().is_known
