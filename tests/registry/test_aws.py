"""Amazon ECR: its names, logins by AWS's own credential chain, and repositories that have to be made."""

import asyncio
import base64
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lading.errors import Denied
from lading.registry.auth.aws import create_repository
from lading.registry.auth.lookup import default_sources
from lading.registry.auth.scopes import Scope
from lading.registry.cache import Cache
from lading.registry.quirks import AmazonRegistry, amazon_registry
from lading.registry.session import Session
from registry.elsewhere import Elsewhere, Server
from registry.test_authentication import get, session
from support.fakes import Reply, ScriptedServer, error_reply
from support.fakes import Request as Received
from support.process import run
from support.proxy import CountingProxy
from support.registry import RealRegistry

ACCOUNT = "123456789012"
HOST = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com"
PULL = Scope("team/app")

PRIVATE = [
    (HOST, AmazonRegistry(ACCOUNT, "us-east-1"), "api.ecr.us-east-1.amazonaws.com"),
    (
        f"{ACCOUNT}.dkr.ecr.cn-north-1.amazonaws.com.cn",
        AmazonRegistry(ACCOUNT, "cn-north-1"),
        "api.ecr.cn-north-1.amazonaws.com.cn",
    ),
    (
        f"{ACCOUNT}.dkr.ecr.us-gov-west-1.amazonaws.com",
        AmazonRegistry(ACCOUNT, "us-gov-west-1"),
        "api.ecr.us-gov-west-1.amazonaws.com",
    ),
    (
        f"{ACCOUNT}.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
        AmazonRegistry(ACCOUNT, "us-gov-west-1", fips=True),
        "api.ecr-fips.us-gov-west-1.amazonaws.com",
    ),
    (
        f"{ACCOUNT}.dkr.ecr.us-iso-east-1.c2s.ic.gov",
        AmazonRegistry(ACCOUNT, "us-iso-east-1"),
        "api.ecr.us-iso-east-1.c2s.ic.gov",
    ),
    (
        f"{ACCOUNT}.dkr.ecr.us-isob-east-1.sc2s.sgov.gov",
        AmazonRegistry(ACCOUNT, "us-isob-east-1"),
        "api.ecr.us-isob-east-1.sc2s.sgov.gov",
    ),
    (
        f"{ACCOUNT}.dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk",
        AmazonRegistry(ACCOUNT, "eu-isoe-west-1"),
        "api.ecr.eu-isoe-west-1.cloud.adc-e.uk",
    ),
    (
        f"{ACCOUNT}.dkr.ecr.us-isof-south-1.csp.hci.ic.gov",
        AmazonRegistry(ACCOUNT, "us-isof-south-1"),
        "api.ecr.us-isof-south-1.csp.hci.ic.gov",
    ),
    (
        f"{ACCOUNT}.dkr.ecr.eusc-de-east-1.amazonaws.eu",
        AmazonRegistry(ACCOUNT, "eusc-de-east-1"),
        "api.ecr.eusc-de-east-1.amazonaws.eu",
    ),
    (
        f"{ACCOUNT}.dkr-ecr.eu-west-1.on.aws",
        AmazonRegistry(ACCOUNT, "eu-west-1", dual_stack=True),
        "ecr.eu-west-1.api.aws",
    ),
    (
        f"{ACCOUNT}.dkr-ecr-fips.us-east-1.on.aws",
        AmazonRegistry(ACCOUNT, "us-east-1", fips=True, dual_stack=True),
        "ecr-fips.us-east-1.api.aws",
    ),
    (
        f"{ACCOUNT}.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn",
        AmazonRegistry(ACCOUNT, "cn-north-1", dual_stack=True),
        "ecr.cn-north-1.api.amazonwebservices.com.cn",
    ),
    ("public.ecr.aws", AmazonRegistry("", "us-east-1"), "api.ecr-public.us-east-1.amazonaws.com"),
    ("ecr-public.aws.com", AmazonRegistry("", "us-east-1"), "api.ecr-public.us-east-1.amazonaws.com"),
]


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment in which AWS knows nobody but who is in it."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


def become(aws: pytest.MonkeyPatch, key: str = "AKIAEXAMPLE") -> None:
    """Be somebody whom AWS knows."""
    aws.setenv("AWS_ACCESS_KEY_ID", key)
    aws.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """AWS, as moto plays it: its address."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@pytest.fixture
def cloud(moto: str, aws: pytest.MonkeyPatch) -> Iterator[CountingProxy]:
    """The way to AWS, which counts."""
    with CountingProxy(moto) as proxy:
        aws.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


class Answering(ScriptedServer):
    """AWS where all that is asked of it is logins: they are numbered, and last for twelve hours."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.given = 0

    def _answer(self, _: Received) -> Reply:
        self.given += 1
        data = {"authorizationToken": encoded(f"AWS:login-{self.given}"), "expiresAt": time.time() + 12 * 3600}
        return Reply(body=json.dumps({"authorizationData": [data]}).encode())


