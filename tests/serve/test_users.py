"""Users and passwords in htpasswd files."""

import asyncio
from pathlib import Path

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import UsageError
from lading.serve.auth.users import Users, parse_htpasswd
from serve.accounts import hashed, htpasswd
from support.parts import need
from support.process import run


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The costs of the hashes that passwords were compared with: bcrypt is still bcrypt, but counted."""
    made: list[int] = []
    real = bcrypt.checkpw

    def counted(password: bytes, wanted: bytes) -> bool:
        made.append(int(wanted.split(b"$")[2]))
        return real(password, wanted)

    monkeypatch.setattr(bcrypt, "checkpw", counted)
    return made


async def test_knows_right_from_wrong(tmp_path: Path) -> None:
    users = Users(htpasswd(tmp_path / "users", {"alice": "secret", "bob": "pässword:with colon"}))
    assert await users.verify("alice", b"secret")
    assert await users.verify("bob", "pässword:with colon".encode())
    for user, password in [("alice", b"Secret"), ("alice", b""), ("bob", b"secret"), ("", b""), ("carol", b"secret")]:
        assert not await users.verify(user, password)
    assert not await users.verify("alice", b"secret\0more")


@pytest.mark.parametrize("flags", [(), ("-C", "6")])
async def test_reads_what_htpasswd_writes(tmp_path: Path, flags: tuple[str, ...]) -> None:
    run([need("htpasswd"), "-b", "-B", "-c", *flags, tmp_path / "users", "alice", "secret"])
    users = Users(tmp_path / "users")
    assert await users.verify("alice", b"secret")
    assert not await users.verify("alice", b"secre")


async def test_a_password_may_be_longer_than_bcrypt_looks_at(tmp_path: Path) -> None:
    htpasswd(tmp_path / "users", {"alice": "x" * 72})
    users = Users(tmp_path / "users")
    assert await users.verify("alice", b"x" * 100)
    assert not await users.verify("alice", b"x" * 71)


async def test_a_right_password_is_checked_once(tmp_path: Path, checks: list[int]) -> None:
    users = Users(htpasswd(tmp_path / "users"))
    assert all(await asyncio.gather(*(users.verify("alice", b"secret") for _ in range(32))))
    assert len(checks) <= 2  # those that were under way at once
    known = len(checks)
    assert await users.verify("alice", b"secret")
    assert len(checks) == known
    assert not await users.verify("alice", b"wrong")
    assert not await users.verify("alice", b"wrong")
    assert len(checks) == known + 2


async def test_who_does_not_exist_costs_as_much(tmp_path: Path, checks: list[int]) -> None:
    (tmp_path / "users").write_text(f"alice:{hashed('secret', 4)}\nbob:{hashed('secret', 5)}\n")
    users = Users(tmp_path / "users")
    assert not await users.verify("carol", b"secret")
    assert checks == [5]


async def test_keeps_no_password(tmp_path: Path) -> None:
    users = Users(htpasswd(tmp_path / "users"))
    assert await users.verify("alice", b"secret")
    assert "secret" not in repr(vars(users))


async def test_follows_the_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = htpasswd(tmp_path / "users")
    users = Users(path)
    before = users.mark("alice")
    assert await users.verify("alice", b"secret")
    htpasswd(path, {"alice": "changed", "carol": "new"})
    assert not await users.verify("alice", b"secret")
    assert await users.verify("alice", b"changed")
    assert await users.verify("carol", b"new")
    assert not await users.verify("bob", b"hunter2")
    assert users.mark("alice") not in {None, before}
    assert users.mark("bob") is None

    path.write_text("alice:changed\n")
    assert await users.verify("alice", b"changed")  # what was good holds
    path.unlink()
    assert await users.verify("alice", b"changed")
    assert [record.message.partition("users ")[2] for record in caplog.records] == [
        "has changed and cannot be read, so nothing changes: "
        f"the hash in line 1 of {path} is not of bcrypt (it is none)",
        "has changed and cannot be read, so nothing changes: No such file or directory",
    ]


@pytest.mark.parametrize(
    "text, message",
    [
        ("alice", "line 1 of FILE is not USER:HASH"),
        ("# users\n\n:secret", "line 3 of FILE is not USER:HASH"),
        ("alice:$apr1$x$y", "the hash in line 1 of FILE is not of bcrypt (it is an MD5 hash)"),
        ("alice:{SHA}abc", "the hash in line 1 of FILE is not of bcrypt (it is a SHA-1 hash)"),
        ("alice:$6$abc", "the hash in line 1 of FILE is not of bcrypt (it is a SHA-512 hash)"),
        ("alice:secret", "the hash in line 1 of FILE is not of bcrypt (it is none)"),
        (f"alice:$2y$03${'a' * 53}", "the hash in line 1 of FILE is not of bcrypt (it is none)"),
        (f"a:$2y$05${'a' * 53}\na:$2y$05${'a' * 53}", "FILE has the user a twice (the second time in line 2)"),
        (f"anonymous:$2y$05${'a' * 53}", "line 1 of FILE has a user anonymous (rules mean something else by it)"),
    ],
)
def test_says_what_is_wrong_and_shows_no_hash(text: str, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_htpasswd(text, "FILE")
    assert str(refused.value) == message


def test_needs_the_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*missing"):
        Users(tmp_path / "missing")
    with pytest.raises(UsageError, match="cannot read"):
        Users(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not UTF-8"):
        Users(tmp_path / "binary")


NAMES = st.text(st.characters(exclude_characters=":\n", exclude_categories=["Cs"]), min_size=1).filter(
    lambda name: name == name.strip() and name not in {"*", "anonymous"} and not name.startswith("#")
)


@given(st.dictionaries(NAMES, st.from_regex(r"\$2[aby]\$(0[4-9]|[12][0-9])\$[./A-Za-z0-9]{53}", fullmatch=True)))
def test_every_user_is_read(users: dict[str, str]) -> None:
    text = "# users\n" + "\n\n".join(f"  {name}:{hashed} \r" for name, hashed in users.items())
    assert parse_htpasswd(text, "FILE") == {name: hashed.encode() for name, hashed in users.items()}
