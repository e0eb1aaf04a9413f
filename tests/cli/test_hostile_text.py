"""Whatever strangers have written, in a registry, a file, a name or an answer: every command prints it as text.

Each command is given places in which every text is hostile. A command that is new fails here until it has lines, too.
"""

import io
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest

from cli.terminal import on_terminal
from lading.cli import lading as root
from support.fakes import Reply, ScriptedServer, error_reply, json_reply
from support.http import Request
from support.images import OCI_INDEX, OCI_MANIFEST, digest_of
from support.lading import Lading
from support.process import Ran

EVIL = "evil\nFORGED \x1b[31m\x07\x9b1m\x7f\u202e\u2066\u200b\u2028\t\ud800\r end"
TYPED = EVIL.replace("\ud800", "")
"""A word of a command line may be this."""
NAME = "evil\nFORGED \x1b[31m\u202e\u200b"
"""A file may have this name."""


class Places(NamedTuple):
    """Where everything is hostile."""

    lading: Lading
    kind: str
    """A registry that gives everything."""
    angry: str
    """A registry that refuses everything."""
    layout: Path
    archive: Path
    folder: Path


def tar(**files: tarfile.TarInfo) -> bytes:
    """An archive of members that have nothing in them."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for member in files.values():
            archive.addfile(member)
    return content.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.uname, made.gname = kind, target, NAME, NAME
    return made


LAYER = tar(
    file=member(NAME),
    link=member(f"link {NAME}", tarfile.SYMTYPE, f"/nowhere/{NAME}"),
    fifo=member(f"fifo {NAME}", tarfile.FIFOTYPE),
    whiteout=member(f".wh.{NAME}"),
)


def described(content: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content), **more}


def filled(**contents: bytes) -> bytes:
    """An archive of files with names that are hostile, and what is in them, too."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, text in contents.items():
            file = tarfile.TarInfo(f"{name.replace('_', '/')} {NAME}" if name != "apk" else "lib/apk/db/installed")
            file.size = len(text)
            archive.addfile(file, io.BytesIO(text))
    return content.getvalue()


OTHER_LAYER = filled(etc_a=EVIL.encode("utf-8", "replace"), apk=b"P:evil\x1b[31m\xe2\x80\xae\nV:1\r\x9b\nA:\x07\n")
EMPTY_LAYER = filled(old=b"old", link_x=b"x" * 2000000)


def image(evil: str, layer: bytes = LAYER) -> tuple[bytes, bytes]:
    """An image and its config, in which every text is this one."""
    config = json.dumps(
        {
            "os": evil,
            "architecture": evil,
            "variant": evil,
            "created": evil,
            "author": evil,
            "config": {"Labels": {evil: evil}, "Env": [evil], "Cmd": [evil], "User": evil, "WorkingDir": evil},
            "history": [{"created_by": evil, "comment": evil}],
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer)]},
        }
    ).encode()
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        **({"artifactType": evil} if layer is LAYER else {}),
        "config": described(config, "application/vnd.oci.image.config.v1+json"),
        "layers": [described(layer, "application/vnd.oci.image.layer.v1.tar", annotations={evil: evil})],
        "annotations": {evil: evil},
    }
    return json.dumps(document).encode(), config


def index(image: bytes, evil: str) -> bytes:
    """An index with an image, in which every text is this one."""
    platform = {"os": evil, "architecture": evil, "variant": evil, "os.version": evil, "os.features": [evil]}
    entries = [
        described(image, OCI_MANIFEST, platform=platform, artifactType=evil, annotations={evil: evil}),
        described(image, OCI_MANIFEST, platform={"os": "linux", "architecture": "arm", "variant": evil}),
    ]
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "artifactType": evil, "manifests": entries}
    return json.dumps(document | {"annotations": {evil: evil}}).encode()