@pytest.fixture
def answering(aws: pytest.MonkeyPatch) -> Iterator[Answering]:
    with Answering() as server:
        aws.setenv("AWS_ENDPOINT_URL", server.url)
        yield server


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class TestNames:
    @pytest.mark.parametrize("host, expected, _", PRIVATE)
    def test_a_name_says_who_is_asked(self, host: str, expected: AmazonRegistry, _: str) -> None:
        assert amazon_registry(host) == expected
        assert amazon_registry(host.upper()) == expected
        assert amazon_registry(f"{host}:443") == expected

    @pytest.mark.parametrize(
        "host",
        [
            "ghcr.io",
            "localhost:5000",
            "docker.io",
            f"12345678901.dkr.ecr.us-east-1.{'amazonaws.com'}",
            f"{HOST}.evil.example",
            f"evil-{HOST}",
            f"{HOST}:5000",
            f"{ACCOUNT}.dkr.ecr.us-east-1.evil.example",
            f"{ACCOUNT}.dkr.ecr.us-east-1.amazonawsXcom",
            f"{ACCOUNT}.dkr.ecr..amazonaws.com",
            f"{ACCOUNT}.dkr.ecr.a.b.amazonaws.com",
            "notpublic.ecr.aws",
            "public.ecr.aws.evil.example",
        ],
    )
    def test_nobody_else_is(self, host: str) -> None:
        assert amazon_registry(host) is None

    @pytest.mark.parametrize("host, expected, endpoint", PRIVATE)
    async def test_each_is_asked_at_its_own_address(
        self, host: str, expected: AmazonRegistry, endpoint: str, aws: pytest.MonkeyPatch
    ) -> None:
        become(aws)
        aws.setenv("AWS_MAX_ATTEMPTS", "1")
        with ScriptedServer(lambda _: Reply(status=403)) as proxy:
            aws.setenv("HTTPS_PROXY", proxy.url)
            with pytest.raises(Denied, match="AWS gave no login"):
                await default_sources().find(host)
            assert proxy.lines[0] == f"CONNECT {endpoint}:443"


class TestLogins:
    async def test_no_login_is_needed(self, cloud: CountingProxy, aws: pytest.MonkeyPatch) -> None:
        become(aws)
        found = await default_sources().find(HOST, "team/app")
        assert found is not None
        assert (found.username, found.password) == ("AWS", f"{ACCOUNT}-auth-token")
        assert found.source == "AWS's own credentials"

    async def test_a_registry_takes_it(self, cloud: CountingProxy, aws: pytest.MonkeyPatch) -> None:
        become(aws)
        found = await default_sources().find(HOST)
        assert found is not None
        with RealRegistry(auth="basic", users={"AWS": found.password}) as registry:
            async with opened(registry) as client:
                assert await get(client, HOST, PULL) == 200

    async def test_accounts_and_regions_at_once(self, cloud: CountingProxy, aws: pytest.MonkeyPatch) -> None:
        become(aws)
        hosts = [
            f"{account}.dkr.ecr.{region}.amazonaws.com"
            for account in ("111111111111", "222222222222")
            for region in ("us-east-1", "eu-west-1")
        ]
        credentials = default_sources()
        found = await asyncio.gather(*(credentials.find(host) for host in hosts))
        asked = {exchange.headers.get("Authorization", "").split("/")[2] for exchange in cloud.exchanges}  # type: ignore[union-attr]
        assert asked == {"us-east-1", "eu-west-1"}
        assert {one.password for one in found if one is not None} == {
            "111111111111-auth-token",
            "222222222222-auth-token",
        }

    async def test_a_login_by_hand_comes_first(
        self, cloud: CountingProxy, aws: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        become(aws)
        folder = tmp_path / "docker"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"auths": {HOST: {"username": "AWS", "password": "by hand"}}}))
        found = await default_sources().find(HOST)
        assert found is not None
        assert found.password == "by hand"
        assert cloud.count() == 0
        other = await default_sources().find(HOST, refused=[found])
        assert other is not None
        assert other.source == "AWS's own credentials", "and where it has ended, AWS is asked"

    async def test_nobody_else_gets_one(self, cloud: CountingProxy, aws: pytest.MonkeyPatch) -> None:
        become(aws)
        assert await default_sources().find("ghcr.io") is None
        assert await default_sources().find(f"{HOST}.evil.example") is None
        assert cloud.count() == 0

    async def test_profiles(self, cloud: CountingProxy, aws: pytest.MonkeyPatch, tmp_path: Path) -> None:
        folder = tmp_path / "home/.aws"
        folder.mkdir(parents=True)
        (folder / "credentials").write_text("[other]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = hunter2\n")
        with pytest.raises(Denied, match="no credentials here"):
            await default_sources().find(HOST)
        aws.setenv("AWS_PROFILE", "other")
        assert await default_sources().find(HOST) is not None
        assert "Credential=AKIAOTHER/" in (cloud.exchanges[0].headers.get("Authorization") or "")

    async def test_a_role_of_a_container(self, cloud: CountingProxy, aws: pytest.MonkeyPatch) -> None:
        document = {
            "AccessKeyId": "AKIAROLE",
            "SecretAccessKey": "hunter2",
            "Token": "hunter3",
            "Expiration": "2099-01-01T00:00:00Z",
        }
        with ScriptedServer(lambda _: Reply(body=json.dumps(document).encode())) as role:
            aws.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{role.url}/role")
            assert await default_sources().find(HOST) is not None
        assert "Credential=AKIAROLE/" in (cloud.exchanges[0].headers.get("Authorization") or "")

    async def test_a_web_identity(self, cloud: CountingProxy, aws: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "token").write_text("a token")
        aws.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
        aws.setenv("AWS_ROLE_ARN", f"arn:aws:iam::{ACCOUNT}:role/ci")
        aws.setenv("AWS_DEFAULT_REGION", "us-east-1")
        assert await default_sources().find(HOST) is not None


