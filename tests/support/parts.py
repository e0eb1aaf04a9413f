"""The real programs the tests run against, wherever this machine has them.

A missing part skips the test that needs it, with a reason that names the package. With LADING_TEST_REAL=all
(as in continuous integration) it fails the test instead, so that nothing is left out unseen.
"""

import functools
import os
import re
import struct
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

OLDEST_DOCKER = 28
"""The first major version of the docker CLI whose behaviour the tests describe."""


def need(name: str) -> Path:
    """The path of a part, or the end of the test that asked for it."""
    found = find(name)
    if found is not None:
        return found
    missing(f"{name} is not on this machine ({_HINTS.get(name, 'install it')})")


def need_containerd(major: int) -> tuple[Path, Path]:
    """The paths of `containerd` and `ctr` of a major version, of which there may be several; or the end of the test."""
    for ctr in _candidates("ctr"):
        daemon = ctr.with_name("containerd")
        said = subprocess.run([ctr, "--version"], capture_output=True, text=True, check=False).stdout
        if daemon.is_file() and re.search(rf" v?{major}\.\d+\.\d+", said):
            return daemon, ctr
    missing(f"containerd {major} is not on this machine ({_CONTAINERD[major]})")


def missing(reason: str) -> NoReturn:
    """Skip the test, or fail it where every real part is required."""
    if everything_required():
        pytest.fail(f"LADING_TEST_REAL=all, but {reason}", pytrace=False)
    pytest.skip(reason, allow_module_level=True)


def to_install(reasons: Iterable[str]) -> str | None:
    """One line that says what to install to run what was skipped; None where nothing is missing.

    Args:
        reasons: why tests were skipped.
    """
    said = " ".join(reasons)
    debian = sorted(set(re.findall(r"Debian package ([\w.+-]+)", said)))
    go = sorted(set(re.findall(r"go install (\S+@[\w.-]+)", said)))
    ways = [f"apt-get install {' '.join(debian)}"] if debian else []
    ways += [f"go install {program}" for program in go]
    ways += [_HINTS["docker"]] if _HINTS["docker"] in said else []
    return f"To run the tests that were skipped: {'; '.join(ways)}" if ways else None


def everything_required() -> bool:
    return os.environ.get("LADING_TEST_REAL") == "all"


def times(usually: int, always: int) -> int:
    """How often to try what goes wrong by chance: `always` in continuous integration, as in LADING_TEST_REAL=all."""
    return always if everything_required() else usually


@functools.cache
def find(name: str) -> Path | None:
    """The path of a part if it is here and fit for use.

    `docker` is a CLI of version 28 or later (distributions install older ones beside it), `busybox` is a
    statically linked one, which runs in an otherwise empty image.
    """
    fit = _FITNESS.get(name)
    return next((path for path in _candidates(name) if fit is None or fit(path)), None)


def _candidates(name: str) -> Iterator[Path]:
    """Every executable of that name: on PATH first, then where `go install` puts them, and where daemons live."""
    go = os.environ.get("GOPATH") or str(Path.home() / "go")
    folders = [
        *os.get_exec_path(),
        os.environ.get("GOBIN") or f"{go}/bin",
        f"{go}/bin",
        "/usr/local/bin",
        "/usr/local/sbin",
        "/usr/bin",
        "/usr/sbin",
        "/bin",
        "/sbin",
    ]
    for folder in dict.fromkeys(folders):
        path = Path(folder) / name
        if path.is_file() and os.access(path, os.X_OK):
            yield path


def _is_current_docker(path: Path) -> bool:
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"version (\d+)\.", said)
    return version is not None and int(version[1]) >= OLDEST_DOCKER


def _is_static(path: Path) -> bool:
    """Whether an ELF executable asks for no interpreter (no PT_INTERP program header)."""
    elf = path.read_bytes()
    if elf[:5] != b"\x7fELF\x02":
        return False
    (table,) = struct.unpack_from("<Q", elf, 32)
    size, count = struct.unpack_from("<HH", elf, 54)
    interpreter = 3
    return all(struct.unpack_from("<I", elf, table + n * size)[0] != interpreter for n in range(count))


_FITNESS: dict[str, Callable[[Path], bool]] = {"docker": _is_current_docker, "busybox": _is_static}

_CONTAINERD = {
    1: "Debian package containerd",
    2: "go install github.com/containerd/containerd/v2/cmd/containerd@v2.3.4, and the same for ctr",
}
_HINTS = {
    "conformance": "go install github.com/opencontainers/distribution-spec/conformance"
    "@v0.0.0-20260831232431-97274622c111",
    "crane": "go install github.com/google/go-containerregistry/cmd/crane@v0.20.6",
    "oras": "go install oras.land/oras/cmd/oras@v1.3.3",
    "helm": "go install helm.sh/helm/v3/cmd/helm@v3.19.2",
    "regctl": "go install github.com/regclient/regclient/cmd/regctl@v0.11.7",
    "debootstrap": "Debian package debootstrap",
    "docker": f"the docker CLI, version {OLDEST_DOCKER} or later",
    "docker-registry": "Debian package docker-registry",
    "dockerd": "Debian package docker.io",
    "openssl": "Debian package openssl",
    "skopeo": "Debian package skopeo",
    "umoci": "Debian package umoci",
    "patch": "Debian package patch",
    "podman": "Debian package podman",
    "busybox": "Debian package busybox-static",
    "zstd": "Debian package zstd",
    "fish": "Debian package fish",
    "zsh": "Debian package zsh",
    "htpasswd": "Debian package apache2-utils",
}
