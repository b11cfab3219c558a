"""Probes recorded on a real server, and replayed: each probe's requests and answers, in their order.

`python -m tests.support.windmill_probes` records anew, on the server WMCTL_TEST_WINDMILL_URL with the
token WMCTL_TEST_WINDMILL_TOKEN of a person's account, in an empty workspace.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import secrets
import tarfile
import zlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from platform_cli.instances import probes
from platform_cli.instances.scratch import LOOKING, PREFIX
from platform_cli.instances.server import Server
from platform_core.settings import Secret
from tests.support.real_windmill import get_real_windmill

PROBED = Path(__file__).parents[1] / "conformance/windmill/probed.json"
_LONG = 4_000
_MACHINE = re.compile(r"(?:/[\w-]+)+/(?:windmill|uvenv)(?=/)")
"""Where that server's machine keeps things: nobody needs to know."""
_TEXTS = ("application/json", "text/")


@dataclass(slots=True)
class Recorder(httpx.AsyncBaseTransport):
    """The network, with everything remembered under the probe whose request it was."""

    network: httpx.AsyncHTTPTransport = field(default_factory=httpx.AsyncHTTPTransport)
    exchanges: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Ask the server and remember what it answered."""
        response = await self.network.handle_async_request(request)
        content = await response.aread()
        kind = response.headers.get("content-type", "")
        self.exchanges[LOOKING.get()].append(
            {
                "request": _named(request),
                "status": response.status_code,
                "content_type": kind,
                **_packed(request, content, kind),
            }
        )
        headers = {"content-type": kind} if kind else {}
        return httpx.Response(response.status_code, headers=headers, content=content, request=request)


@dataclass(slots=True)
class Replay(httpx.AsyncBaseTransport):
    """What a real server answered to these very requests; anything else was never recorded."""

    exchanges: Mapping[str, list[dict[str, Any]]]
    _next: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The next recorded answer of this probe; the request must be the recorded one."""
        probe = LOOKING.get()
        number = self._next[probe]
        recorded = self.exchanges.get(probe, [])
        if number >= len(recorded) or recorded[number]["request"] != _named(request):
            wanted = recorded[number]["request"] if number < len(recorded) else "no further request"
            raise AssertionError(f"{probe} asked {_named(request)}; recorded: {wanted}. Record it again.")
        self._next[probe] += 1
        exchange = recorded[number]
        headers = {"content-type": exchange["content_type"]} if exchange["content_type"] else {}
        return httpx.Response(
            exchange["status"], headers=headers, content=_unpacked(exchange), request=request
        )


def load_recording() -> tuple[Mapping[str, Any], Replay]:
    """About the recording (`version`, `at`, `workspace`, `name` of its folder), and what was answered."""
    recorded = json.loads(PROBED.read_text(encoding="utf-8"))
    return recorded["about"], Replay(recorded["exchanges"])


def save_recording(recorder: Recorder, about: Mapping[str, Any]) -> None:
    """Write what was remembered, one exchange a line."""
    lines = [
        f"{json.dumps(probe)}: [\n"
        + ",\n".join(json.dumps(exchange, ensure_ascii=False, sort_keys=True) for exchange in exchanges)
        + "\n]"
        for probe, exchanges in sorted(recorder.exchanges.items())
    ]
    body = ",\n".join(lines)
    PROBED.write_text(
        f'{{"about": {json.dumps(dict(about))},\n"exchanges": {{\n{body}\n}}}}\n', encoding="utf-8"
    )


def _named(request: httpx.Request) -> str:
    path = request.url.raw_path.decode()
    return f"{request.method} {path}"


def _packed(request: httpx.Request, content: bytes, kind: str) -> dict[str, Any]:
    """A body as it is kept: readable where it can be, never a token."""
    if request.url.path.endswith(("/tokens/impersonate", "/auth/login")) and content:
        return {"text": "a-token-of-platform_core_test"}
    if "/tarball" in request.url.path and kind.startswith("application/x-tar"):
        return {"tar": _members(content)}
    if kind.startswith(_TEXTS) or not kind:
        text = _MACHINE.sub("/opt/windmill", content.decode())
        if len(text) > _LONG:
            return {"packed": base64.b64encode(zlib.compress(text.encode(), 9)).decode()}
        return {"text": text}
    return {"packed": base64.b64encode(zlib.compress(content, 9)).decode()}


def _members(content: bytes) -> dict[str, str]:
    found = {}
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            stream = archive.extractfile(member)
            if stream is not None:
                found[member.name] = stream.read().decode()
    return found


def _unpacked(exchange: Mapping[str, Any]) -> bytes:
    if "tar" in exchange:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for name, text in exchange["tar"].items():
                member = tarfile.TarInfo(name)
                member.size = len(text.encode())
                archive.addfile(member, io.BytesIO(text.encode()))
        return packed.getvalue()
    if "packed" in exchange:
        return zlib.decompress(base64.b64decode(exchange["packed"]))
    return str(exchange["text"]).encode()


async def record() -> None:
    """Run every probe, one after the other, and keep what the server answered."""
    real = get_real_windmill()
    recorder, name = Recorder(), PREFIX + secrets.token_hex(4)
    async with Server(real.url, Secret(real.token), real.workspace, transport=recorder) as server:
        report = await probes.run(server, scratch_name=name, at_once=1)
    about = {
        "name": name,
        "version": report.server_version,
        "at": report.at.isoformat(),
        "workspace": real.workspace,
    }
    save_recording(recorder, about)


if __name__ == "__main__":
    asyncio.run(record())
