"""Hosted registries, each played as it was seen to behave: tokens, scopes, pages, deletions, referrers."""

import base64
import json
from collections.abc import Callable
from typing import Any, Self

import pytest

from lading.client import AsyncClient
from lading.errors import Conflict, InvalidContent, NotFound, RateLimited, Unsupported
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.manifest import parse
from lading.registry.auth.credentials import Credential, GivenCredentials
from lading.registry.hosts.configuration import Config
from lading.registry.quirks import hosted
from lading.registry.repository import Repository
from lading.registry.session import Session
from lading.store import from_bytes
from registry.elsewhere import Elsewhere
from support.fakes import Reply, ScriptedServer, error_reply, json_reply
from support.fakes import Request as Received
from support.images import make_image

IMAGE = make_image()
DIGEST = IMAGE.digest
SUBJECT = Digest("sha256:" + "5" * 64)


class Played:
    """A hosted registry and its token service, on this machine.

    `script` answers what is allowed to be asked; `actions` are those that the token service knows.
    """

    def __init__(
        self,
        name: str,
        script: Callable[[Received], Reply | None],
        *,
        realm: str = "",
        service: str = "",
        hosts: tuple[str, ...] = (),
        credential: Credential | None = None,
    ) -> None:
        self.name = name
        self.script = script
        self.realm = realm
        self.service = service
        self.credential = credential
        self.tokens: Callable[[Received], Reply] = lambda _: json_reply({"token": "good", "expires_in": 300})
        self.scope: Callable[[Received], str] = lambda request: f"repository:{_repository(request)}:pull"
        self.accepts: Callable[[Received], bool] = lambda request: request.headers.get("Authorization") == "Bearer good"
        self.server = ScriptedServer(self._answer)
        self.hosts = hosts or (name,)

    def _answer(self, request: Received) -> Reply | None:
        if self.realm and request.path == "/" + self.realm.split("/", 3)[3]:
            return self.tokens(request)
        if self.realm and not self.accepts(request):
            challenge = f'Bearer realm="{self.realm}",service="{self.service}",scope="{self.scope(request)}"'
            return error_reply(401, "UNAUTHORIZED", "authentication required", headers={"WWW-Authenticate": challenge})
        return self.script(request)

    def __enter__(self) -> Self:
        self.server.start()
        credentials = GivenCredentials(self.credential) if self.credential is not None else None
        self.session = Session(
            credentials=credentials,
            config=Config(),
            backoff=0,
            transport=Elsewhere(dict.fromkeys(self.hosts, self.server)),
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()

    def repository(self, path: str = "team/app", *, writing: bool = False) -> Repository:
        return Repository(self.session, self.name, path, writing=writing)

    @property
    def asked(self) -> list[Received]:
        """The requests to the token service."""
        return [request for request in self.server.requests if "scope" in request.params or request.method == "POST"]

    @property
    def scopes(self) -> list[list[str]]:
        """The scopes asked for, request by request."""
        return [request.params.get("scope", []) for request in self.asked if request.method == "GET"]

    def asked_for(self, path: str) -> list[str]:
        """The requests for a path, that were allowed to be made."""
        return [
            f"{request.method} {request.target}"
            for request in self.server.requests
            if request.path.endswith(path) and (not self.realm or self.accepts(request))
        ]


def _repository(request: Received) -> str:
    return request.path.removeprefix("/v2/").rsplit("/", 2)[0]


def manifest(_: Received) -> Reply:
    return Reply(body=IMAGE.content, headers={"Content-Type": IMAGE.media_type, "Docker-Content-Digest": DIGEST})


async def listed(repository: Repository) -> list[str]:
    return [tag async for tag in repository.tags()]


async def referrers(repository: Repository) -> list[Descriptor]:
    subject = Descriptor(media_type=IMAGE.media_type, digest=SUBJECT, size=10)
    return [one async for one in repository.referrers(subject)]


class TestDockerHub:
    def played(self, script: Callable[[Received], Reply | None] = manifest, **options: Any) -> Played:
        return Played(
            "docker.io",
            script,
            realm="https://auth.docker.io/token",
            service="registry.docker.io",
            hosts=("registry-1.docker.io", "auth.docker.io"),
            **options,
        )

    async def test_names_tokens_and_scopes(self) -> None:
        credential = Credential(username="ada", password="dckr_pat_x", source="the test")
        with self.played(credential=credential) as hub:
            await hub.repository("library/alpine").fetch("3.20")
            (asked,) = hub.asked
            assert asked.params == {
                "account": ["ada"],
                "service": ["registry.docker.io"],
                "scope": ["repository:library/alpine:pull"],
            }
            assert asked.headers.get("Authorization") == f"Basic {_encoded('ada:dckr_pat_x')}"

    async def test_pages_of_tags(self) -> None:
        pages = {
            "n=1000": ("a", '</v2/library/alpine/tags/list?last=a&n=1000>; rel="next"'),
            "last=a&n=1000": ("b", None),
        }

        def tags(request: Received) -> Reply:
            tag, link = pages[request.query]
            return json_reply({"name": "library/alpine", "tags": [tag]}, headers={"Link": link} if link else {})

        with self.played(tags) as hub:
            assert await listed(hub.repository("library/alpine")) == ["a", "b"]

    async def test_no_catalog_is_asked_for(self) -> None:
        async with AsyncClient(config=Config()) as client:
            with pytest.raises(Unsupported, match="Docker Hub does not list its repositories") as caught:
                await client.registries.repositories("docker.io")
        assert caught.value.remedy == "search them at hub.docker.com"

    async def test_what_it_says_of_too_many_pulls(self) -> None:
        words = "You have reached your pull rate limit."
        refusal = error_reply(429, "TOOMANYREQUESTS", words)
        with self.played(lambda _: refusal) as hub, pytest.raises(RateLimited, match="reached your pull rate limit"):
            await hub.repository("library/alpine").fetch("3.20")


class TestGitHub:
    def played(self, script: Callable[[Received], Reply | None] = manifest, **options: Any) -> Played:
        return Played("ghcr.io", script, realm="https://ghcr.io/token", service="ghcr.io", **options)

    async def test_anybody_needs_a_token_too(self) -> None:
        with self.played() as ghcr:
            await ghcr.repository().fetch("1")
            (asked,) = ghcr.asked
            assert asked.headers.get("Authorization") is None

    async def test_a_token_of_github_is_a_password_at_the_token_service_only(self) -> None:
        with self.played(credential=Credential(username="x", password="ghp_x", source="the test")) as ghcr:
            await ghcr.repository().fetch("1")
            shown = {request.path: request.headers.get("Authorization") for request in ghcr.server.requests}
        assert shown == {"/v2/team/app/manifests/1": "Bearer good", "/token": f"Basic {_encoded('x:ghp_x')}"}

    async def test_a_token_without_the_right_is_told_and_left_aside(self) -> None:
        """What is public is refused to who shows a token without `read:packages`: 403 of the token service."""
        told: list[str] = []
        with self.played(credential=Credential(username="x", password="ghp_x", source="the test")) as ghcr:
            ghcr.session.on_note = told.append
            ghcr.tokens = lambda request: (
                error_reply(403, "DENIED", "denied")
                if request.headers.get("Authorization")
                else json_reply({"token": "good"})
            )
            await ghcr.repository().fetch("1")
        assert told == ["ghcr.io refused the credentials from the test (denied); going on without credentials"]

    async def test_pages_of_tags_follow_the_link(self) -> None:
        def tags(request: Received) -> Reply:
            if request.params.get("last"):
                return json_reply({"tags": ["b"]})
            link = '</v2/team/app/tags/list?last=a&n=1000>; rel="next"'
            return json_reply({"tags": ["a"]}, headers={"Link": link})

        with self.played(tags) as ghcr:
            assert await listed(ghcr.repository()) == ["a", "b"]

    @pytest.mark.parametrize(
        "answer",
        [
            Reply(status=404, body=b"404 page not found\n"),
            Reply(status=303, headers={"Location": "https://github.com/-/v2/packages/container/package/team%2Fapp"}),
        ],
    )
    async def test_referrers_are_under_their_tag(self, answer: Reply) -> None:
        def script(request: Received) -> Reply:
            if "/referrers/" in request.path:
                return answer
            return error_reply(404, "MANIFEST_UNKNOWN", "manifest unknown")

        with self.played(script) as ghcr:
            for _ in range(2):
                assert await referrers(ghcr.repository()) == []
            asked = [line for line in ghcr.server.lines if "/referrers/" in line]
            assert len(asked) == 2, "with the challenge; and never again"
            assert len(ghcr.asked_for(f"/manifests/sha256-{SUBJECT.hex}")) == 2

    async def test_deletion_is_somewhere_else(self) -> None:
        def script(request: Received) -> Reply:
            return manifest(request) if request.method != "DELETE" else error_reply(405, "UNSUPPORTED")

        with self.played(script) as ghcr:
            async with AsyncClient(config=Config()) as client:
                client._context._session = ghcr.session
                with pytest.raises(Unsupported) as caught:
                    await client.delete("ghcr.io/team/app:1")
        assert caught.value.message == "ghcr.io does not let ghcr.io/team/app:1 be deleted"
        assert (caught.value.remedy or "").startswith("GitHub deletes versions of packages")


class TestGoogle:
    NAME = "europe-docker.pkg.dev"

    def played(self, script: Callable[[Received], Reply | None] = manifest, **options: Any) -> Played:
        realm = f"https://{self.NAME}/v2/token"
        return Played(self.NAME, script, realm=realm, service=self.NAME, **options)

    @pytest.mark.parametrize("username", ["oauth2accesstoken", "_json_key", "_dcgcr_2_0_0_token"])
    async def test_users_that_are_none(self, username: str) -> None:
        key = json.dumps({"type": "service_account", "private_key": "-----BEGIN\nEND-----\n"}, indent=2)
        with self.played(credential=Credential(username=username, password=key, source="the test")) as google:
            await google.repository("project/repository/app").fetch("1")
            (asked,) = google.asked
            assert asked.headers.get("Authorization") == f"Basic {_encoded(f'{username}:{key}')}"
            assert asked.params["account"] == [username]

    async def test_one_page_of_tags_with_what_they_name(self) -> None:
        document = {
            "child": [],
            "name": "project/repository/app",
            "manifest": {DIGEST: {"imageSizeBytes": "7", "mediaType": "x", "tag": ["1"], "timeCreatedMs": "0"}},
            "tags": ["1"],
        }
        with self.played(lambda _: json_reply(document)) as google:
            assert await listed(google.repository("project/repository/app")) == ["1"]
            assert google.asked_for("/tags/list") == ["GET /v2/project/repository/app/tags/list?n=10000"]

    async def test_the_tags_of_a_manifest_go_before_it(self) -> None:
        tags = {"1": DIGEST, "latest": DIGEST, "other": "sha256:" + "0" * 64}

        def script(request: Received) -> Reply:
            name = request.path.rpartition("/")[2]
            if request.path.endswith("/tags/list"):
                manifests = {digest: {"tag": [tag for tag in tags if tags[tag] == digest]} for digest in tags.values()}
                return json_reply({"tags": list(tags), "manifest": manifests})
            if request.method != "DELETE":
                return manifest(request)
            if name in tags:
                del tags[name]
                return Reply(status=202)
            if name in tags.values():
                return error_reply(400, "GOOGLE_MANIFEST_DANGLING_TAG", "Manifest is still referenced by one tag")
            return Reply(status=202)

        with self.played(script) as google:
            repository = google.repository("project/repository/app")
            await repository.delete(await repository.resolve("1"))
            deleted = [line.rpartition("/")[2] for line in google.server.lines if line.startswith("DELETE")]
        assert tags == {"other": "sha256:" + "0" * 64}
        assert deleted[-3:] == ["1", "latest", DIGEST]

    async def test_elsewhere_it_is_a_conflict(self) -> None:
        def script(request: Received) -> Reply | None:
            return error_reply(409, "DENIED", "in use") if request.method == "DELETE" else manifest(request)

        with Played("a.example", script) as other:
            with pytest.raises(Conflict):
                await other.repository().delete(_descriptor())
            assert [request.method for request in other.server.requests] == ["DELETE"]


class TestAzure:
    NAME = "team.azurecr.io"

    def played(self, script: Callable[[Received], Reply | None] = manifest, **options: Any) -> Played:
        realm = f"https://{self.NAME}/oauth2/token"
        played = Played(self.NAME, script, realm=realm, service=self.NAME, **options)
        played.tokens = lambda _: json_reply({"access_token": "good"})
        return played

    async def test_a_login_of_az_is_an_identity_token(self) -> None:
        """`az acr login` leaves one, with a user name that means nothing."""
        credential = Credential(
            username="00000000-0000-0000-0000-000000000000", password="", identity_token="refresh", source="the test"
        )
        with self.played(credential=credential) as acr:
            await acr.repository().fetch("1")
            (asked,) = [request for request in acr.server.requests if request.path == "/oauth2/token"]
            assert asked.method == "POST"
            assert asked.body == (
                b"grant_type=refresh_token&refresh_token=refresh&service=team.azurecr.io&client_id=lading"
                b"&scope=repository%3Ateam%2Fapp%3Apull"
            )

    async def test_or_a_password(self) -> None:
        user = "00000000-0000-0000-0000-000000000000"
        with self.played(credential=Credential(username=user, password="refresh", source="the test")) as acr:
            await acr.repository().fetch("1")
            (asked,) = acr.asked
            assert asked.headers.get("Authorization") == f"Basic {_encoded(f'{user}:refresh')}"

    async def test_the_challenge_names_actions_of_its_own(self) -> None:
        def tags(request: Received) -> Reply:
            if request.params.get("last"):
                return json_reply({"tags": ["b"]})
            link = '</v2/team/app/tags/list?last=a&n=1000&orderby=>; rel="next"'
            return json_reply({"tags": ["a"]}, headers={"Link": link})

        with self.played(tags) as acr:
            acr.scope = lambda _: "repository:team/app:metadata_read"
            assert await listed(acr.repository()) == ["a", "b"]
            assert acr.scopes == [["repository:team/app:pull,metadata_read"]]


class TestQuay:
    def played(self, script: Callable[[Received], Reply | None] = manifest, **options: Any) -> Played:
        played = Played("quay.io", script, realm="https://quay.io/v2/auth", service="quay.io", **options)

        def tokens(request: Received) -> Reply:
            for scope in request.params.get("scope", []):
                if not set(scope.rpartition(":")[2].split(",")) <= {"pull", "push", "*"}:
                    return json_reply({"error": "Unable to decode repository and actions"}, status=400)
            return json_reply({"token": "good"})

        played.tokens = tokens
        return played

    async def test_it_is_not_asked_for_what_it_does_not_know(self) -> None:
        with self.played(lambda _: Reply(status=202)) as quay:
            await quay.repository().delete(_descriptor())
            assert quay.scopes == [["repository:team/app:pull,push"]]

    async def test_one_by_another_name_is_found_out(self) -> None:
        played = self.played(lambda _: Reply(status=202))
        played.name, played.hosts, played.realm = "quay.example", ("quay.example",), "https://quay.example/v2/auth"
        played.scope = lambda _: "repository:team/app:pull,push"
        with played as quay:
            await quay.repository().delete(_descriptor())
            assert quay.scopes[-1] == ["repository:team/app:pull,push"]

    @pytest.mark.parametrize("username", ["team+robot", "$oauthtoken", "$token", "$app"])
    async def test_users_with_signs(self, username: str) -> None:
        with self.played(credential=Credential(username=username, password="x", source="the test")) as quay:
            await quay.repository().fetch("1")
            (asked,) = quay.asked
            assert asked.params["account"] == [username]
            assert asked.headers.get("Authorization") == f"Basic {_encoded(f'{username}:x')}"

    async def test_its_links_are_absolute(self) -> None:
        def tags(request: Received) -> Reply:
            if request.params.get("last"):
                return json_reply({"tags": ["b"]})
            link = '<https://quay.io/v2/team/app/tags/list?n=100&last=a>; rel="next"'
            return json_reply({"tags": ["a"]}, headers={"Link": link})

        with self.played(tags) as quay:
            assert await listed(quay.repository()) == ["a", "b"]

    async def test_its_catalog_has_links_of_its_own(self) -> None:
        def catalog(request: Received) -> Reply:
            if request.params.get("next_page"):
                return json_reply({"repositories": ["team/b"]})
            link = '<https://quay.io/v2/_catalog?n=100&next_page=gAAAA>; rel="next"'
            return json_reply({"repositories": ["team/a"]}, headers={"Link": link})

        played = self.played(catalog)
        played.scope = lambda _: "registry:catalog:*"
        with played as quay:
            async with AsyncClient(config=Config()) as client:
                client._context._session = quay.session
                assert await client.registries.repositories("quay.io") == ["team/a", "team/b"]

    async def test_a_subject_that_it_does_not_have_has_no_referrers(self) -> None:
        with self.played(lambda _: error_reply(400, "MANIFEST_INVALID", "manifest invalid")) as quay:
            assert await referrers(quay.repository()) == []
            assert quay.asked_for(f"/manifests/sha256-{SUBJECT.hex}") == []

    async def test_another_complaint_is_one(self) -> None:
        refusal = error_reply(400, "DIGEST_INVALID", "no")
        with self.played(lambda _: refusal) as quay, pytest.raises(InvalidContent):
            await referrers(quay.repository())

    async def test_a_tag_that_must_not_move(self) -> None:
        image = parse(IMAGE.content, IMAGE.media_type)
        refusal = error_reply(409, "TAG_IMMUTABLE", "tag is immutable")
        with self.played(lambda _: refusal) as quay, pytest.raises(Conflict, match="tag is immutable"):
            await quay.repository(writing=True).put(image, "1")


class TestAmazon:
    NAME = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
    LOGIN = Credential(username="AWS", password="token", source="the test")

    def played(self, script: Callable[[Received], Reply | None] = manifest) -> Played:
        def answer(request: Received) -> Reply | None:
            if request.headers.get("Authorization") == f"Basic {_encoded('AWS:token')}":
                return script(request)
            challenge = f'Basic realm="https://{self.NAME}/",service="ecr.amazonaws.com"'
            return Reply(status=401, headers={"WWW-Authenticate": challenge}, body=b"Not Authorized\n")

        return Played(self.NAME, answer, credential=self.LOGIN)

    async def test_the_login_goes_with_every_request(self) -> None:
        with self.played() as amazon:
            for _ in range(2):
                await amazon.repository().fetch("1")
            assert len(amazon.server.requests) == 3

    async def test_pages_are_not_too_long_for_it(self) -> None:
        def tags(request: Received) -> Reply:
            if int(request.params.get("n", ["0"])[0]) > 1000:
                return error_reply(405, "UNSUPPORTED", "Invalid parameter at 'maxResults' failed to satisfy constraint")
            if request.params.get("last"):
                return json_reply({"tags": ["b"]})
            link = f'<https://{self.NAME}/v2/team/app/tags/list?last=opaque%3D%3D&n=1000>; rel="next"'
            return json_reply({"tags": ["a"]}, headers={"Link": link})

        with self.played(tags) as amazon:
            assert await listed(amazon.repository()) == ["a", "b"]

    async def test_a_repository_has_to_be_made_first(self) -> None:
        words = "The repository with name 'team/app' does not exist in the registry with id '123456789012'"
        blob = Descriptor(media_type="application/octet-stream", digest=Digest.of(b"x"), size=1)
        with self.played(lambda _: error_reply(404, "NAME_UNKNOWN", words)) as amazon:
            with pytest.raises(NotFound) as caught:
                await amazon.repository(writing=True).write(blob, from_bytes(b"x"))
            assert caught.value.message == f"{self.NAME} has no repository team/app"
            command = "aws ecr create-repository --region eu-west-1 --repository-name team/app"
            assert caught.value.remedy == f"make it first: {command}"
            assert (caught.value.code, caught.value.fields["command"]) == ("repository-missing", command)
            with pytest.raises(NotFound, match="was not found"):
                await amazon.repository().fetch("1")

    def test_the_alias_of_a_public_registry_is_no_part_of_a_repositorys_name(self) -> None:
        assert (
            hosted("public.ecr.aws")
            .how_to_make("alias/team/app")
            .startswith("aws ecr-public create-repository --region us-east-1 --repository-name team/app")
        )

    async def test_who_shows_a_token_that_has_ended_may_still_pull_what_is_public(self) -> None:
        words = "Your authorization token has expired. Reauthenticate and try again."
        told: list[str] = []
        credential = Credential(username="AWS", password="old", source="the test")
        public = Played(
            "public.ecr.aws",
            manifest,
            realm="https://public.ecr.aws/token/",
            service="public.ecr.aws",
            credential=credential,
        )
        public.scope = lambda _: "aws"
        public.tokens = lambda request: (
            error_reply(403, "DENIED", words) if request.headers.get("Authorization") else json_reply({"token": "good"})
        )
        with public:
            public.session.on_note = told.append
            await public.repository("nginx/nginx").fetch("1")
        (sentence,) = told
        assert words in sentence


@pytest.mark.parametrize(
    "registry, name",
    [
        ("docker.io", "Docker Hub"),
        ("registry-1.docker.io", "Docker Hub"),
        ("ghcr.io", "GitHub's registry"),
        ("gcr.io", "Google's registry"),
        ("eu.gcr.io", "Google's registry"),
        ("europe-docker.pkg.dev", "Google's registry"),
        ("team.azurecr.io", "Azure's registry"),
        ("quay.io", "Quay"),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "Amazon ECR"),
        ("public.ecr.aws", "Amazon ECR Public"),
        ("localhost:5000", ""),
        ("notgcr.io", ""),
        ("gcr.io.evil.example", ""),
    ],
)
def test_they_are_known_by_their_names(registry: str, name: str) -> None:
    assert hosted(registry).name == name


def _descriptor() -> Descriptor:
    return Descriptor(media_type=IMAGE.media_type, digest=Digest(DIGEST), size=len(IMAGE.content))


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
