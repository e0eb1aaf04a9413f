"""A client that sends one plain request at a time, and shows all of the answer."""

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """What the registry answered."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of its first error."""
        return str(self.document["errors"][0]["code"])


class Caller:
    """Sends plain requests, each on a connection of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.host = urlsplit(url).netloc

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection(self.host, timeout=30)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def start(self, repository: str) -> str:
        """Begin an upload; gives where to go on."""
        answer = self("POST", f"/v2/{repository}/blobs/uploads/")
        assert answer.status == 202
        return answer.headers["location"]

    def push_blob(self, repository: str, digest: str, content: bytes) -> None:
        assert self("POST", f"/v2/{repository}/blobs/uploads/?digest={digest}", content).status == 201
