"""A Windmill server asked one raw request at a time: its answer is kept as it came, refusals included.

Probes and the set-up of an instance need statuses and bodies; the sync engine's client, which turns every
refusal into an error, does not show them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypeAlias

import httpx

from platform_core.errors import PermissionDenied, Refused, Unavailable
from platform_core.settings import Secret

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
TIMEOUT_S = 60
SETTLE_S = 5
"""How long a request is waited for whose asker was cancelled: a write takes milliseconds, a job its time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `body` is decoded when it is JSON, else text; `content` is every byte of it."""

    status: int
    content_type: str
    content: bytes = field(repr=False)

    @property
    def body(self) -> Json:
        """The JSON value, or the text."""
        text = self.text
        if not self.content_type.startswith("application/json"):
            return text
        try:
            value: Json = json.loads(text)
        except ValueError:
            return text
        return value

    @property
    def text(self) -> str:
        """The body as text; what is not UTF-8 is marked."""
        return self.content.decode(errors="replace")

    @property
    def ok(self) -> bool:
        """Whether the server did what was asked."""
        return httpx.codes.is_success(self.status)

    def says(self, fragment: str) -> dict[str, Json]:
        """Status and reason: the fragment when the body holds it, else what it says instead."""
        return {"status": self.status, "says": fragment if fragment in self.text else self.text[:200]}


def pick(value: Json, *names: str | int) -> Json:
    """What stands at this place of a JSON value; None where there is no such place."""
    for name in names:
        match value, name:
            case list(), int():
                value = value[name] if name < len(value) else None
            case dict(), str():
                value = value.get(name)
            case _:
                return None
    return value


def rows(value: Json) -> list[Mapping[str, Json]]:
    """The objects of a list that a server answered; empty when it is no list."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        return []
    return [row for row in value if isinstance(row, Mapping)]


class Server:
    """One workspace of one Windmill, asked with one token. An async context manager.

    Raises from `ask`: Unavailable when nothing answers or a proxy's page does.
    """

    def __init__(
        self, url: str, token: Secret, workspace: str, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """`transport` replaces the network, for tests that replay what a server answered."""
        self.url = url.rstrip("/")
        self.workspace = workspace
        self._token = token
        self._http = httpx.AsyncClient(
            base_url=self.url,
            timeout=TIMEOUT_S,
            transport=transport,
            limits=httpx.Limits(max_connections=16),
        )
        self._under_way: set[asyncio.Task[Answer]] = set()

    async def __aenter__(self) -> Self:
        """Open the connections."""
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close them; who still waits for an answer does so no longer."""
        for one in self._under_way:
            one.cancel()
        await self._http.__aexit__(kind, error, trace)

    async def ask(
        self, method: str, tail: str, body: Json = None, *, token: Secret | None = None, **options: str
    ) -> Answer:
        """One request. `tail` is inside the workspace, or begins with `/` and is the whole path.

        `body` is sent as JSON. `options`: `content_type` sends a text body as it is with that type;
        `anonymous` (any value) sends no token.
        """
        headers = (
            {} if "anonymous" in options else {"authorization": f"Bearer {(token or self._token).reveal()}"}
        )
        content: bytes | None = None
        if kind := options.get("content_type"):
            content = str(body).encode("utf-8", "surrogateescape")
        elif body is not None or method == "POST":
            content, kind = json.dumps({} if body is None else body).encode(), "application/json"
        if kind:
            headers["content-type"] = kind
        path = tail if tail.startswith("/") else f"/api/w/{self.workspace}/{tail}"
        return await self._send(method, path, headers, content)

    async def post_files(self, tail: str, files: Mapping[str, tuple[str, str]]) -> Answer:
        """A multipart POST inside the workspace: field name to text and content type, in this order."""
        parts = [(name, (None, text.encode(), kind)) for name, (text, kind) in files.items()]
        request = self._http.build_request(
            "POST",
            f"/api/w/{self.workspace}/{tail}",
            files=parts,
            headers={"authorization": f"Bearer {self._token.reveal()}"},
        )
        return await self._answer(request)

    async def _send(self, method: str, path: str, headers: dict[str, str], content: bytes | None) -> Answer:
        return await self._answer(self._http.build_request(method, path, headers=headers, content=content))

    async def settle(self) -> None:
        """Wait until what was begun has its answer: afterwards a listing shows all that was made."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=SETTLE_S)

    async def _answer(self, request: httpx.Request) -> Answer:
        # A request that is cut short may still be carried out, at a time that nobody knows. So it runs to its
        # end when its asker is cancelled, and `settle` waits for it.
        under_way = asyncio.create_task(self._exchange(request))
        self._under_way.add(under_way)
        under_way.add_done_callback(self._under_way.discard)
        return await asyncio.shield(under_way)

    async def _exchange(self, request: httpx.Request) -> Answer:
        try:
            response = await self._http.send(request)
        except httpx.HTTPError as error:
            raise Unavailable(
                f"{self.url} did not answer {request.method} {request.url.path}: "
                f"{str(error) or type(error).__name__}",
                next_step="Check the target's address, and that the server runs.",
            ) from error
        kind = response.headers.get("content-type", "")
        if kind.startswith("text/html") and not request.url.path.startswith("/api/r/"):
            raise Unavailable(
                f"{self.url} answered {request.method} {request.url.path} with a web page",
                next_step="Check the target's address; a proxy may stand in front of it.",
            )
        return Answer(response.status_code, kind, response.content)


async def find_caller(server: Server) -> Mapping[str, Json]:
    """Who the token is in this workspace, as `users/whoami` says it.

    Raises: PermissionDenied when the token is not taken or the workspace is not there for it; Unavailable.
    """
    answer = await server.ask("GET", "users/whoami")
    if not answer.ok or not isinstance(answer.body, Mapping):
        raise PermissionDenied(
            f"{server.url} does not take the token for the workspace {server.workspace}: "
            f"{answer.status} {answer.text[:120]}",
            next_step="Give a token of a member of that workspace, or name another workspace.",
        )
    return answer.body


async def require_superadmin(server: Server) -> str:
    """Refuse any other token; the address of whose it is. Raises: PermissionDenied; Unavailable."""
    answer = await server.ask("GET", "/api/users/whoami")
    if pick(answer.body, "super_admin") is not True:
        raise PermissionDenied(
            f"The token is not a superadmin's: {server.url} answered {answer.status}",
            next_step="Give SUPERADMIN_SECRET of the server, or a superadmin's token.",
        )
    return str(pick(answer.body, "email"))


def require_done(answer: Answer, what: str) -> Answer:
    """The answer, when the server did what was asked. Raises: Refused with what the server said."""
    if not answer.ok:
        raise Refused(
            f"Windmill refused {what}: {answer.status} {answer.text[:160]}",
            next_step="Nothing after this step was done; run it again when that is settled.",
        )
    return answer


async def list_workspaces(server: Server) -> list[str]:
    """Every workspace that is not deleted, by name; for a superadmin. Raises: Refused; Unavailable."""
    path = "/api/workspaces/list_as_superadmin"
    listed = rows(require_done(await server.ask("GET", path), f"it at {path}").body)
    return sorted(str(row.get("id")) for row in listed if row.get("deleted") is not True)
