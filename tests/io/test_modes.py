"""Changes of permissions, as chmod makes them."""

import subprocess
from pathlib import Path

import pytest

from lading.errors import UsageError
from lading.io.modes import ModeChange

TEXTS = ["755", "0", "4711", "u=rwX,go=rX", "a+x", "+x", "go-rwx", "u+s,g+s", "o+t", "=r", "u=rwx,g=rx,o=", "a=rX+w"]


@pytest.mark.parametrize("text", TEXTS)
def test_it_is_what_chmod_does(text: str, tmp_path: Path) -> None:
    for mode in (0o644, 0o755, 0o4750, 0o600, 0o1777):
        for path in (tmp_path / f"f{mode}", tmp_path / f"d{mode}"):
            is_directory = path.name.startswith("d")
            path.mkdir() if is_directory else path.touch()
            path.chmod(mode)
            subprocess.run(["sh", "-c", 'umask 0; chmod -- "$0" "$1"', text, path], check=True)
            found = path.stat().st_mode & 0o7777
            # chmod leaves setuid and setgid of directories alone, where they are not named.
            wanted = ModeChange(text).apply(mode, is_directory=is_directory)
            mask = 0o1777 if is_directory else 0o7777
            assert (oct(wanted & mask), oct(mode)) == (oct(found & mask), oct(mode))


@pytest.mark.parametrize("text", ["", "8", "77777", "u", "u=q", "x+r", "u=r,", "rw", "u+r;id"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="is no mode"):
        ModeChange(text)
