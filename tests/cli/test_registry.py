"""`lading registry check|limits|config`, and the options that say how a host is reached."""

import json
from pathlib import Path

import pytest

from support.certs import Authority, SelfSigned
from support.fakes import Reply, ScriptedServer
from support.images import make_image, push
from support.lading import Lading
from support.registry import RealRegistry


class TestConfig:
    def write(self, lading: Lading, text: str) -> Path:
        file = lading.home / ".config" / "lading" / "config.toml"
        file.parent.mkdir(parents=True)
        file.write_text(text)
        return file

    def test_every_setting_says_where_it_comes_from(self, lading: Lading) -> None:
        file = self.write(
            lading, '[hosts."a.example"]\njobs = 3\nheaders = {"X-Key" = "hunter2"}\n[hosts."*"]\njobs = 5'
        )
        certs = lading.home / "certs.d" / "a.example"
        certs.mkdir(parents=True)
        (certs / "ca.crt").write_text("")
        env = {
            "LADING_CERTS_D": str(certs.parent),
            "HTTPS_PROXY": "http://ada:hunter2@proxy.example:3128",
        }
        said = lading.run("registry", "config", "a.example", env=env).stdout
        assert "hunter2" not in said
        rows = {line.split()[0]: line.split(None, 2)[1:] for line in said.splitlines()[2:]}
        assert rows["jobs"] == ["3", f'{file}, hosts."a.example"']
        assert rows["ca_file"] == [str(certs / "ca.crt"), str(certs)]
        assert rows["insecure"] == ["no", "default"]
        assert rows["https_proxy"] == ["http://***@proxy.example:3128", "HTTPS_PROXY"]

        document = json.loads(lading.run("registry", "config", "a.example", "--format", "json", env=env).stdout)
        settings = {setting["name"]: setting for setting in document["hosts"][0]["settings"]}
        assert settings["headers"]["value"] == {"X-Key": "***"}
        assert settings["jobs"]["value"] == 3
        assert document["exists"] is True

    def test_without_a_host_all_that_is_configured_is_shown(self, lading: Lading) -> None:
        self.write(
            lading, '[hosts."a.example"]\njobs = 3\n[hosts."b.example"]\nblocked = true\n[aliases]\na = "q.io/a"'
        )
        certs = lading.home / ".config" / "docker" / "certs.d" / "c.example"
        certs.mkdir(parents=True)
        (certs / "ca.crt").write_text("")
        said = lading.run("registry", "config").stdout
        assert "a.example\n  SETTING" in said
        assert "c.example\n  SETTING" in said
        assert "b.example\n  SETTING" in said
        assert "insecure" not in said, "what is as by default is not"
        assert "aliases\n  a  q.io/a" in said

    def test_options_count_over_files(self, lading: Lading, tmp_path: Path) -> None:
        said = lading.run(
            *("registry", "config", "a.example", "--ca-file", "x.pem", "--resolve", "a.example:443:10.0.0.1"),
            "--insecure",
        ).stdout
        rows = {line.split()[0]: line.split()[1:] for line in said.splitlines()[2:]}
        assert rows["ca_file"] == ["x.pem", "--ca-file"]
        assert rows["address"] == ["10.0.0.1", "--resolve"]
        assert rows["insecure"] == ["yes", "--insecure"]

    def test_a_mistake_is_said_with_its_place(self, lading: Lading) -> None:
        file = self.write(lading, '[hosts."a.example"]\njob = 3\n')
        ran = lading.run("registry", "config", check=False)
        assert ran.returncode == 2
        assert ran.stderr == (
            f"error: {file} is not a valid configuration\n"
            '  the key hosts."a.example".job is unknown\n'
            "  did you mean 'jobs'?\n"
        )


class TestCheck:
    def test_it_is_readable_and_ends_with_the_exit_code_of_the_first_failure(self, lading: Lading) -> None:
        with RealRegistry(auth="basic") as registry:
            ran = lading.run("registry", "check", registry.host, check=False)
        assert ran.returncode == 4
        assert ran.stdout.splitlines()[0] == registry.host
        assert f"  auth    failed   {registry.host} did not allow access: no credentials were found" in ran.stdout
        assert f"log in with: lading login {registry.host}" in ran.stdout
        assert ran.stderr == ""

    def test_json(self, lading: Lading, registry: RealRegistry) -> None:
        document = json.loads(lading.run("registry", "check", registry.host, "--format", "json").stdout)
        assert document["url"] == registry.url
        assert document["exit_code"] == 0
        assert {"name": "catalog", "state": "ok", "said": "it lists its repositories", "remedy": None} in document[
            "findings"
        ]

    def test_writing(self, lading: Lading, registry: RealRegistry, repository: str) -> None:
        push(registry.host, repository, "1", make_image())
        ran = lading.run("registry", "check", f"{registry.host}/{repository}", "--write")
        assert "mount      ok" in ran.stdout
        assert lading.run("registry", "check", registry.host, "--write", check=False).returncode == 2


