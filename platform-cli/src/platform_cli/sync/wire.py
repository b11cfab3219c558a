"""One HTTP exchange with a Windmill, and what a broken one means.

A read is tried again after a cut connection, a refused one or a gateway's 502, 503, 504. A write is sent
once: when no byte of it left, nothing was changed; when anything but a clear answer came back nobody knows,
and that is a `WindmillUncertain`. An answer is understood or refused by name: the token's 401, a denied 401
or 403, 404, 400, 409, 422, 500, a web page of a proxy, a redirect, what is no JSON. No error holds a token,
nor the value of a variable or a resource, nor the exception of the HTTP library with its request.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import ssl
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from random import SystemRandom
from typing import Any, NoReturn, Self, TypeVar, cast

from platform_cli.sync.items import Json
from platform_cli.sync.lean_httpx import httpx
from platform_core.errors import (
    InvalidInput,
    NotWindmill,
    WindmillDenied,
    WindmillError,
    WindmillFailed,
    WindmillNotFound,
    WindmillRefused,
    WindmillTokenRejected,
    WindmillUncertain,
    WindmillUnreachable,
)
from platform_core.settings import Secret

READS_AT_ONCE = 32
WRITES_AT_ONCE = 16
READ_ATTEMPTS = 4
BACKOFF_S = 0.2
MAX_ANSWER_BYTES = 512 * 1024 * 1024
_PASSING = frozenset({429, 502, 503, 504})
_UNAUTHORIZED = 401
_SERVER_ERROR = 500
_MEANINGS: Mapping[int, tuple[type[WindmillError], str]] = {
    401: (WindmillDenied, "Windmill does not allow it"),
    403: (WindmillDenied, "Windmill does not allow it"),
    404: (WindmillNotFound, "Windmill knows no such thing"),
    409: (WindmillRefused, "it clashes with what is there"),
    422: (WindmillRefused, "Windmill does not take what was sent"),
}
"""What a status that is no success means, and how its sentence begins."""

_MAX_SAID_CHARS = 400
_SHORTEST_HIDDEN_CHARS = 4
_WITH_VALUES = ("variables/", "resources/")
"""What is sent to these holds values that no error may repeat."""

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
_TLS = re.compile(r"ssl|tls|certificate", re.IGNORECASE)
_DNS = re.compile(r"name or service not known|nodename|getaddrinfo|name resolution|no address", re.IGNORECASE)
_HOST = re.compile(r"[\w.:-]+")
_PAGE = re.compile(rb"\s*<(?:!doctype|html|head|\?xml)", re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]*>([^<]*)</title>", re.IGNORECASE)
_RIGHTS = re.compile(r"\s*(?:\w+ perms: \{|authed as: |Your permissions are: ).*", re.DOTALL)
"""How Windmill ends a denial: with rights, groups and the beginning of the token."""

_TOKEN_REFUSALS = frozenset({"", "Unauthorized", "Not authorized: Unauthorized"})
_DICE = SystemRandom()
_T = TypeVar("_T")
_U = TypeVar("_U")


@dataclass(frozen=True, slots=True)
class _Ask:
    """One request: what is sent where, what it is for, and for how many seconds an answer is waited for."""

    method: str
    tail: str
    deed: str
    query: Mapping[str, str] | None = None
    body: Json = field(default=None, repr=False)
    answer_s: float | None = None

    @property
    def writes(self) -> bool:
        return self.method != "GET"

    def hidden(self) -> Iterator[str]:
        """The values that no error may repeat."""
        return _values(self.body) if any(part in self.tail for part in _WITH_VALUES) else iter(())


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, in seconds: for a connection, for an ordinary answer, for the whole export."""

    connect_s: float = 10.0
    answer_s: float = 60.0
    export_s: float = 300.0


