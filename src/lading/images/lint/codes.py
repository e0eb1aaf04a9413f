"""What lint can find: every code with its severity, what it means and why it matters.

`docs/lint/` is made from this. A code keeps its meaning for ever; one that is no longer found is not used again.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import msgspec

from lading.model.digest import Digest
from lading.model.document import Result

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""Worst first."""


Action = Literal["annotate", "remove", "add", "pull and push", "resolve"]
"""A step that mends what was found, or says more of it."""


class Code(msgspec.Struct, frozen=True):
    """One kind of finding."""

    code: str
    """`LAD` and three digits: 1 which entry is pulled, 2 platforms, 3 content, 4 form, 5 annotations, 6 what
    breaks clients, 7 compared with another release, 8 what only `validate` finds, which reads every byte."""
    severity: Severity
    title: str
    why: str
    """What happens to whoever pulls it, and where the rule comes from."""
    remedy: str
    """What to do."""


_REBUILD = "Build the image for its platform (`docker build --platform`), or correct what the list says about it."
_CODES = (
    Code(
        "LAD101",
        "error",
        "An entry that another one hides",
        "Several entries are for one platform. Clients look at nothing but the platform, and take the first: no date, "
        "no size, no annotation decides. The others can never be pulled by platform, and when the first one's manifest "
        "is gone, no client falls back to the next.",
        "Keep one entry for each platform.",
    ),
    Code(
        "LAD102",
        "warning",
        "An entry that no client takes",
        "Whatever platform is asked for, none of the clients that lading knows takes this entry. It costs space, and "
        "somebody will think that the image is there.",
        "Correct its platform, or remove it.",
    ),
    Code(
        "LAD103",
        "warning",
        "Clients take different images",
        "For one and the same platform some clients take another entry than others. What was tested with Docker is "
        "then not what runs under podman or Kubernetes.",
        "See who takes what, and make the platforms exact.",
    ),
    Code(
        "LAD104",
        "error",
        "The platform in the list is not the image's",
        "Clients believe the list and never compare it with the image's config. The image is pulled, and fails when it "
        "is started: `exec format error`.",
        _REBUILD,
    ),
    Code(
        "LAD105",
        "error",
        "One architecture under several names",
        "Entries for different architectures hold images that were all built for one: the usual trace of a build that "
        "was started several times without `--platform`.",
        _REBUILD,
    ),
    Code(
        "LAD106",
        "warning",
        "An image without a platform",
        "Docker 20.10 and clients of Docker lists never take such an entry, containerd takes it last and believes the "
        "image's config, podman takes it from OCI indexes only when nothing else fits.",
        "Say what it is for.",
    ),
    Code(
        "LAD107",
        "warning",
        "A list too long to be tried out",
        "Which client takes which entry is found out for every platform that a list names. Of a list as long as this "
        "one the first platforms were tried, and LAD101, LAD102 and LAD103 are not told for the others.",
        "Split the list.",
    ),
    Code(
        "LAD201",
        "warning",
        "A platform in another spelling",
        "The specification wants Go's names (`GOOS`, `GOARCH`). Docker and containerd know `x86_64` and `aarch64`, "
        "podman, buildah and skopeo compare letter by letter and find nothing.",
        "Write Go's name: `amd64`, `arm64`, `arm`, `386`.",
    ),
    Code(
        "LAD202",
        "warning",
        "A platform that does not exist",
        "Neither Go nor any client knows this combination of operating system and architecture, so nobody asks for it.",
        "Correct it.",
    ),
    Code(
        "LAD203",
        "warning",
        "arm without a variant",
        "What runs on arm differs from v5 to v8. Docker and containerd read an entry without a variant as v7; podman "
        "takes it after every entry that has one.",
        "Name the variant.",
    ),
    Code(
        "LAD204",
        "warning",
        "A variant that clients read differently",
        "`8`, `v8.0` and `amd64/v1` stand for what has a shorter or another spelling. Docker and containerd translate "
        "them, podman and skopeo do not, and other variants nobody asks for.",
        "Write arm as v5 to v8, arm64 as v8 or without a variant, amd64 as v2 to v4 or without a variant.",
    ),
    Code(
        "LAD205",
        "warning",
        "Windows without os.version",
        "A Windows container runs on hosts of its own build only. Without `os.version` a client cannot tell, and takes "
        "an image that does not start.",
        "Say it.",
    ),
    Code(
        "LAD301",
        "error",
        "A manifest that is missing",
        "The list has an entry whose manifest the repository does not have. Pulling that platform fails in every "
        "client.",
        "Push the image again, or remove the entry.",
    ),
    Code(
        "LAD302",
        "error",
        "A blob that is missing",
        "A manifest refers to a config or a layer that is not there. Pulling it fails.",
        "Push the image again: clients send what the registry lacks.",
    ),
    Code(
        "LAD303",
        "warning",
        "A foreign layer",
        "A layer lives elsewhere (`urls`, or a non-distributable media type): whoever pulls needs that host, too, and "
        "mirrors and offline copies are incomplete. The specification has deprecated them.",
        "Push the layer itself (`--allow-nondistributable-artifacts` in Docker) with an ordinary media type.",
    ),
    Code(
        "LAD304",
        "error",
        "A descriptor that does not fit its content",
        "The size or media type in the list is not that of the manifest. containerd refuses to pull a manifest of "
        "another size than it was told, other clients do not look.",
        "Build the list again from what is in the registry.",
    ),
    Code(
        "LAD305",
        "error",
        "A manifest that cannot be read",
        "It is no valid manifest or config of any kind that clients know, or its bytes are not those of its digest.",
        "Push the image again with a current client.",
    ),
    Code(
        "LAD306",
        "warning",
        "An attestation of nothing",
        "An attestation (provenance, SBOM) names no image, or one that is not in this list. Tools look it up by that "
        "digest and do not find it; most often the image was replaced and its attestation was left.",
        "Remove the attestation, or add the image that it is about.",
    ),
    Code(
        "LAD401",
        "warning",
        "Docker's and OCI's types mixed",
        "A list of one family with manifests of the other, or a manifest with layers of the other, is read by current "
        "clients. Older ones and some registries refuse it, and converting tools produce other digests.",
        "Bring everything to one family (digests change, signatures break).",
    ),
    Code(
        "LAD402",
        "error",
        "A list without entries",
        "There is nothing to pull.",
        "Add images, or delete the tag.",
    ),
    Code(
        "LAD403",
        "error",
        "A manifest that is too large",
        "Registries refuse manifests above 4 MiB, which is what the distribution specification asks them to take at "
        "least, and clients stop reading there.",
        "Split it, or move long annotations into an artifact that refers to it.",
    ),
    Code(
        "LAD404",
        "warning",
        "A list within a list",
        "podman, buildah and skopeo copy no image through a nested list, and Docker 20.10 refuses it; containerd and "
        "newer Dockers follow it.",
        "List the images themselves.",
    ),
    Code(
        "LAD405",
        "error",
        "An entry of no known media type",
        "containerd, and with it Docker and Kubernetes, refuses an entry without a media type or with an unknown one.",
        "Build the list again from what is in the registry.",
    ),
    Code(
        "LAD406",
        "error",
        "An artifact in an image's place",
        "An entry with an artifact type has a platform. Clients do not look at the type: they take it for the image of "
        "that platform and fail to unpack it.",
        "Remove its platform, or attach it to the image as a referrer.",
    ),
    Code(
        "LAD501",
        "warning",
        "A reserved annotation that is malformed",
        "Keys under `org.opencontainers` have a meaning and a form of their own (image-spec annotations). Tools that "
        "read them ignore a value of another form, or fail.",
        "Correct the value, or use a key under a domain of your own.",
    ),
    Code(
        "LAD601",
        "error",
        "What crashes Docker 20.10",
        "An operating system with capital letters (`Linux`) ends the whole daemon with a segmentation fault.",
        "Write the operating system in small letters.",
    ),
    Code(
        "LAD602",
        "warning",
        "What breaks Docker's pull",
        "An entry without a platform whose image is for another machine than the one asked for breaks the pull in "
        "Docker 28 and 29 (graph drivers): the connection ends, and the user reads `unexpected EOF`.",
        "Say what it is for.",
    ),
    Code(
        "LAD701",
        "error",
        "A platform that was there before",
        "The release that this one is compared with has an image for a platform, and this one has none: whoever "
        "updates on such a machine is left behind.",
        "Build and add it, or say that it is dropped and stop comparing.",
    ),
)
CODES: dict[str, Code] = {code.code: code for code in _CODES}
"""Every code, in order."""


class Finding(Result, msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong with an image or a list, or will surprise somebody."""

    document_fields: ClassVar[tuple[str, ...]] = ("code", "severity", "message", "remedy", "digest", "platform")

    code: str
    severity: Severity
    message: str
    """One or two sentences."""
    remedy: str
    """What to do; the command line adds the command, where there is one."""
    digest: Digest | None = None
    """The entry, manifest or blob it is about; None for the whole."""
    platform: str | None = None
    """Of the entry, as the list has it."""
    action: Action | None = None
    """The step that `remedy` takes; None where there is none, or the remedy is the code's."""
    fields: dict[str, Any] = {}
    """What the action takes, such as the `os` and the `variant` to annotate with; always with `list` and `image`."""
