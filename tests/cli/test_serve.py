"""`lading registry serve`: one line when it is ready, a log without secrets, and clear errors."""

import base64
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click import BadParameter
from hypothesis import given
from hypothesis import strategies as st

from lading.cli.values import duration, size
from serve.accounts import USERS, ask, basic, htpasswd
from serve.caller import Caller
from support.certs import Authority
from support.images import digest_of, get_manifest, make_image, push
from support.lading import Lading, Serving
from support.process import run

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@pytest.fixture
def users(tmp_path: Path) -> Path:
    return htpasswd(tmp_path / "users")


def test_says_one_line_when_it_is_ready(lading: Lading) -> None:
    with lading.serve() as serving:
        assert re.fullmatch(r"serving http://127\.0\.0\.1:\d+\n", serving.line)
        assert Caller(serving.url).host != "127.0.0.1:0"
        code, rest, errors = serving.end()
    assert (code, rest, errors) == (0, "", "")


def test_keeps_content_in_a_folder(lading: Lading, tmp_path: Path) -> None:
    image = make_image()
    for _ in range(2):
        with lading.serve("--storage", str(tmp_path / "r")) as serving:
            push(Caller(serving.url).host, "a", "v1", image)
            assert serving.end()[0] == 0
    with lading.serve("--storage", str(tmp_path / "r"), "--read-only") as serving:
        assert get_manifest(Caller(serving.url).host, "a", "v1")[2] == image.digest
        assert Caller(serving.url)("DELETE", "/v2/a/manifests/v1").status == 405