class TestFailures:
    async def test_nobody_is_nobody(self, cloud: CountingProxy, aws: pytest.MonkeyPatch) -> None:
        with pytest.raises(Denied) as caught:
            await default_sources().find(HOST)
        assert caught.value.message == f"AWS gave no login for {HOST}"
        assert caught.value.cause == "AWS has no credentials here: no profile, no variables, no role"
        assert caught.value.code == "aws-credentials-missing"
        assert caught.value.fields["command"] == "aws ecr get-login-password --region us-east-1"

    async def test_the_extra_may_not_be_installed(self, aws: pytest.MonkeyPatch) -> None:
        become(aws)
        for name in [name for name in sys.modules if name.partition(".")[0] == "botocore"]:
            aws.delitem(sys.modules, name)
        aws.setitem(sys.modules, "botocore", None)
        with pytest.raises(Denied) as caught:
            await default_sources().find(HOST)
        assert caught.value.cause == "the extra 'aws' of lading is not installed"
        assert (caught.value.remedy or "").startswith("pip install 'lading[aws]'; or log in as AWS")
        assert caught.value.code == "aws-extra-missing"
        assert await default_sources().find("public.ecr.aws") is None

    @pytest.mark.parametrize(
        "code, remedy", [("ExpiredTokenException", "log in to AWS again"), ("AccessDeniedException", "")]
    )
    async def test_what_aws_says_is_told(self, aws: pytest.MonkeyPatch, code: str, remedy: str) -> None:
        become(aws)
        body = json.dumps({"__type": code, "message": "No.\nThe Canonical String was 'hunter2'"}).encode()
        with ScriptedServer(lambda _: Reply(status=400, body=body)) as server:
            aws.setenv("AWS_ENDPOINT_URL", server.url)
            with pytest.raises(Denied) as caught:
                await default_sources().find(HOST)
        assert caught.value.cause == f"{code}: No."
        assert (caught.value.remedy or "").startswith(remedy)

    async def test_a_program_that_prints_secrets_is_not_repeated(self, aws: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "aws").write_text("[default]\ncredential_process = sh -c 'echo hunter2 >&2; exit 1'\n")
        aws.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws"))
        with pytest.raises(Denied) as caught:
            await default_sources().find(HOST)
        assert "hunter2" not in f"{caught.value} {caught.value.remedy}"

    async def test_a_profile_that_is_not_there(self, aws: pytest.MonkeyPatch) -> None:
        aws.setenv("AWS_PROFILE", "absent")
        with pytest.raises(Denied, match="absent"):
            await default_sources().find(HOST)

    async def test_an_sso_login_that_has_ended(self, aws: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "aws").write_text(
            "[default]\nsso_session = x\nsso_account_id = 1\nsso_role_name = y\n"
            "[sso-session x]\nsso_region = us-east-1\nsso_start_url = https://x.example/start\n"
        )
        aws.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws"))
        with pytest.raises(Denied, match="SSO login has ended") as caught:
            await default_sources().find(HOST)
        assert "aws sso login" in (caught.value.remedy or "")

    async def test_what_cannot_be_reached_is_told(self, aws: pytest.MonkeyPatch) -> None:
        become(aws)
        aws.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        with pytest.raises(Denied, match=r"could not connect to the endpoint URL.*127\.0\.0\.1:1"):
            await default_sources().find(HOST)

    async def test_without_aws_the_registry_refuses_for_that_reason(self, aws: pytest.MonkeyPatch) -> None:
        with RealRegistry(auth="basic") as registry:
            async with opened(registry) as client:
                with pytest.raises(Denied) as caught:
                    await get(client, HOST, PULL)
        assert caught.value.message == f"{HOST} did not allow repository:team/app:pull"
        assert "AWS has no credentials here" in (caught.value.cause or "")


