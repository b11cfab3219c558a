"""The real Caddy with production's Caddyfile between two stand-ins, on ports of its own and without TLS."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support.written_flows import until

CADDY = Path(sysconfig.get_path("scripts")) / "caddy"
SOURCE = Path(__file__).resolve().parents[2] / "infra" / "caddy"


class _Handler(BaseHTTPRequestHandler):
    """Healthy, and otherwise an echo of what arrived."""

    who = ""

    def do_GET(self) -> None:
        """Answer any method alike."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        said = {
            "who": self.who,
            "path": self.path,
            "type": self.headers.get("Content-Type"),
            "body": body.decode(),
        }
        answer = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_POST(self) -> None:
        """The same."""
        self.do_GET()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Quietly."""


def _serving(who: str) -> ThreadingHTTPServer:
    handler = type("Handler", (_Handler,), {"who": who})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
    return port


@dataclass
class Proxy:
    """A running proxy."""

    port: int
    log: Path
    folder: Path
    door: ThreadingHTTPServer
    blue: ThreadingHTTPServer
    green: ThreadingHTTPServer

    def ask(self, host: str, path: str, body: bytes | None = None, kind: str = "") -> tuple[int, str]:
        """Status and text of one request; a POST when it has a body."""
        asking = HTTPConnection("127.0.0.1", self.port, timeout=10)
        with closing(asking):
            headers = {"Host": host} | ({"Content-Type": kind} if kind else {})
            asking.request("GET" if body is None else "POST", path, body, headers)
            answer = asking.getresponse()
            return answer.status, answer.read().decode()

    def switch(self, color: str) -> None:
        """As a deploy does: the file is there whole, or not yet."""
        (self.folder / "color.new").write_text(color)
        (self.folder / "color.new").rename(self.folder / "color")


def stop(server: ThreadingHTTPServer) -> None:
    """Nobody listens there any more."""
    server.shutdown()
    server.server_close()


@contextmanager
def proxied(folder: Path, allowed: str = "203.0.113.7/32") -> Iterator[Proxy]:
    """Production's Caddyfile with other ports, and everything else as it is there."""
    servers = door, blue, green = _serving("door"), _serving("blue"), _serving("green")
    port, inner, fallback = _free_port(), _free_port(), _free_port()
    shutil.copytree(SOURCE, folder, dirs_exist_ok=True)
    (folder / "local").mkdir()
    (folder / "local" / "global-test.caddy").write_text(f"\tauto_https off\n\thttp_port {port}\n")
    (folder / "color").write_text("blue")
    text = (folder / "Caddyfile").read_text()
    for ours, theirs in (
        ("door:8787", f"127.0.0.1:{door.server_port}"),
        ("server_blue:8000", f"127.0.0.1:{blue.server_port}"),
        ("server_green:8000", f"127.0.0.1:{green.server_port}"),
        ("/etc/caddy/color", str(folder / "color")),
        (":8001", f":{inner}"),
        (":8002", f":{fallback}"),
        ("/run/caddy/admin.sock", str(folder / "admin.sock")),
    ):
        assert ours in text
        text = text.replace(ours, theirs)
    (folder / "Caddyfile").write_text(text)
    told = {f"DOMAIN_{name.upper()}": f"http://{name}.test" for name in ("hooks", "panel", "windmill")}
    told |= {
        "WINDMILL_ALLOWED": allowed,
        "ACME_EMAIL": "ops@test",
        "ACME_DIRECTORY": "https://ca.test/directory",
    }
    log = folder / "log"
    with log.open("wb") as output:
        running = subprocess.Popen(
            [CADDY, "run", "--config", "Caddyfile"],
            cwd=folder,
            env=dict(os.environ) | told | {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)},
            stdout=output,
            stderr=output,
        )
    proxy = Proxy(port, log, folder, door, blue, green)
    try:
        _wait_until_ready(proxy, running)
        yield proxy
    finally:
        running.terminate()
        running.wait(20)
        for server in servers:
            stop(server)


def _wait_until_ready(proxy: Proxy, running: subprocess.Popen[bytes]) -> None:
    def ready() -> bool:
        assert running.poll() is None, proxy.log.read_text()
        try:
            return proxy.ask("panel.test", "/api/r/acme/panel")[0] == 200
        except OSError:
            return False

    until(ready, "the proxy")
