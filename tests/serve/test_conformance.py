"""The conformance suite of the distribution specification, with the registry as its subject."""

import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest

from lading.serve import Settings, Storage, background
from serve.accounts import USERS, htpasswd
from support.parts import need
from support.process import bare_environment, run

CASES = {"1.1": Counter(passed=860, disabled=2), "dev": Counter(passed=986)}
"""How the suite's cases end; those that are disabled are of a version to come."""


def suite(url: str, folder: Path, **options: str) -> Counter[str]:
    """Run it against a registry; gives how many cases ended how."""
    environment = bare_environment(folder) | {
        "OCI_REGISTRY": url.partition("://")[2],
        "OCI_TLS": "disabled",
        "OCI_RESULTS_DIR": str(folder / "results"),
        **options,
    }
    ran = run([need("conformance")], env=environment, cwd=folder, check=False, timeout=300)
    found = ET.parse(folder / "results" / "junit.xml").getroot()
    total = Counter({name: int(found.get(name, 0)) for name in ("tests", "failures", "errors", "disabled")})
    assert ran.returncode == 0, "\n".join(line for line in ran.stdout.splitlines() if "FAIL" in line)
    passed = total["tests"] - total["failures"] - total["errors"] - total["disabled"]
    return Counter({"passed": passed, "disabled": total["disabled"]}) + Counter(failed=total["failures"])


@pytest.mark.parametrize("version", CASES)
def test_everything_passes(storage: Storage, version: str, tmp_path: Path) -> None:
    with background(storage) as url:
        assert suite(url, tmp_path, OCI_VERSION=version) == CASES[version]


@pytest.mark.parametrize("kind", ["htpasswd", "token"])
def test_everything_passes_after_a_login(kind: str, tmp_path: Path) -> None:
    user = {"OCI_USERNAME": "alice", "OCI_PASSWORD": USERS["alice"]}
    settings = Settings(auth=f"{kind}={htpasswd(tmp_path / 'users')}")
    with background(settings=settings) as url:
        assert suite(url, tmp_path, OCI_VERSION="dev", **user) == CASES["dev"]


def test_sparse_indexes_pass_where_they_are_taken(storage: Storage, tmp_path: Path) -> None:
    with background(storage, settings=Settings(allow_missing=True)) as url:
        found = suite(url, tmp_path, OCI_VERSION="dev", OCI_DATA_SPARSE="true")
    assert found["failed"] == 0
    assert found["passed"] > CASES["dev"]["passed"]