def opened(server: Server, cache: Cache | None = None) -> Session:
    """A session of somebody with all that AWS knows, for whom the registry is here."""
    credentials = default_sources(cache=cache.host if cache else None)
    return session(None, credentials=credentials, transport=Elsewhere({HOST: server}), cache=cache)


class TestPublic:
    async def test_everybody_may_pull(self, aws: pytest.MonkeyPatch) -> None:
        assert await default_sources().find("public.ecr.aws", "nginx/nginx") is None

    async def test_the_service_of_a_machines_role_is_not_waited_for(self, aws: pytest.MonkeyPatch) -> None:
        """It answers on Amazon's machines only; elsewhere it costs seconds."""
        with ScriptedServer(lambda _: Reply(status=404)) as service:
            aws.delenv("AWS_EC2_METADATA_DISABLED")
            aws.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.url)
            assert await default_sources().find("public.ecr.aws") is None
            assert service.requests == []

    async def test_who_is_somebody_gets_a_login(self, aws: pytest.MonkeyPatch) -> None:
        become(aws)
        document = {"authorizationData": {"authorizationToken": "QVdTOnB1YmxpYw==", "expiresAt": time.time() + 43200}}
        with ScriptedServer(lambda _: Reply(body=json.dumps(document).encode())) as cloud:
            aws.setenv("AWS_ENDPOINT_URL", cloud.url)
            found = await default_sources().find("public.ecr.aws")
            assert found is not None
            assert (found.username, found.password) == ("AWS", "public")
            assert cloud.requests[0].headers.get("X-Amz-Target") == "SpencerFrontendService.GetAuthorizationToken"