class TestLimits:
    def test_a_registry_that_tells(self, lading: Lading) -> None:
        headers = {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "7;w=21600"}
        with ScriptedServer(lambda _: Reply(headers=headers)) as server:
            said = lading.run("registry", "limits", f"{server.host}/a:1").stdout
        assert said == f"{server.host}\n  limit       100 pulls in 6 hours\n  remaining   7\n"

    def test_a_registry_that_does_not(self, lading: Lading, registry: RealRegistry) -> None:
        assert lading.run("registry", "limits", registry.host).stdout == f"{registry.host} does not tell\n"


class TestReach:
    """The options of every command that talks to a registry."""

    def test_a_certificate_as_in_dockers_documentation(self, lading: Lading, tmp_path: Path) -> None:
        own, other = SelfSigned(tmp_path / "own"), SelfSigned(tmp_path / "other")
        image = make_image()
        with RealRegistry() as plain, RealRegistry(tls=own) as registry:
            push(plain.host, "app", "1", image)
            trust = ("--ca-file", str(own.ca))
            lading.run("copy", f"{plain.host}/app:1", f"{registry.host}/app:1", *trust)
            assert lading.run("digest", f"{registry.host}/app:1", *trust).stdout == f"{image.digest}\n"
            ran = lading.run("digest", f"{registry.host}/app:1", "--ca-file", str(other.ca), check=False)
        assert ran.returncode == 6
        assert "it is signed by an authority that is not trusted here" in ran.stderr

    def test_a_client_certificate(self, lading: Lading, tmp_path: Path) -> None:
        authority = Authority(tmp_path / "a", wants_clients=True)
        trust = ("--ca-file", str(authority.ca))
        shown = ("--cert-file", str(authority.client_certificate), "--key-file", str(authority.client_key))
        with ScriptedServer(lambda _: Reply(body=b'{"tags":["1"]}'), tls=authority) as server:
            assert lading.run("tags", f"{server.host}/a", *trust, *shown).stdout == "1\n"
            assert lading.run("tags", f"{server.host}/a", *trust, check=False).returncode == 6
            ran = lading.run("tags", f"{server.host}/a", *trust, *shown[2:], check=False)
            assert (ran.returncode, "give --cert-file, too" in ran.stderr) == (2, True)

    def test_an_address_and_headers(self, lading: Lading, tmp_path: Path) -> None:
        authority = Authority(tmp_path / "a", names=("registry.example",))
        file = tmp_path / "headers"
        file.write_text("X-Two: hunter2\n\nX-Three: 3\n")
        with ScriptedServer(lambda _: Reply(body=b'{"tags":["1"]}'), tls=authority) as server:
            host = f"registry.example:{server.port}"
            ran = lading.run(
                *("tags", f"{host}/a", "--ca-file", str(authority.ca), "--resolve", f"{host}:127.0.0.1"),
                *(
                    "--header",
                    "X-One: hunter2",
                    "--header",
                    f"@{file}",
                    "--header",
                    "other.example=X-Four: 4",
                    "--debug",
                ),
            )
            headers = server.requests[0].headers
        assert [headers.get(f"X-{name}") for name in ("One", "Two", "Three", "Four")] == [
            "hunter2",
            "hunter2",
            "3",
            None,
        ]
        assert "hunter2" not in ran.stderr

    @pytest.mark.parametrize(
        "flags, words",
        [
            (("--resolve", "a"), "gives no host an address"),
            (("--header", "hunter2"), "a header cannot be read"),
            (("--header", "@/nowhere"), "/nowhere"),
            (("--ca-file", "/nowhere"), "/nowhere cannot be used"),
        ],
    )
    def test_mistakes(self, lading: Lading, flags: tuple[str, str], words: str) -> None:
        ran = lading.run("tags", "registry.invalid/a", *flags, check=False)
        assert words in ran.stderr
        assert "hunter2" not in ran.stderr
        assert ran.returncode in (1, 2)


class TestAliases:
    def test_short_names_stand_for_longer_ones(self, lading: Lading, registry: RealRegistry, repository: str) -> None:
        image = make_image()
        push(registry.host, repository, "1", image)
        conf = lading.home / ".config" / "containers" / "registries.conf"
        conf.parent.mkdir(parents=True)
        conf.write_text(f'[aliases]\n"web" = "{registry.host}/{repository}"')
        assert lading.run("digest", "web:1").stdout == f"{image.digest}\n"
        assert lading.run("tags", "web").stdout == "1\n"
        lading.run("tag", "web:1", "web")  # a tag, and not what the alias stands for
        lading.run("copy", "web:1", "web:2")
        assert set(lading.run("tags", "web").stdout.split()) == {"1", "2", "web"}
        own = lading.home / ".config" / "lading" / "config.toml"
        own.parent.mkdir(parents=True)
        own.write_text('[aliases]\nweb = "localhost:1/elsewhere"')
        assert "localhost:1" in lading.run("digest", "web:1", check=False).stderr

    def test_docker_names_are_dockers(self, lading: Lading) -> None:
        conf = lading.home / ".config" / "containers" / "registries.conf"
        conf.parent.mkdir(parents=True)
        conf.write_text('[aliases]\n"web" = "localhost:1/elsewhere"')
        said = lading.run("manifest", "inspect", "web", "--format", "json", check=False).stderr
        assert "localhost:1" not in said