async def all_of(*work: Coroutine[Any, Any, _T]) -> list[_T]:
    """Results of work done side by side, in order. The first failure ends the rest and is raised as it is."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def both(one: Coroutine[Any, Any, _T], two: Coroutine[Any, Any, _U]) -> tuple[_T, _U]:
    """The results of two things of different types, as `all_of` gives them of many of one."""
    work: list[Coroutine[Any, Any, _T | _U]] = [one, two]
    first, second = await all_of(*work)
    return cast("_T", first), cast("_U", second)


def server_url(url: str) -> str:
    """A server's address as it is used: with scheme, without path to the API or a slash at the end.

    Raises: InvalidInput naming what is wrong.
    """
    try:
        parsed = httpx.URL(url.strip())
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme not in ("http", "https") or not _HOST.fullmatch(parsed.host):
        raise InvalidInput(
            f"{url.strip()[:80]!r} is not the address of a server",
            next_step="Write it as in the browser, such as https://windmill.example.org.",
        )
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise InvalidInput(
            f"The address of {parsed.host} holds more than a server's address",
            next_step="Leave out user, password and everything after the path.",
        )
    path = re.sub(r"/(?:api)?/?$", "", parsed.path.rstrip("/"))
    return str(parsed.copy_with(path=path or "/")).rstrip("/")


def is_loopback(url: str) -> bool:
    """Whether an address is this machine's own, so that nobody else sees what is sent."""
    host = httpx.URL(url).host
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


