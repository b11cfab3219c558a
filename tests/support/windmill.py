"""Customers' folders written for one test, and plain HTTP requests to the local Windmill."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ruamel.yaml import YAML

_ROUTE = {
    "summary": None, "description": None, "authentication_method": "none",
    "authentication_resource_path": None, "http_method": "post", "is_flow": False, "is_static_website": False,
    "mode": "enabled", "raw_string": True, "request_type": "sync", "static_asset_config": None,
    "workspaced_route": False, "wrap_body": False,
}  # fmt: skip
_SCHEDULE = {
    "summary": "", "args": {}, "cron_version": "v2", "enabled": True, "is_flow": False,
    "no_flow_overlap": False, "schedule": "0 */5 * * * *", "timezone": "America/Santiago",
    "ws_error_handler_muted": False,
}  # fmt: skip
EVENT = "def preprocessor(event):\n    return {'event': event}\n\n\ndef main(event):\n    return event\n"
ECHO = "def main(**kwargs):\n    return kwargs\n"


def read_yaml(path: Path) -> dict[str, Any]:
    """One of a customer's item files."""
    loaded: dict[str, Any] = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    return loaded


def add_script(root: Path, name: str, code: str, *, customer: str = "acme", **fields: object) -> str:
    """Write a script and its metadata; gives the Windmill path."""
    folder = root / customer / "scripts"
    folder.mkdir(parents=True, exist_ok=True)
    path = f"f/{customer}/{name}"
    (folder / f"{name}.py").write_text(code, encoding="utf-8")
    (folder / f"{name}.script.lock").write_text("\n", encoding="utf-8")
    meta: dict[str, object] = {"summary": "", "description": "", "lock": f"!inline {path}.script.lock"}
    if "def preprocessor" in code:
        meta["has_preprocessor"] = True
    _write(folder / f"{name}.script.yaml", {**meta, "kind": "script", "schema": {"type": "object"}, **fields})
    return path


def add_route(root: Path, script: str, route_path: str, *, customer: str = "acme", **fields: object) -> str:
    """Write an HTTP trigger for a script of the same customer; gives the Windmill path."""
    name = "".join(letter if letter.isalnum() else "_" for letter in f"{script}_{route_path}")
    values = {**_ROUTE, "route_path": route_path, "script_path": f"f/{customer}/{script}", **fields}
    return _config(root, customer, f"{name}.http_trigger.yaml", values)


def add_schedule(root: Path, script: str, *, customer: str = "acme", **fields: object) -> str:
    """Write a schedule for a script of the same customer; gives the Windmill path."""
    values = {**_SCHEDULE, "script_path": f"f/{customer}/{script}", **fields}
    return _config(root, customer, f"{script}_cron.schedule.yaml", values)


def _config(root: Path, customer: str, file_name: str, values: Mapping[str, object]) -> str:
    folder = root / customer / "config"
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / file_name, values)
    return f"f/{customer}/{file_name.split('.', maxsplit=1)[0]}"


def _write(file: Path, values: Mapping[str, object]) -> None:
    with file.open("w", encoding="utf-8") as stream:
        YAML(typ="safe", pure=True).dump(dict(values), stream)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def json(self) -> object:
        """The body as JSON."""
        value: object = json.loads(self.body)
        return value


def send(
    base_url: str,
    method: str,
    path: str,
    body: bytes = b"",
    headers: Sequence[tuple[str, str]] = (),
    token: str = "",
) -> Answer:
    """One request with exactly these headers, apart from host, content-length and the token."""
    url = urlsplit(base_url)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=60)
    sent = {name.lower() for name, _ in headers}
    try:
        connection.putrequest(method, path, skip_host="host" in sent, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        if body and "content-length" not in sent:
            connection.putheader("content-length", str(len(body)))
        if token:
            connection.putheader("authorization", f"Bearer {token}")
        connection.endheaders(body or None)
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, response.read())
    finally:
        connection.close()


def post_json(base_url: str, path: str, value: object, *headers: tuple[str, str], token: str = "") -> Answer:
    """POST a JSON value."""
    sent = [("content-type", "application/json"), *headers]
    return send(base_url, "POST", path, json.dumps(value).encode(), sent, token)
