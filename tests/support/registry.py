"""A real registry: Debian's docker-registry (distribution 2.8), started for a test and gone after it."""

import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import bcrypt

from support.certs import Authority
from support.parts import need
from support.tokens import ISSUER, TokenService

PATIENCE = 20
"""Seconds in which a started program has to become ready."""

ROOM = 2 * 1024**3
"""Bytes: more than all registries of a run have at a time."""


class RealRegistry:
    """A registry with empty storage on a free loopback port, as a context manager.

    `auth` is None, "basic" (htpasswd with `users`) or "token" (Bearer; `tokens` is the service, made from
    `users` with everything granted when not given, and started and stopped with the registry). `delete`
    allows deletion. `tls` makes it speak https as that authority's server. `config` is laid over the
    configuration, key by key. The registry syncs each file that it writes, so its files are in memory, where the
    machine has a file system there with room for them; `on_disk` has them where temporary files are.
    """

    def __init__(
        self,
        *,
        auth: Literal["basic", "token"] | None = None,
        users: Mapping[str, str] | None = None,
        tokens: TokenService | None = None,
        delete: bool = True,
        tls: Authority | None = None,
        hostname: str = "127.0.0.1",
        config: Mapping[str, Any] | None = None,
        on_disk: bool = False,
    ) -> None:
        self.hostname = hostname
        self.users = dict(users or {"alice": "secret"})
        if auth == "token" and tokens is None:
            tokens = TokenService(self.users)
        self._service = tokens
        self._auth = "token" if tokens is not None else auth
        self._delete = delete
        self._tls = tls
        self._config = dict(config or {})
        self._on_disk = on_disk
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def host(self) -> str:
        return f"{self.hostname}:{self.port}"

    @property
    def scheme(self) -> str:
        return "http" if self._tls is None else "https"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}"

    @property
    def tokens(self) -> TokenService:
        """The token service of a Bearer registry."""
        if self._service is None:
            raise LookupError("this registry does not use tokens")
        return self._service

    @property
    def folder(self) -> Path:
        """Where its configuration, log and storage (`data`) are."""
        if self._folder is None:
            raise LookupError("the registry is not running")
        return self._folder

    def log(self) -> str:
        """What the registry has logged, a line per request among it."""
        return (self.folder / "log").read_text()

    def start(self) -> None:
        program = need("docker-registry")
        self._folder = Path(tempfile.mkdtemp(prefix="lading-registry-", dir=None if self._on_disk else _in_memory()))
        try:
            if self._service is not None:
                self._service.start()
            configuration = self.folder / "config.yml"
            configuration.write_text(json.dumps(self._configuration()))  # JSON is YAML
            with (self.folder / "log").open("wb") as log:
                self._process = subprocess.Popen(
                    [program, "serve", configuration],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    # It has little in its memory: collected at each doubling, a third of its work is collecting.
                    env={"PATH": "/usr/bin:/bin", "OTEL_TRACES_EXPORTER": "none", "GOGC": "1000"},
                )
            self._await()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._service is not None:
            self._service.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _configuration(self) -> dict[str, Any]:
        http: dict[str, Any] = {"addr": "127.0.0.1:0", "secret": "lading"}
        if self._tls is not None:
            http["tls"] = {"certificate": str(self._tls.certificate), "key": str(self._tls.key)}
        configuration: dict[str, Any] = {
            "version": "0.1",
            "log": {"level": "info"},
            "storage": {
                "filesystem": {"rootdirectory": str(self.folder / "data")},
                "delete": {"enabled": self._delete},
                "maintenance": {"uploadpurging": {"enabled": False}},
            },
            "http": http,
        }
        if self._auth == "basic":
            configuration["auth"] = {"htpasswd": {"realm": "lading", "path": str(self._htpasswd())}}
        elif self._service is not None:
            bundle = self.folder / "tokens.pem"
            bundle.write_bytes(self._service.root_certificate)
            configuration["auth"] = {
                "token": {
                    "realm": self._service.realm,
                    "service": self._service.service,
                    "issuer": ISSUER,
                    "rootcertbundle": str(bundle),
                }
            }
        return _laid_over(configuration, self._config)

    def _htpasswd(self) -> Path:
        path = self.folder / "htpasswd"
        cheap = bcrypt.gensalt(rounds=4)
        path.write_text(
            "".join(f"{user}:{bcrypt.hashpw(word.encode(), cheap).decode()}\n" for user, word in self.users.items())
        )
        return path

    def _await(self) -> None:
        """Wait until it says where it listens, and does."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            listening = re.search(r"listening on 127\.0\.0\.1:(\d+)", self.log())
            if listening:
                self.port = int(listening[1])
                socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE).close()
                return
            if self._process is None or self._process.poll() is not None:
                break
            time.sleep(0.01)
        raise RuntimeError(f"docker-registry did not start:\n{self.log()}")


def _in_memory() -> str | None:
    """A folder in memory with room for the registries of a whole run."""
    try:
        return "/dev/shm" if shutil.disk_usage("/dev/shm").free > ROOM and os.access("/dev/shm", os.W_OK) else None
    except OSError:
        return None


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        if isinstance(under, Mapping) and isinstance(value, Mapping):
            merged[key] = _laid_over(under, value)
        else:
            merged[key] = value
    return merged