NO_PATIENCE = """
import sys
from lading.cli import main
from lading.serve.protocol import problems

problems._WINDOW = 0  # in which so much has to come: a minute otherwise
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("rate,status", [("1B", 201), ("1TB", 408)])
def test_a_push_has_to_be_as_fast_as_is_asked_for(lading: Lading, rate: str, status: int) -> None:
    command = [sys.executable, "-c", NO_PATIENCE, "registry", "serve", "--address", "127.0.0.1:0"]
    with subprocess.Popen(
        [*command, "--min-upload-rate", rate], env=lading.environment, text=True, stdout=subprocess.PIPE
    ) as process:
        try:
            call = Caller(Serving(process).url)
            answer = call("PUT", f"{call.start('a')}?digest={digest_of(b'content')}", b"content")
            assert answer.status == status, answer.body
            assert status != 408 or b"bytes per second" in answer.body
        finally:
            process.kill()


class TestLog:
    def test_has_a_line_for_each_request(self, lading: Lading) -> None:
        with lading.serve() as serving:
            call = Caller(serving.url)
            push(call.host, "a", "v1", make_image())
            call("GET", "/v2/a/manifests/v%221?password=secret", user_agent='evil "agent"\t')
            _, _, errors = serving.end()
        lines = errors.splitlines()
        assert all(
            re.fullmatch(rf'{TIME} 127\.0\.0\.1 - "[A-Z]+ /v2/\S*" \d+ \d+ \d+ [\d.e-]+ ".*"', line) for line in lines
        )
        assert re.search(rf'"PUT /v2/a/manifests/v1" 201 {make_image().size} 0 ', errors)
        assert r'"GET /v2/a/manifests/v%221" 404 0 ' in lines[-1]
        assert lines[-1].endswith(r'"evil \"agent\""')
        assert "secret" not in errors

    def test_can_be_json(self, lading: Lading, users: Path) -> None:
        with lading.serve("--log-format", "json", "--auth", f"htpasswd={users}") as serving:
            Caller(serving.url)("GET", "/v2/", authorization=basic("alice"), user_agent="test/1")
            _, _, errors = serving.end()
        (record,) = map(json.loads, errors.splitlines())
        assert re.fullmatch(TIME, record.pop("time"))
        assert record.pop("seconds") > 0
        assert record == {
            "level": "info",
            "client": "127.0.0.1",
            "user": "alice",
            "method": "GET",
            "path": "/v2/",
            "status": 200,
            "received": 0,
            "sent": 2,
            "agent": "test/1",
        }

    def test_can_be_quiet(self, lading: Lading) -> None:
        with lading.serve("--quiet") as serving:
            push(Caller(serving.url).host, "a", "v1", make_image())
            assert serving.end() == (0, "", "")

    def test_says_in_one_line_what_failed(self, lading: Lading, tmp_path: Path) -> None:
        index = tmp_path / "r" / "a" / "index.json"
        for flags in ((), ("--debug",), ("--log-format", "json")):
            with lading.serve("-q", "--storage", str(tmp_path / "r"), *flags) as serving:
                call = Caller(serving.url)
                push(call.host, "a", "v1", make_image())
                index.write_text("damaged")
                damaged = call("GET", "/v2/a/tags/list")
                index.unlink()
                shutil.rmtree(tmp_path / "r" / ".lading")
                strange = call("POST", "/v2/a/blobs/uploads/")
                _, _, errors = serving.end()
            assert (damaged.status, strange.code) == (500, "UNKNOWN")
            said = rf"GET /v2/a/tags/list failed: {index} is not valid JSON .*"
            reason = "POST /v2/a/blobs/uploads/ failed: FileNotFoundError: "
            if "json" in flags:
                first, second = (json.loads(line)["message"] for line in errors.splitlines())
                assert re.fullmatch(said, first)
                assert second.startswith(reason)
                continue
            first, second, *more = errors.splitlines()
            assert re.fullmatch(f"{TIME} error {said}", first)
            assert re.match(f"{TIME} error {reason}", second)
            assert ("    Traceback (most recent call last):" in more) == ("--debug" in flags)

    @pytest.mark.parametrize("format", ["text", "json"])
    def test_gives_nothing_away(self, lading: Lading, users: Path, tmp_path: Path, format: str) -> None:
        flags = ("--auth", f"token={users}", "--token-key", str(tmp_path / "key"), "--log-format", format, "--debug")
        with lading.serve(*flags) as serving:
            call = Caller(serving.url)
            answer = ask(call, "repository:a:pull,push", user="alice", offline_token="true")
            token, refresh = answer.document["token"], answer.document["refresh_token"]
            ask(call, user="alice", password="wr0ng-password")
            call("GET", "/v2/", authorization=f"Bearer {token}")
            call("GET", f"/v2/?token={token}", authorization="Bearer made-up")
            for form in (
                f"grant_type=refresh_token&refresh_token={refresh}",
                "grant_type=password&password=wr0ng-password",
            ):
                call("POST", "/v2/token", form)
            push(call.host, "a", "v1", make_image(), auth=("alice", USERS["alice"]))
            command = Path(f"/proc/{serving.process.pid}/cmdline").read_bytes().decode()
            _, rest, errors = serving.end()
        assert "/v2/token" in errors
        encoded = base64.b64encode(b"alice:secret").decode()
        key = (tmp_path / "key").read_text().strip()
        for secret in (USERS["alice"], "wr0ng-password", token, refresh, encoded, "made-up", key, "$2b$"):
            assert secret not in errors + rest + command


def test_serves_with_tls(lading: Lading, authority: Authority) -> None:
    flags = ("--tls-cert", str(authority.certificate), "--tls-key", str(authority.key))
    with lading.serve(*flags) as serving:
        assert serving.line.startswith("serving https://127.0.0.1:")
        host = serving.url.removeprefix("https://")
        push(host, "a", "v1", make_image(), scheme="https", trust=authority)
        assert serving.end()[0] == 0


def test_every_limit_is_kept_to(lading: Lading, tmp_path: Path) -> None:
    flags = ("--max-manifest=1kB", "--max-size=1MiB", "--upload-expiry=2h", "--allow-missing")
    with lading.serve(*flags, "--storage", str(tmp_path / "r")) as serving:
        call = Caller(serving.url)
        assert call("PUT", "/v2/a/manifests/v1", b"x" * 1001).status == 413
        assert call("PUT", "/v2/a/manifests/v1", make_image(kind="oci").content).status == 201
        assert call("PATCH", call.start("a"), b"x" * 1_100_000).status == 403
        left = tmp_path / "r" / ".lading" / "uploads" / "nobody-left"
        left.touch()
    for hours in (1, 3):
        changed = time.time() - hours * 3600
        os.utime(left, (changed, changed))
        with lading.serve("--upload-expiry=2h", "--storage", str(tmp_path / "r")):
            assert left.exists() == (hours < 2)


@pytest.mark.slow
def test_uploads_at_once_are_so_many(lading: Lading) -> None:
    with lading.serve("--max-uploads=1") as serving:
        Caller(serving.url).start("a")
        assert Caller(serving.url)("POST", "/v2/a/blobs/uploads/").status == 429


def test_rules_are_followed(lading: Lading, users: Path, tmp_path: Path) -> None:
    (tmp_path / "rules").write_text("bob:team/*:pull\n")
    flags = ("--allow", "alice:*:*", "--allow", f"@{tmp_path / 'rules'}", "--public-url", "https://registry.example")
    with lading.serve("--auth", f"token={users}", *flags) as serving:
        call = Caller(serving.url)
        assert 'realm="https://registry.example/v2/token"' in call("GET", "/v2/").headers["www-authenticate"]
        assert call("POST", "/v2/a/blobs/uploads/", authorization=basic("alice")).status == 202
        assert call("POST", "/v2/a/blobs/uploads/", authorization=basic("bob")).status == 403
        assert call("GET", "/v2/team/a/tags/list", authorization=basic("bob")).status == 404


class TestWarnings:
    def said(self, lading: Lading, *flags: str) -> list[str]:
        with lading.serve(*flags, address="0.0.0.0:0") as serving:
            assert serving.url.startswith(("http://0.0.0.0:", "https://0.0.0.0:"))
            _, _, errors = serving.end()
        return [line.partition(" ")[2] for line in errors.splitlines() if line.startswith("warning: ")]

    def test_say_what_others_could_do(self, lading: Lading, users: Path, authority: Authority) -> None:
        open_ = "everybody who can reach 0.0.0.0 can read and change everything: see --auth"
        readable = "content can be read on the way to 0.0.0.0: see --tls-cert"
        assert self.said(lading, "--quiet") == [open_, readable]
        auth = ("--auth", f"token={users}")
        assert self.said(lading, *auth) == ["passwords and " + readable]
        tls = ("--tls-cert", str(authority.certificate), "--tls-key", str(authority.key))
        assert self.said(lading, *tls) == [open_]
        assert self.said(lading, *auth, *tls) == []

    def test_are_not_for_this_machine(self, lading: Lading) -> None:
        for address in ("127.0.0.1:0", "localhost:0"):
            with lading.serve(address=address) as serving:
                assert serving.end() == (0, "", "")


class TestErrors:
    def refused(self, lading: Lading, *flags: str, code: int = 2) -> str:
        ran = lading.run("registry", "serve", "--address", "127.0.0.1:0", *flags, check=False, timeout=30)
        assert (ran.returncode, ran.stdout) == (code, "")
        assert ran.stderr.startswith("error: ")
        assert len(ran.stderr.splitlines()) <= 3
        return ran.stderr

    def test_of_addresses(self, lading: Lading) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            said = self.refused(lading, "--address", address, code=8)
            assert said == f"error: {address} is in use\n  choose another one; port 0 takes any that is free\n"
        assert "'nowhere' is not an address" in self.refused(lading, "--address", "nowhere")
        assert "cannot listen on 192.0.2.1:5000" in self.refused(lading, "--address", "192.0.2.1:5000")
        assert "cannot listen on no.such.host.invalid:1" in self.refused(lading, "--address", "no.such.host.invalid:1")

    def test_of_storages(self, lading: Lading, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        for path in (tmp_path / "file", tmp_path / "file" / "below"):
            assert f"cannot keep a registry in {path}" in self.refused(lading, "--storage", str(path))
        assert "No such file" in self.refused(lading, "--storage", str(tmp_path / "missing"), "--read-only")

    def test_of_users(self, lading: Lading, tmp_path: Path) -> None:
        assert "cannot read" in self.refused(lading, "--auth", f"htpasswd={tmp_path / 'missing'}")
        (tmp_path / "md5").write_text("alice:$apr1$abcdefgh$abcdefghijklmnopqrstuv\n")
        said = self.refused(lading, "--auth", f"htpasswd={tmp_path / 'md5'}")
        assert "line 1 of" in said
        assert "it is an MD5 hash" in said
        assert "htpasswd -B" in said
        assert "abcdefgh" not in said
        assert "is no kind of authentication" in self.refused(lading, "--auth", "users")

    def test_of_rules(self, lading: Lading, users: Path) -> None:
        assert "say how users log in" in self.refused(lading, "--allow", "alice:*:*")
        said = self.refused(lading, "--auth", f"htpasswd={users}", "--allow", "alice:pull")
        form = "a rule is USER:REPOSITORIES:ACTIONS, such as 'ci:team/*:pull,push'"
        assert said == f"error: 'alice:pull' is not a rule\n  {form}\n"
        assert "need tokens" in self.refused(lading, "--auth", f"htpasswd={users}", "--allow", "anonymous:*:pull")

    def test_of_certificates(self, lading: Lading, authority: Authority, tmp_path: Path) -> None:
        certificate = ("--tls-cert", str(authority.certificate))
        assert "are given together" in self.refused(lading, *certificate)
        assert "cannot read" in self.refused(lading, *certificate, "--tls-key", str(tmp_path / "missing"))
        encrypted = tmp_path / "encrypted"
        run(["openssl", "pkey", "-aes256", "-passout", "pass:x", "-in", authority.key, "-out", encrypted])
        assert "is encrypted" in self.refused(lading, *certificate, "--tls-key", str(encrypted))

    @pytest.mark.parametrize(
        "flag",
        [
            "--max-size=0",
            "--max-size=-1",
            "--max-size=lots",
            "--max-manifest=4 MiBytes",
            "--max-uploads=0",
            "--min-upload-rate=0",
            "--min-upload-rate=fast",
            "--upload-expiry=soon",
            "--upload-expiry=0h",
        ],
    )
    def test_of_numbers(self, lading: Lading, flag: str) -> None:
        assert flag.partition("=")[0] in self.refused(lading, flag)


class TestUnits:
    @pytest.mark.parametrize(
        "text, expected",
        [
            ("1", 1),
            ("4096", 4096),
            ("10B", 10),
            ("1k", 1000),
            ("1kB", 1000),
            ("1 KiB", 1024),
            ("1.5MB", 1_500_000),
            ("4MiB", 4 * 1024**2),
            ("2gi", 2 * 1024**3),
            ("1TB", 10**12),
        ],
    )
    def test_of_sizes(self, text: str, expected: int) -> None:
        assert size(text) == expected

    @pytest.mark.parametrize(
        "text, expected", [("90s", 90), ("30m", 1800), ("1.5h", 5400), ("7d", 604800), ("1 D", 86400)]
    )
    def test_of_times(self, text: str, expected: float) -> None:
        assert duration(text) == expected

    @pytest.mark.parametrize("text", ["", "MB", "-1", "0", "0.1", "1e3", "1_000", "1XB", "ten", "1 2", "٣"])
    def test_need_a_number(self, text: str) -> None:
        for read in (size, duration):
            if (read, text) != (duration, "0.1"):
                with pytest.raises(BadParameter):
                    read(text)

    @given(st.text())
    def test_take_anything_or_refuse(self, text: str) -> None:
        try:
            assert size(text) >= 1
        except BadParameter as error:
            assert "is not a size" in str(error)  # noqa: PT017 - either is right