class Wire:
    """Connections to one workspace of one Windmill, kept alive, at most 32 reads and 16 writes at a time.

    An async context manager. `pause` waits between attempts of a read; a test hands in another.
    """

    def __init__(
        self,
        url: str,
        workspace: str,
        token: Secret | str,
        *,
        patience: Patience | None = None,
        pause: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep,
    ) -> None:
        """Nothing is sent yet. Raises: InvalidInput for an address that is none."""
        self.url = server_url(url)
        self.workspace = workspace
        self.patience = patience or Patience()
        self._token = token if isinstance(token, Secret) else Secret(token)
        self._pause = pause
        self._reads = asyncio.Semaphore(READS_AT_ONCE)
        self._writes = asyncio.Semaphore(WRITES_AT_ONCE)
        self._http: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        """Open the pool of connections."""
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs every address at INFO
        local = is_loopback(self.url)
        # Reading the machine's certificates takes longer than a plan's reads; plain HTTP has no use for them.
        plain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if self.url.startswith("http:") else True
        self._http = httpx.AsyncClient(
            base_url=f"{self.url}/api/",
            verify=plain,
            trust_env=not local,
            follow_redirects=False,
            timeout=httpx.Timeout(self.patience.answer_s, connect=self.patience.connect_s),
            limits=httpx.Limits(max_connections=READS_AT_ONCE + WRITES_AT_ONCE),
            headers={"Authorization": f"Bearer {self._token.reveal()}", "User-Agent": "wmctl"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every connection."""
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    @property
    def host(self) -> str:
        """The server as messages name it."""
        return httpx.URL(self.url).netloc.decode("ascii")

    def is_begun_by(self, prefix: str) -> bool:
        """Whether the token begins so: by its beginning Windmill names one."""
        return bool(prefix) and self._token.reveal().startswith(prefix)

    # --- What the calls of a client are made of -----------------------------------------------------------

    async def read(
        self, tail: str, deed: str, *, query: Mapping[str, str] | None = None, answer_s: float | None = None
    ) -> bytes:
        """The body of a GET, tried again when the failure may pass. `deed` such as "read script f/a/b"."""
        ask = _Ask("GET", tail, deed, query=query, answer_s=answer_s)
        for attempt in range(READ_ATTEMPTS - 1):
            try:
                return await self._once(ask)
            except WindmillUnreachable as error:
                if error.facts.get("lasting"):
                    raise
            await self._pause(BACKOFF_S * 2**attempt * _DICE.uniform(0.5, 1.5))
        return await self._once(ask)

    async def read_json(
        self, tail: str, deed: str, *, query: Mapping[str, str] | None = None, answer_s: float | None = None
    ) -> Json:
        """The JSON that a GET answers. Raises: NotWindmill when it is none."""
        return self.parsed(await self.read(tail, deed, query=query, answer_s=answer_s), deed)

    async def read_object(self, tail: str, deed: str) -> dict[str, Json]:
        """The JSON object that a GET answers. Raises: NotWindmill when it is another thing."""
        found = await self.read_json(tail, deed)
        if not isinstance(found, dict):
            self.not_understood(deed, "something else than an object")
        return found

    async def write(
        self,
        method: str,
        tail: str,
        deed: str,
        *,
        body: Json = None,
    ) -> str:
        """The text that a write answers; it is sent once.

        Raises: WindmillUncertain when it may have been done, WindmillUnreachable when nothing was sent.
        """
        said = await self._once(_Ask(method, tail, deed, body=body))
        return said.decode("utf-8", "replace").strip()

    def parsed(self, body: bytes, deed: str) -> Json:
        """An answer's body as JSON. Raises: NotWindmill."""
        try:
            return cast("Json", json.loads(body))
        except ValueError:
            self.not_understood(deed, "what is not JSON")

    def not_understood(self, deed: str, what: str) -> NoReturn:
        """Refuse an answer that is not of the API. Raises: NotWindmill."""
        raise NotWindmill(
            f"Cannot {deed}: {self.host} answered with {what}",
            next_step="Check the address, and the server's version with `wmctl target check`.",
        )

    async def _once(self, ask: _Ask) -> bytes:
        if self._http is None:
            raise RuntimeError("the client is used outside its `async with`")
        text = None if ask.body is None else json.dumps(ask.body, ensure_ascii=False, allow_nan=False)
        request = self._http.build_request(
            ask.method,
            ask.tail,
            params=ask.query,
            content=None if text is None else text.encode("utf-8", "surrogatepass"),
            headers={} if text is None else {"Content-Type": "application/json"},
            timeout=httpx.Timeout(ask.answer_s or self.patience.answer_s, connect=self.patience.connect_s),
        )
        async with self._writes if ask.writes else self._reads:
            try:
                answer = await self._http.send(request, stream=True)
                content = await self._whole(answer, ask.deed)
            except httpx.HTTPError as error:
                raise self._broken(error, ask) from None
        if answer.is_success and not _is_page(answer, content):
            return content
        raise self._refused(answer, content, ask)

    async def _whole(self, answer: httpx.Response, deed: str) -> bytes:
        content = bytearray()
        try:
            async for part in answer.aiter_bytes():
                content += part
                if len(content) > MAX_ANSWER_BYTES:
                    self.not_understood(deed, f"more than {MAX_ANSWER_BYTES // 2**20} MB")
        finally:
            await answer.aclose()
        return bytes(content)

    # --- What a broken exchange means ---------------------------------------------------------------------

    def _broken(self, error: httpx.HTTPError, ask: _Ask) -> WindmillError:
        """No answer came: why, and whether anything may have been done."""
        why = self._why(error)
        sent = not isinstance(error, _NOT_SENT)
        if sent and ask.writes:
            return WindmillUncertain(f"Asked to {ask.deed}, but {why}; it may have been done")
        # A slow server had its time, and a name or a certificate is the same a second later.
        lasting = isinstance(error, httpx.TimeoutException) or any(x.search(str(error)) for x in (_TLS, _DNS))
        next_step = "Try again in a moment." if sent else _way_out(str(error))
        return WindmillUnreachable(f"Cannot {ask.deed}: {why}", next_step=next_step, lasting=lasting)

    def _why(self, error: httpx.HTTPError) -> str:
        match error:
            case httpx.ConnectTimeout():
                return f"{self.host} does not take connections within {self.patience.connect_s:g} s"
            case httpx.TimeoutException():
                return f"{self.host} did not answer in time"
            case httpx.ConnectError():
                return self._not_connected(str(error))
            case _:
                return f"{self.host} cut the connection"

    def _not_connected(self, said: str) -> str:
        if "wrong version number" in said.lower():
            return f"{self.host} does not speak TLS (is it http:// and not https://?)"
        if _TLS.search(said):
            return f"the certificate or TLS of {self.host} is not accepted ({_reason(said)})"
        if _DNS.search(said):
            return f"there is no server named {httpx.URL(self.url).host}"
        return f"nothing answers at {self.host}"

    def _refused(self, answer: httpx.Response, content: bytes, ask: _Ask) -> WindmillError:
        """An answer came that is not the one asked for: what it means."""
        status, deed = answer.status_code, ask.deed
        if status in _PASSING:
            said = f"{self.host} answered {status}, as a gateway does when its server is away"
            if ask.writes:
                return WindmillUncertain(f"Asked to {deed}, but {said}; it may have been done", status=status)
            return WindmillUnreachable(f"Cannot {deed}: {said}", status=status)
        if answer.is_redirect:
            return self._elsewhere(answer, deed)
        if _is_page(answer, content):
            return self._web_page(status, content, deed)
        said = self._shown(content, tuple(ask.hidden()))
        if status == _UNAUTHORIZED and said in _TOKEN_REFUSALS:
            return WindmillTokenRejected(
                f"Cannot {deed}: {self.host} does not accept the token", status=status
            )
        kind, why = _MEANINGS.get(
            status,
            (WindmillRefused, "Windmill refuses")
            if status < _SERVER_ERROR
            else (WindmillFailed, f"Windmill failed with {status}"),
        )
        return kind(f"Cannot {deed}: {why}: {said or 'it says no more'}", status=status, said=said)

    def _elsewhere(self, answer: httpx.Response, deed: str) -> WindmillError:
        try:
            there = httpx.URL(self.url).join(answer.headers.get("Location", ""))
            place = f"{there.scheme}://{there.netloc.decode('ascii')}"
        except httpx.InvalidURL:
            place = "another address"
        return NotWindmill(
            f"Cannot {deed}: {self.host} sends its callers on to {place}",
            status=answer.status_code,
            next_step="Give that address to `wmctl target add` if it is yours.",
        )

    def _web_page(self, status: int, content: bytes, deed: str) -> WindmillError:
        found = _TITLE.search(content[:20_000].decode("utf-8", "replace"))
        title = f" titled {' '.join(found[1].split())[:60]!r}" if found and found[1].strip() else ""
        return NotWindmill(
            f"Cannot {deed}: {self.host} answered {status} with a web page{title} instead of Windmill's data",
            status=status,
            next_step="A proxy or a login page stands before it: check the address and the way to it.",
        )

    def _shown(self, content: bytes, hidden: tuple[str, ...]) -> str:
        """What the server said, on one line, without anything that is secret."""
        text = content.decode("utf-8", "replace")
        for secret in sorted((self._token.reveal(), *hidden), key=len, reverse=True):
            if len(secret) >= _SHORTEST_HIDDEN_CHARS:
                text = text.replace(secret, "***")
        line = " ".join(_RIGHTS.sub("", text).split()).removesuffix(":")
        return line if len(line) <= _MAX_SAID_CHARS else f"{line[:_MAX_SAID_CHARS]}…"


def _way_out(said: str) -> str:
    if _TLS.search(said):
        return "Correct the server's certificate, or its address in `wmctl target list`."
    return "Check the address in `wmctl target list`, and that the server runs."


def _is_page(answer: httpx.Response, content: bytes) -> bool:
    kind = answer.headers.get("Content-Type", "")
    return kind.startswith("text/html") or bool(_PAGE.match(content[:200]))


def _reason(said: str) -> str:
    """The words of a TLS failure that help: what OpenSSL says after its place in the code."""
    return re.sub(r"\[[^\]]*\]\s*|\s*\(_ssl\.c:\d+\)", "", said).strip()[:120]


def _values(body: Json) -> Iterator[str]:
    """Every text and number in what was sent, but its keys and what names the item."""
    match body:
        case dict():
            for name, item in body.items():
                if name not in {"path", "resource_type", "name"}:
                    yield from _values(item)
        case list():
            for item in body:
                yield from _values(item)
        case bool() | None:
            return
        case _:
            yield str(body)
            yield json.dumps(body, ensure_ascii=True)[1:-1] if isinstance(body, str) else str(body)