IMAGE, CONFIG = image(EVIL)
INDEX = index(IMAGE, EVIL)
TIDY_IMAGE, TIDY_CONFIG = image(TYPED)
TIDY = index(TIDY_IMAGE, TYPED)
"""Without what no file of a local list may have."""
OTHER_IMAGE, OTHER_CONFIG = image(f"other {TYPED}", OTHER_LAYER)
EMPTY_IMAGE, EMPTY_CONFIG = image(TYPED, EMPTY_LAYER)
OTHER = index(OTHER_IMAGE, f"other {TYPED}")
BASED = json.dumps(
    json.loads(TIDY_IMAGE)
    | {"annotations": {f"org.opencontainers.image.base.{name}": EVIL for name in ("name", "digest")}}
).encode()
BROKEN = json.dumps({"schemaVersion": EVIL, "mediaType": EVIL}).encode()
BLOBS = (CONFIG, TIDY_CONFIG, OTHER_CONFIG, EMPTY_CONFIG, LAYER, OTHER_LAYER, EMPTY_LAYER)
TYPES = dict.fromkeys((IMAGE, TIDY_IMAGE, OTHER_IMAGE, EMPTY_IMAGE, BASED, BROKEN), OCI_MANIFEST)
TYPES |= dict.fromkeys((INDEX, TIDY, OTHER), OCI_INDEX)
CONTENTS = {digest_of(content): content for content in (*BLOBS, *TYPES)}
WARNING = ("Warning", '299 - "evil \x9b1m \x85 evil"')


def gives_all(request: Request) -> Reply:
    """A registry in which `list`, `image` and `broken` are tags, and all names are hostile."""
    path = request.target.partition("?")[0]
    last = path.rpartition("/")[2]
    if "/tags/list" in path:
        return json_reply({"name": EVIL, "tags": [EVIL, "list", "image", "broken"]}, headers=[WARNING])
    if "/_catalog" in path:
        return json_reply({"repositories": [EVIL, "app"]}, headers=[WARNING])
    if "/referrers/" in path:
        entry = described(IMAGE, OCI_MANIFEST, artifactType=EVIL, annotations={EVIL: EVIL})
        return json_reply({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]})
    if request.method in ("PUT", "POST", "PATCH"):
        return Reply(status=201 if request.method == "PUT" else 202, headers=[("Location", path), WARNING])
    named = {"list": INDEX, "tidy": TIDY, "image": IMAGE, "broken": BROKEN, "other": OTHER_IMAGE}
    named |= {"others": OTHER, "empty": EMPTY_IMAGE, "based": BASED}
    content = named.get(last) or CONTENTS.get(last)
    if content is None:
        return Reply(status=200) if path == "/v2/" else error_reply(404, EVIL, EVIL, detail=EVIL)
    headers = [("Docker-Content-Digest", digest_of(content)), ("Content-Type", TYPES.get(content, "a/b")), WARNING]
    return Reply(status=202 if request.method == "DELETE" else 200, headers=headers, body=content)


