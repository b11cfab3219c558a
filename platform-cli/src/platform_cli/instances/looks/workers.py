"""Looks at the tags of this instance and at who takes them. All of it are findings."""

from __future__ import annotations

from collections.abc import Iterable

from platform_cli.instances.probe import Catalogue, Weight
from platform_cli.instances.scratch import NotLooked, Scratch
from platform_cli.instances.server import Json, pick, rows
from platform_cli.sync.items import TAGS

CATALOGUE = Catalogue()
LANGUAGES = ("python3", "flow", "dependency")
"""The tags of what the platform runs and that carries no tag of its own."""
IN_ITS_PROCESS = frozenset({"nativets", "duckdb"})
"""Languages that a worker runs without a process for the job, so without what isolates one."""


@CATALOGUE.probe(
    "workers.known_tags",
    relies="the tags that the platform's items carry are known",
    why="only a superadmin could run those items: run `wmctl instance init`",
    expected=[],
    weight=Weight.FINDING,
)
async def known_tags(scratch: Scratch) -> Json:
    """Ask for the tags and name those that are missing."""
    known = await scratch.get("/api/workers/custom_tags")
    return [tag for tag in TAGS if not isinstance(known, list) or tag not in known]


@CATALOGUE.probe(
    "workers.taken_tags",
    relies="a live worker takes each tag that the platform's jobs have",
    why="a job whose tag nobody takes waits for ever: put the tag into WORKER_TAGS of a worker",
    expected=[],
    weight=Weight.FINDING,
)
async def taken_tags(scratch: Scratch) -> Json:
    """Ask which tags have workers and name those that have none."""
    return await _not_so(scratch, (*LANGUAGES, *TAGS), wanted=True)


@CATALOGUE.probe(
    "workers.in_its_process",
    relies="no worker takes a language that it runs in its own process",
    why="such a job is not isolated: take the language out of the tags of the worker's group",
    expected=[],
    weight=Weight.FINDING,
)
async def in_its_process(scratch: Scratch) -> Json:
    """Ask which of these languages have workers and name them."""
    return await _not_so(scratch, sorted(IN_ITS_PROCESS), wanted=False)


@CATALOGUE.probe(
    "workers.lock_jobs",
    relies="who makes locks runs no other jobs of customers",
    why="a lock job downloads packages outside of a job's namespaces: what it leaves, the next job would run",
    expected=[],
    weight=Weight.FINDING,
)
async def lock_jobs(scratch: Scratch) -> Json:
    """Read the list of workers and name the groups that take lock jobs and Python alike."""
    workers = rows(await scratch.get("/api/workers/list"))
    if not workers:
        raise NotLooked("the server lists no workers")
    both = {"dependency", "python3"}
    return sorted({str(one.get("worker_group")) for one in workers if both <= _tags(one.get("custom_tags"))})


def _tags(listed: Json) -> set[str]:
    return {str(tag) for tag in listed} if isinstance(listed, list) else set()


async def _not_so(scratch: Scratch, tags: Iterable[str], *, wanted: bool) -> list[Json]:
    tags = list(tags)
    found = await scratch.get(f"/api/workers/exists_workers_with_tags?tags={','.join(tags)}")
    return [tag for tag in tags if (pick(found, tag) is True) is not wanted]