class TestRemembering:
    async def test_a_login_lasts_for_other_runs(
        self, answering: Answering, aws: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        become(aws)
        for _ in range(3):
            cache = Cache(tmp_path / "cache")
            assert await default_sources(cache=cache.host).find(HOST) is not None
            cache.save()
        assert answering.given == 1

    async def test_then_aws_is_not_even_loaded(
        self, answering: Answering, aws: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        become(aws)
        cache = Cache(tmp_path / "cache")
        await default_sources(cache=cache.host).find(HOST)
        cache.save()
        code = (
            "import asyncio, sys, pathlib; from lading.registry.cache import Cache;"
            "from lading.registry.auth.lookup import default_sources;"
            f"cache = Cache(pathlib.Path({str(tmp_path / 'cache')!r}));"
            f"found = asyncio.run(default_sources(cache=cache.host).find({HOST!r}));"
            "print(found.username, 'botocore' in sys.modules)"
        )
        ran = await asyncio.to_thread(run, [sys.executable, "-c", code], env=dict(os.environ))
        assert ran.stdout.split() == ["AWS", "False"]

    @pytest.mark.parametrize("change", ["key", "profile", "file"])
    async def test_somebody_else_gets_another(
        self, answering: Answering, aws: pytest.MonkeyPatch, tmp_path: Path, change: str
    ) -> None:
        folder = tmp_path / "home/.aws"
        folder.mkdir(parents=True)
        profile = "[{}]\naws_access_key_id = {}\naws_secret_access_key = hunter2\n"
        (folder / "credentials").write_text(profile.format("default", "AKIA1") + profile.format("other", "AKIA2"))

        async def find() -> None:
            cache = Cache(tmp_path / "cache")
            await default_sources(cache=cache.host).find(HOST)
            cache.save()

        await find()
        if change == "key":
            become(aws, "AKIA3")
        elif change == "profile":
            aws.setenv("AWS_PROFILE", "other")
        else:
            (folder / "credentials").write_text(profile.format("default", "AKIA4"))
        await find()
        assert answering.given == 2

    async def test_who_a_program_makes_of_us_is_asked_every_time(
        self, answering: Answering, aws: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        answer = tmp_path / "answer.json"
        (tmp_path / "aws").write_text(f"[default]\ncredential_process = cat {answer}\n")
        aws.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws"))
        for key, asked in (("AKIA1", 1), ("AKIA1", 1), ("AKIA2", 2), ("AKIA1", 2)):
            answer.write_text(json.dumps({"Version": 1, "AccessKeyId": key, "SecretAccessKey": "hunter2"}))
            cache = Cache(tmp_path / "cache")
            await default_sources(cache=cache.host).find(HOST)
            cache.save()
            assert answering.given == asked

    async def test_it_is_not_used_shortly_before_its_end(
        self, answering: Answering, aws: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        become(aws)
        cache = Cache(tmp_path / "cache")
        credentials = default_sources(cache=cache.host)
        found = await credentials.find(HOST)
        assert found is not None
        cache.save()
        aws.setattr(time, "time", lambda: found.expires - 1)
        await credentials.find(HOST)
        assert answering.given == 1
        aws.setattr(time, "time", lambda: found.expires + 1)
        await credentials.find(HOST)
        await default_sources(cache=Cache(tmp_path / "cache").host).find(HOST)
        assert answering.given == 3

    async def test_one_that_is_refused_is_renewed_within_the_run(
        self, answering: Answering, aws: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        become(aws)
        expired = error_reply(403, "DENIED", "Your authorization token has expired. Reauthenticate and try again.")

        def registry(request: Received) -> Reply:
            shown = request.headers.get("Authorization")
            if shown is None:
                return Reply(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})
            return Reply() if shown == f"Basic {encoded('AWS:login-2')}" else expired

        with ScriptedServer(registry) as server:
            cache = Cache(tmp_path / "cache")
            async with opened(server, cache) as client:
                assert await get(client, HOST, PULL) == 200
            found = await default_sources(cache=Cache(tmp_path / "cache").host).find(HOST)
        assert found is not None
        assert found.password == "login-2"
        assert answering.given == 2

    async def test_what_is_refused_for_good_is_not_renewed_for_ever(
        self, answering: Answering, aws: pytest.MonkeyPatch
    ) -> None:
        become(aws)
        refusal = Reply(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})
        with ScriptedServer(lambda _: refusal) as server:
            async with opened(server) as client:
                with pytest.raises(Denied):
                    await get(client, HOST, PULL)
        assert answering.given == 2


class TestRepositories:
    async def test_one_is_made(self, cloud: CountingProxy, aws: pytest.MonkeyPatch, repository: str) -> None:
        become(aws)
        assert await create_repository(HOST, repository)
        assert not await create_repository(HOST, repository), "it is there"

    @pytest.mark.parametrize(
        "registry, repository, asked",
        [
            (HOST, "team/app", {"registryId": ACCOUNT, "repositoryName": "team/app"}),
            ("public.ecr.aws", "alias/team/app", {"repositoryName": "team/app"}),
        ],
    )
    async def test_it_is_made_where_the_name_says(
        self, aws: pytest.MonkeyPatch, registry: str, repository: str, asked: dict[str, str]
    ) -> None:
        """In the account of the name, whoever asks; in ECR Public, below an alias that is no part of it."""
        become(aws)
        with ScriptedServer(lambda _: Reply(body=b"{}")) as server:
            aws.setenv("AWS_ENDPOINT_URL", server.url)
            assert await create_repository(registry, repository)
            (request,) = server.requests
        assert json.loads(request.body) == asked

    async def test_others_make_theirs_by_themselves(self) -> None:
        assert not await create_repository("ghcr.io", "team/app")

    async def test_who_may_not_is_told(self, aws: pytest.MonkeyPatch) -> None:
        become(aws)
        body = json.dumps({"__type": "AccessDeniedException", "message": "not authorized"}).encode()
        with ScriptedServer(lambda _: Reply(status=400, body=body)) as server:
            aws.setenv("AWS_ENDPOINT_URL", server.url)
            with pytest.raises(Denied, match=f"the repository {HOST}/team/app could not be made") as caught:
                await create_repository(HOST, "team/app")
        assert caught.value.cause == "AccessDeniedException: not authorized"