def refuses_all(request: Request) -> Reply:
    """Refused in hostile words: with a challenge where it is asked first, else without."""
    if "/v2/challenged/" in request.target:
        challenge = f'Bearer realm="http://{request.headers.get("Host")}/token",service="\x9b1m",scope="\x85:x:y"'
        return error_reply(401, EVIL, EVIL, detail={EVIL: EVIL}, headers=[("WWW-Authenticate", challenge)])
    if "/token" in request.target:
        return json_reply({"error": EVIL, "error_description": EVIL, "details": EVIL}, status=400)
    return error_reply(403, EVIL, EVIL, detail=EVIL, headers=[WARNING, ("X-Evil", "\x9b")])


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that keeps no list of referrers is given up soon."""
    monkeypatch.setattr("lading.registry.fallback_index.PATIENCE", 1.0)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    folder = tmp_path_factory.mktemp("hostile")
    lading = Lading(folder / "home")
    layout = folder / NAME
    (layout / "blobs" / "sha256").mkdir(parents=True)
    for digest, content in CONTENTS.items():
        (layout / "blobs" / "sha256" / digest.removeprefix("sha256:")).write_bytes(content)
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    names = {EVIL: IMAGE, "list": INDEX, "image": IMAGE, "broken": BROKEN, "other": OTHER_IMAGE}
    entries = [
        described(content, TYPES[content], annotations={"org.opencontainers.image.ref.name": name, EVIL: EVIL})
        for name, content in names.items()
    ]
    (layout / "index.json").write_text(
        json.dumps({"schemaVersion": 2, "manifests": entries, "annotations": {EVIL: EVIL}})
    )
    archive = folder / f"{NAME}.tar"
    docker = [{"Config": f"{EVIL[:-6]}.json", "RepoTags": [EVIL, "a:b"], "Layers": ["layer.tar"]}]
    with tarfile.open(archive, "w") as tar:
        for name, content in {"manifest.json": json.dumps(docker).encode(), NAME: b"x", "layer.tar": LAYER}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    helper = folder / "bin" / "docker-credential-evil"
    helper.parent.mkdir()
    helper.write_text(f"#!/bin/sh\nprintf '%s' '{NAME}' >&2\nexit 1\n")
    helper.chmod(0o755)
    lading.env["PATH"] = f"{helper.parent}:/usr/bin:/bin"
    with ScriptedServer(gives_all) as kind, ScriptedServer(refuses_all) as angry:
        auths = {f"{EVIL}.example": {"auth": "YTpi"}, "reg.example": {"username": NAME, "password": "p"}}
        configuration = {"auths": auths, "credHelpers": {"helped.example": "evil", angry.host: "evil"}}
        (lading.docker_config / "config.json").write_text(json.dumps(configuration))
        evil = lading.docker_config / "manifests" / f"{kind.host}_app-evil" / NAME
        evil.mkdir(parents=True)
        (evil / NAME).write_text(TYPED)
        sides = [(f"{kind.host}/app", f"{angry.host}/app"), (f"{angry.host}/app", f"{kind.host}/b")]
        (folder / "mirror.toml").write_text(
            "".join(
                f'[[mirror]]\nname = {json.dumps(TYPED + source)}\nfrom = "{source}"\nto = "{to}"\n'
                for source, to in sides
            )
        )
        trouble = {"mirror": TYPED, "reference": TYPED, "code": TYPED, "exit": 1, "message": TYPED, "cause": TYPED}
        leg = {"mirror": TYPED, "source": f"{kind.host}/app", "target": f"{kind.host}/{TYPED}"}
        plan: dict[str, Any] = {"version": 1, "made": "2026-01-01T00:00:00Z", "troubles": [trouble]}
        (folder / "plan.json").write_text(json.dumps(plan))
        (folder / "legs.json").write_text(json.dumps(plan | {"legs": [leg]}))
        lading.run("manifest", "create", f"{kind.host}/app:made", f"{kind.host}/app:tidy")
        yield Places(lading, kind.host, angry.host, layout, archive, folder)


LINES = """\
inspect {kind}/app:list
inspect {kind}/app:image
inspect {kind}/app:broken
inspect {kind}/app:none
inspect {angry}/app:1
inspect oci:{layout}:list
inspect oci:{layout}:none
inspect docker-archive:{archive}
inspect {kind}/app:list --format json
inspect {evil}
inspect {kind}/app:list --format {{{{annotations}}}}
inspect {kind}/app:list --platform {evil}
inspect --verbose {kind}/app:image
inspect --debug {angry}/challenged/app:1
inspect {layout}
inspect oci:{layout}:image --format json
digest {kind}/app:none
digest oci:{layout}
digest {evil}
digest oci:{layout}:{evil}
digest --debug {kind}/app:none
digest {kind}/{evil}:a
tag {kind}/app:image new
tag {kind}/app:image {evil}
tag oci:{layout}:image {evil}
tag {angry}/app:a b
tag oci:{layout}:none b
tags {kind}/app
tags {kind}/app --digests
tags oci:{layout}
tags {angry}/app
tags docker-archive:{archive}
tags {kind}/app --format json
repos {kind}
repos {angry}
repos {evil}
repos {kind} --format {{{{repositories}}}}
repos {kind} --include re:{evil}(
copy {kind}/app:image oci:{folder}/new:{evil}
copy oci:{layout}:list {angry}/app:x
copy docker-archive:{archive} {kind}/app:z
copy --all-tags --dry-run oci:{layout} {kind}/other
copy {kind}/app:list oci:{folder}/two:a --progress json
copy {kind}/app:list oci:{folder}/three:a --dry-run
copy {kind}/app:image oci:{folder}/four:a --referrers
pull {kind}/app:image oci:{folder}/five:a
pull {angry}/app:1 oci:{folder}/six:a
pull {kind}/app:list {archive}
push oci:{layout} {kind}/app
push oci:{layout} {angry}/app
push {layout} {kind}/app
push docker-archive:{archive} {kind}/app
resolve {kind}/app:list
resolve {kind}/app:list --all-clients
resolve oci:{layout}:list
resolve {kind}/app:made
resolve {kind}/app:list --as {evil}
lint {kind}/app:list
lint oci:{layout}:list
lint {kind}/app:list --format github
lint {kind}/app:list --format sarif
lint {kind}/app:made
lint {angry}/app:1
lint --explain {evil}
lint {kind}/app:broken
validate {kind}/app:list
validate {kind}/app:list --referrers
validate {kind}/app:image --format json
validate {kind}/app:broken
validate {kind} --all-tags
validate oci:{layout}:list
validate oci:{layout} --all-tags --fast
validate docker-archive:{archive} --all-tags
validate {kind}/app:list --platform {evil}
validate {angry}/app:1
validate --explain {evil}
validate {kind}/app:list --ignore {evil}
validate oci:{layout}:{evil} --progress json
delete {kind}/app:image --yes
delete {kind}/app:image
delete oci:{layout}:image --dry-run
delete --untag {angry}/app:1 --yes
delete oci:{layout}:{evil}
manifest create {kind}/app:new {kind}/app:list
manifest create {kind}/app:other oci:{layout}:list
manifest create {angry}/app:x {angry}/app:1
manifest create {evil} {evil}
manifest annotate {kind}/app:made {kind}/app:tidy --os {evil}
manifest annotate {kind}/app:made {evil} --arch {evil}
manifest annotate {kind}/app:made {evil}
manifest inspect {kind}/app:list
manifest inspect {kind}/app:list -v
manifest inspect {kind}/app:made
manifest inspect {kind}/app:made --format json
manifest inspect {kind}/app:broken
manifest inspect oci:{layout}:list
manifest inspect {angry}/app:1
manifest inspect {kind}/app:made {evil}
manifest push {kind}/app:made --dry-run
manifest push {kind}/app:made
manifest push {kind}/app:evil
manifest push {kind}/app:made --if-digest {evil}
manifest rm {kind}/app:nothing
manifest rm {evil}
manifest ls
manifest ls --remote
manifest ls --no-trunc
manifest ls --format json
manifest ls -q
manifest add {kind}/app:made {kind}/app:tidy
manifest add {kind}/app:made {evil}
manifest remove {kind}/app:made {evil}
manifest remove {kind}/app:evil a
manifest pull {kind}/app:list --replace
manifest pull {angry}/app:list
manifest pull {kind}/app:image
manifest prune --dry-run
manifest prune
index ls {kind}/app:list
index ls oci:{layout}:list --recursive --no-trunc
index ls {kind}/app:list --format json
index ls {kind}/app:image
index ls {angry}/app:1
index create {kind}/app:new {kind}/app:list
index create {kind}/app:new oci:{layout}:list --dry-run
index create {angry}/app:x {kind}/app:image
index create {kind}/app:new {evil}
index create {kind}/app:new -f {archive}
index create {kind}/app:new --spec {evil}
index create {kind}/app:new {kind}/app:tidy --annotation {evil}={evil} --format json
index create {kind}/app:new {kind}/app:tidy --annotation manifest-descriptor[{evil}]:a=b
index create oci:{layout}:{evil} --empty --annotation {evil}={evil} --dry-run
index remove {kind}/app:list @0 --referrers copy -t oci:{layout}:new
index add {kind}/app:list {kind}/app:image
index add {kind}/app:list oci:{layout}:image={evil}
index add --append {kind}/app:image {kind}/app:list
index remove {kind}/app:list @0
index remove {kind}/app:list {evil}
index remove oci:{layout}:list @1 --dry-run
index filter {kind}/app:list --platform linux/arm -t new
index filter {kind}/app:list --platform linux/s390x -t {evil}
index filter oci:{layout}:list --platform linux/s390x --in-place
index annotate {kind}/app:tidy @0 --os {evil}
index annotate {kind}/app:list {evil} --arch amd64
index annotate {kind}/app:tidy --index-annotation {evil}={evil} --dry-run
diff {kind}/app:image oci:{layout}:other --files --content
diff {kind}/app:empty oci:{layout}:other --files --content
diff oci:{layout}:other {kind}/app:empty --files --content --no-trunc
diff oci:{layout}:other {kind}/app:empty --packages --no-trunc
diff {kind}/app:list {kind}/app:others --files --content
diff {kind}/app:list {kind}/app:others --no-trunc
diff {kind}/app:list {kind}/app:image
diff {kind}/app:image {angry}/app:1
diff {kind}/app:image oci:{layout}:{evil}
diff {kind}/app:image oci:{layout}:other --files --path {evil} --platform {evil}
diff {kind}/app:empty oci:{layout}:other --files --format json
diff {kind}/app:empty oci:{layout}:other --content --format {{{{images}}}}
tree {kind}/app:list
tree {kind}/app:list --layers --annotations --no-trunc
tree {kind}/app:image --artifact-type {evil} --filter-annotation {evil}={evil}
tree oci:{layout}:list --platform {evil}
tree oci:{layout}:list --layers --format json
tree docker-archive:{archive}
tree {angry}/app:1
tree {kind}/app:broken
tree {kind}/app:image --referrers-in oci:{evil}
image ls {kind}/app:list
image ls oci:{layout}:image / -l -R
image ls oci:{layout}:image /{evil}
image ls oci:{layout}:image --format json
image ls {angry}/app:1
image cat oci:{layout}:image /{evil}x
image cat oci:{layout}:image --layer {evil} /a
image export oci:{layout}:image {folder}/{evil}
image export oci:{layout}:list {folder}/tree/
image size oci:{layout}:image {kind}/app:image --files
image size oci:{layout}:image --format json
image history oci:{layout}:image
image history {kind}/app:image --no-trunc
image history {kind}/app:image --format dockerfile
image config {kind}/app:image
image config oci:{layout}:image --format json
image layers oci:{layout}:image
image layers {kind}/app:image --no-trunc --shared-with oci:{layout}:image
image check-base {kind}/app:image
image check-base {kind}/app:based
image check-base oci:{layout}:list --base {kind}/app:list
image check-base {kind}/app:image --base {kind}/app:image
image check-base {kind}/app:image --base oci:{layout}:list
image check-base {kind}/app:image --base {evil}
image check-base {kind}/app:image --digest {evil}
image check-base {angry}/app:1 --format json
auth explain {angry}/challenged/app
auth explain {angry}/app
auth explain {kind}/app
auth explain helped.example/app
auth explain {angry}/app --format json
auth explain {evil}
auth token {angry}/challenged/app
auth token {kind}/app
auth token {evil}
auth ls
auth ls --format json
auth ls -q
auth get helped.example
auth get reg.example
auth get {evil}
auth get reg.example --format json
image edit {kind}/app:image --label {evil}={evil} --dry-run -t 2
image edit {kind}/app:list --annotation index:{evil}={evil} -t {kind}/app:edited
image edit {kind}/app:image --env {evil}=1 --remove-env {evil} -t oci:{layout}:edited
image edit {angry}/app:1 --label a=b -t {evil}
image edit oci:{layout}:image --label {evil} --in-place
image edit {kind}/app:image --entrypoint {evil} --cmd ["{evil} --user {evil} --dry-run -t 2
image edit {kind}/app:image --entrypoint {evil} --append-cmd {evil} --user {evil} --health-cmd {evil} --dry-run -t 2
image edit oci:{layout}:image --port {evil} --volume {evil} --stop-signal {evil} -t 2
image edit oci:{layout}:image --volume {evil} --author {evil} --os-feature {evil} --set-platform {evil} -t 2
image edit oci:{layout}:image --created {evil} --config-time label:{evil} -t 2
image edit oci:{layout}:image --config-time label:{evil} -t 2
image edit oci:{layout}:image --remove-buildarg {evil} -t 2
image edit oci:{layout}:image --remove-buildarg A=re:({evil} --base {evil}@{evil} -t 2
image edit oci:{layout}:image --clear {evil} -t 2
image edit oci:{layout}:image --to {evil} --data-max {evil} --digest-algorithm {evil} -t 2
image edit {kind}/app:list --to docker --remove-urls --dry-run -t 2
image edit {kind}/app:list --attestations-to-referrers --dry-run -t {evil}
image edit {kind}/app:list --referrers-to-attestations --dry-run -t 2
image edit {kind}/app:list --to oci --data-max 1000 --digest-algorithm sha512 -t oci:{layout}:{evil}
image edit {kind}/app:list --label-to-annotation --promote-annotations --base {evil}@{evil} -t 2
image create oci:{folder}/made:1 --from {kind}/app:{evil}
image create oci:{folder}/made:1 {archive}:/{evil} --label {evil}={evil} --dry-run
image rebase {kind}/app:image --old-base {evil} --new-base {kind}/app:image -t 2
image rebase {kind}/app:image --old-base {kind}/app:list --new-base oci:{layout}:image -t oci:{layout}:{evil}
image rebase oci:{layout}:image -t 2
image edit oci:{layout}:image --strip-file {evil} -t 2
image edit oci:{layout}:image --strip-file **/{evil}* --dry-run -t 2
image edit oci:{layout}:image --replace-file {evil}=/no/such -t 2
image edit oci:{layout}:image --remove-layer {evil} -t 2
image edit oci:{layout}:image --remove-layer-created-by ({evil} -t 2
image edit oci:{layout}:image --file-time {evil} --compression {evil} -t 2
image edit oci:{layout}:image --file-time-max 1 --reproducible --compression none -t 2
image edit oci:{layout}:image --archive-time {evil}=1 -t 2
image edit oci:{layout}:image --file-time 1,base={evil} --config-time 1,base={kind}/app:list -t 2
image append oci:{layout}:image {folder}/{evil} -t 2
image append oci:{layout}:image {archive} --created-by {evil} -t 2 --dry-run
image append {kind}/app:list {archive}:/{evil} --owner {evil} -t 2
image append oci:{layout}:image {archive}:/{evil} -t 2
image append scratch {archive}:/{evil} -t {evil} --dry-run
image append {angry}/app:1 {archive} -t 2
image flatten oci:{layout}:image -t {evil}
image flatten {kind}/app:list --compression {evil} -t 2
image squash oci:{layout}:image --from {evil} --dry-run -t 2
image squash {angry}/app:1 --from 1 -t 2
artifact push oci:{layout}:artifact {folder}/{evil} --artifact-type {evil}
artifact push oci:{layout}:artifact {evil}=- {evil}=/no/such --dry-run
artifact push oci:{layout}:artifact {evil}=- --annotation {evil}={evil} --dry-run
artifact push oci:{layout}:artifact {evil}=- --index --platform linux/amd64 --strip-dirs --image-spec 1.0
artifact push {angry}/app:1 {evil}=-
artifact push {kind}/app:1 a=- --subject {evil} --annotation-file {archive}
artifact pull {kind}/app:image -o {folder}/pulled
artifact pull {kind}/app:image -o {folder}/pulled --title {evil} --media-type {evil}
artifact pull {kind}/app:list -o {folder}/pulled
artifact pull oci:{layout}:image -o {folder}/{evil}-pulled --format json
artifact pull {kind}/app:image -o {folder}/pulled --rename {evil}={evil} --config {evil}
artifact pull {kind}/app:image -o {folder}/pulled --media-type * --rename {evil}
artifact pull {angry}/app:1 -o -
artifact attach oci:{layout}:image {evil}=- --artifact-type {evil}
artifact attach oci:{layout}:image {evil}=- --artifact-type a/b --annotation {evil}={evil}
artifact attach {kind}/app:none {folder}/{evil} --artifact-type a/b
artifact attach {kind}/app:image {archive} --artifact-type a/b --platform {evil}
artifact attach {angry}/app:1 {evil}=- --artifact-type a/b
artifact ls {kind}/app:image
artifact ls {kind}/app:image --no-trunc --digest-tags
artifact ls {kind}/app:image --artifact-type {evil} --filter-annotation {evil}={evil} --sort {evil}
artifact ls oci:{layout}:image
artifact ls oci:{layout}:image --format json
artifact ls {angry}/app:1
artifact ls {evil}
artifact get --subject {kind}/app:image -o {folder}/got
artifact get --subject {kind}/app:image -o {folder}/got --artifact-type {evil}
artifact get --subject {angry}/app:1 -o -
artifact backup {kind}/app {kind}/app:image,{evil} oci:{folder}/kept --referrers --untagged --prune
artifact backup {kind}/app oci-archive:{folder}/kept.tar --keep-going --include {evil} --dry-run
artifact backup {kind}/app oci:{folder}/kept --keep-going
artifact backup oci:{layout} oci:{folder}/kept --untagged --referrers --keep-going
artifact backup oci:{layout} oci:{folder}/kept --format json --keep-going
artifact backup {angry}/app {evil}
artifact restore oci:{layout} {kind}/app --keep-going
artifact restore oci:{layout} {kind}/ --untagged --dry-run
artifact restore oci:{layout} {angry}/app --map {evil}={evil}
artifact restore oci:{layout} oci:{folder}/restored --keep-going
artifact restore oci-archive:{archive} {angry}/app
artifact edit {kind}/app:image --annotation {evil}={evil} --dry-run -t 2
artifact edit {kind}/app:image --annotation file[{evil}]:{evil}={evil} -t 2
artifact edit oci:{layout}:image --artifact-type {evil} -t {evil}
artifact edit oci:{layout}:image --clear-annotations {evil} --in-place
artifact edit oci:{layout}:image --clear-annotations file[{digest}] --in-place --drop-original --dry-run
artifact edit {kind}/app:list --remove-annotation {evil} -t 2
artifact edit {angry}/app:1 --remove-annotation {evil} --in-place
blob get {kind}/app@sha256:{evil}
blob get {kind}/app@{digest} --range {evil}
blob get oci:{layout}@{digest}
blob put {kind}/app {evil}
blob put oci:{layout} {archive} --digest {evil} --media-type {evil}
blob head {angry}/app@{digest}
blob head oci:{evil}@{digest} --format json
blob copy {angry}/app@{digest} oci:{folder}/{evil}
blob delete oci:{layout}@{digest} --yes
blob delete {evil}
manifest get {kind}/app:image -o {folder}/none/{evil}
manifest get {kind}/app:list --pretty
manifest put {kind}/app:image {evil}
manifest put {kind}/app:{evil} {archive}
manifest put {kind}/app:image - --media-type {evil}
manifest head {kind}/app:image
manifest head {kind}/app:image --format json
manifest head {angry}/app:1
manifest head {evil}
manifest diff {kind}/app:image oci:{layout}:image
manifest diff {kind}/app:list {evil}
manifest delete {kind}/app:{evil} --yes
registry check {kind}
registry check {kind}/app --write
registry check {angry}/app
registry check {angry}/challenged/app
registry check {evil}
registry limits {kind}/app:image
registry limits {angry}/app:1
registry limits {evil}
registry config {kind}
registry config {evil}
registry config
registry serve --address {evil}
registry serve --storage {layout} --address nowhere:x
registry serve --auth htpasswd={archive} --address 127.0.0.1:0
registry gc {folder}/none{evil}
registry gc oci:{layout} --dry-run --older-than 0s
registry gc {folder} --dry-run --untagged
registry gc oci:{layout}:{evil}
sync plan {folder}/{evil}
sync plan {folder}/mirror.toml
sync plan {folder}/mirror.toml --explain {evil}
sync plan {folder}/mirror.toml --only {evil}
sync run {folder}/mirror.toml
sync run --plan {folder}/plan.json
sync run --plan {folder}/legs.json
sync run --plan {archive}
sync run {folder}/mirror.toml --from-report {archive}
sync run {folder}/mirror.toml --shard {evil}
sync watch {folder}/mirror.toml
sync watch {folder}/mirror.toml --only {evil}
sync watch {folder}/mirror.toml --listen {evil}
sync prune {folder}/mirror.toml --yes
sync prune {folder}/mirror.toml --max {evil} --dry-run
sync status {folder}/mirror.toml
sync status {folder}/{evil}
login {angry} -u {evil} --password-stdin
login {kind} -u {evil} --password-stdin --authfile {archive}
login helped.example -u a --password-stdin
logout helped.example
logout {evil}
logout reg.example --authfile {archive}
warm start --idle {evil}
warm start --format {evil}
warm status --format {evil}
warm status
warm stop --format {evil}
demo --address {evil}
completion {evil}
version --format {evil}
"""
"""What every command is given, as words between spaces."""


def commands(group: click.Group = root, *path: str) -> Iterator[str]:
    """The paths of all commands."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield " ".join((*path, name))


COMMANDS = list(commands())


def lines(command: str) -> list[str]:
    return [line for line in LINES.splitlines() if f"{line} ".startswith(f"{command} ")]


def test_no_command_is_left_out() -> None:
    assert [command for command in COMMANDS if not lines(command)] == []


def harmless(ran: Ran, what: object) -> None:
    for text in (ran.stdout, ran.stderr):
        odd = {c for c in re.sub(r"^\t+", "", text, flags=re.MULTILINE) if c != "\n" and not c.isprintable()}
        assert not odd, (what, odd, text)
        assert not [line for line in text.split("\n") if line.startswith("FORGED")], (what, text)
    assert "should not" not in ran.stderr, (what, ran.stderr)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_prints_only_text(command: str, places: Places) -> None:
    values = places._asdict() | {"evil": TYPED, "digest": f"sha256:{'0' * 64}"}
    seen = ""
    for line in lines(command):
        words = [word.format(**values) for word in line.split()]
        ran = places.lading.run(*words, check=False, stdin=b"p")
        harmless(ran, line)
        seen += ran.stdout + ran.stderr
    assert "evil" in seen or command in ("manifest prune", "manifest rm"), seen


def test_a_question_and_the_progress_on_a_terminal_are_text(places: Places) -> None:
    image, copy = f"oci:{places.layout}:image", f"oci:{places.folder}/seven:a"
    for command in (["delete", image], ["copy", f"{places.kind}/app:list", copy, "--progress", "tty"]):
        seen = on_terminal(places.lading, *command, answers=[("[y/N]", "n\n")] if command[0] == "delete" else [])
        text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.text).replace("\r", "\n")
        harmless(Ran(tuple(command), seen.returncode, text.encode(), b""), command)
