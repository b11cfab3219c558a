"""The Windmill of a rehearsal, asked as an operator does: over HTTPS, through the proxy, as superadmin."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tests.rehearsal.engine import Broke, wait_for
from tests.rehearsal.prober import connected
from tests.rehearsal.world import DOMAIN, World

WORKSPACE = "production"
JOBS = Path(__file__).parent / "jobs"


@dataclass(frozen=True)
class Windmill:
    """A client of the host's Windmill."""

    world: World

    def ask(self, method: str, path: str, body: object = None) -> object:
        """One request; the answer as JSON, or as text. Raises: Broke with what the server said."""
        headers = {
            "Authorization": f"Bearer {self.world.secret('WINDMILL_SUPERADMIN')}",
            "Content-Type": "application/json",
            "Connection": "close",
        }
        sent = None if body is None else json.dumps(body)
        with connected(self.world.ip, f"windmill.{DOMAIN}", self.world.trust, patience_s=60) as connection:
            connection.request(method, f"/api{path}", body=sent, headers=headers)
            answer = connection.getresponse()
            said = answer.read().decode("utf-8", "replace")
        if answer.status >= 400:
            raise Broke(f"{method} {path}: {answer.status} {said[:500]}")
        try:
            return json.loads(said)
        except ValueError:
            return said

    def prepare(self) -> None:
        """Make the workspace and a folder for each of two customers; a repeat makes none."""
        if self.ask("POST", "/workspaces/exists", {"id": WORKSPACE}) is not True:
            self.ask("POST", "/workspaces/create", {"id": WORKSPACE, "name": "Production"})
            for customer in ("north", "south"):
                self.ask("POST", f"/w/{WORKSPACE}/folders/create", {"name": customer})

    def deploy(self, path: str, file: str, *, tag: str = "python3") -> None:
        """Make a script of a file in jobs/, for the workers of a tag; one of that path goes."""
        if self.ask("GET", f"/w/{WORKSPACE}/scripts/exists/p/{path}") is True:
            self.ask("POST", f"/w/{WORKSPACE}/scripts/delete/p/{path}")
        script = {
            "path": path,
            "summary": "",
            "description": "",
            "content": (JOBS / file).read_text(),
            "language": "python3",
            "lock": "\n",
            "tag": tag,
            "kind": "script",
        }
        self.ask("POST", f"/w/{WORKSPACE}/scripts/create", script)

    def start(self, path: str, **arguments: object) -> str:
        """Begin a job; its id."""
        return str(self.ask("POST", f"/w/{WORKSPACE}/jobs/run/p/{path}", arguments))

    def ended(self, job: str) -> bool:
        """Whether a job is done, one way or the other."""
        found = self.ask("GET", f"/w/{WORKSPACE}/jobs_u/completed/get_result_maybe/{job}")
        return isinstance(found, dict) and found.get("completed") is True

    def wait(self, job: str, *, limit_s: float = 60) -> tuple[bool, object]:
        """Until a job is done: whether it went well, and its result. Raises: Broke when the limit is over."""
        wait_for(lambda: self.ended(job), f"job {job} ends", limit_s=limit_s)
        found = self.ask("GET", f"/w/{WORKSPACE}/jobs_u/completed/get_result_maybe/{job}")
        assert isinstance(found, dict)
        return found["success"] is True, found["result"]

    def run(self, path: str, *, limit_s: float = 60, **arguments: object) -> object:
        """A job that must go well: its result. Raises: Broke."""
        good, result = self.wait(self.start(path, **arguments), limit_s=limit_s)
        if not good:
            raise Broke(f"{path} failed: {result}")
        return result
