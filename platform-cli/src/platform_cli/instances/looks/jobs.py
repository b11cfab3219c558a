"""Looks at jobs: what a run answers, and how a waiting flow goes on."""

from __future__ import annotations

from urllib.parse import urlsplit

from platform_cli.instances.looks.flows import body
from platform_cli.instances.probe import Catalogue
from platform_cli.instances.scratch import Scratch
from platform_cli.instances.server import Json, pick, rows

CATALOGUE = Catalogue()


@CATALOGUE.probe(
    "jobs.failure",
    relies="a script that fails answers 422 with name and message",
    why="checks after a deploy tell a failing script from a missing one",
    expected={"status": 422, "error": "ValueError: boom"},
)
async def failure(scratch: Scratch) -> Json:
    """Run a script that raises, and wait for it."""
    await scratch.made_script("failing", "def main():\n    raise ValueError('boom')\n")
    answer = await scratch.run("failing")
    error = pick(answer.body, "error")
    return {"status": answer.status, "error": f"{pick(error, 'name')}: {pick(error, 'message')}"}


@CATALOGUE.probe(
    "jobs.missing",
    relies="running a script that is not there answers 404",
    why="checks after a deploy tell a failing script from a missing one",
    expected=404,
)
async def missing(scratch: Scratch) -> Json:
    """Run what never was."""
    return (await scratch.run("never")).status


@CATALOGUE.probe(
    "jobs.number",
    relies="a run takes the number it is given, once",
    why="a start that is repeated after a cut connection starts nothing twice",
    expected={"first": 201, "again": 400},
)
async def number(scratch: Scratch) -> Json:
    """Run a flow twice with one number."""
    await scratch.must("flows/create", body(scratch, "numbered"))
    given = "7c1f0000-0000-4000-8000-" + scratch.name[-8:].encode().hex()[:12]
    first = await scratch.run("numbered", kind="run/f", job_id=given)
    again = await scratch.run("numbered", kind="run/f", job_id=given)
    return {"first": first.status, "again": again.status}


@CATALOGUE.probe(
    "jobs.resume",
    relies="a waiting flow goes on by its signed URL, without a token and once",
    why="a claim that is decided elsewhere lets its flow go on",
    expected={"first": 201, "again": 500, "ended well": True},
)
async def resume(scratch: Scratch) -> Json:
    """Start a flow that waits, ask for its URLs, post the resume URL twice without a token."""
    script = await scratch.made_script("asking")
    step: dict[str, Json] = {"type": "script", "path": scratch.path("asking"), "input_transforms": {}}
    waiting: Json = {
        "modules": [
            {"id": "a", "value": step, "suspend": {"required_events": 1, "timeout": 600}},
            {"id": "b", "value": {"type": "identity"}},
        ]
    }
    await scratch.must("flows/create", body(scratch, "waiting", waiting if script else None))
    started = await scratch.run("waiting", kind="run/f")
    if not started.ok:
        return started.says("a number of a job")
    job = started.text
    await scratch.until(f"jobs_u/get/{job}", _waits)
    urls = await scratch.get(f"jobs/resume_urls/{job}/1")
    path = urlsplit(str(pick(urls, "resume"))).path
    first = await scratch.server.ask("POST", path, {"approved": True}, anonymous="yes")
    again = await scratch.server.ask("POST", path, {"approved": True}, anonymous="yes")
    ended = await scratch.until(f"jobs_u/get/{job}", lambda found: pick(found, "type") == "CompletedJob")
    return {"first": first.status, "again": again.status, "ended well": pick(ended, "success")}


def _waits(found: Json) -> bool:
    modules = rows(pick(found, "flow_status", "modules"))
    return any(module.get("type") == "WaitingForEvents" for module in modules)
