"""Looks at scripts: versions, compare-and-set, locks."""

from __future__ import annotations

import asyncio

from platform_cli.instances.probe import Catalogue, Weight
from platform_cli.instances.scratch import LONGEST_PAUSE_S, Scratch
from platform_cli.instances.server import Answer, Json, pick, rows

CATALOGUE = Catalogue()
ONE, TWO, THREE = (f"def main():\n    return {number}\n" for number in (1, 2, 3))
BROKEN_LOCK = "# requirements:\n# six==not.a.version\n\ndef main():\n    return 1\n"
"""No resolver can read that version, so its lock job fails without asking any index."""
WRITERS = 6
RELOCK_LOOKS = 8


@CATALOGUE.probe(
    "scripts.lock_given",
    relies="a script sent with a lock keeps it as sent, and no job is made for it",
    why="a deploy sends locks from git and waits for nobody",
    expected={"lock": "\n", "job": None},
)
async def lock_given(scratch: Scratch) -> Json:
    """Create a script with the lock of one newline, ask for its status."""
    script = await scratch.made_script("lock_given")
    status = await scratch.get(f"scripts/deployment_status/h/{script}")
    return {"lock": pick(status, "lock"), "job": pick(status, "job_id")}


@CATALOGUE.probe(
    "scripts.callable_at_once",
    relies="a script that was sent with a lock runs at once",
    why="a deploy is done when its last write is",
    expected={"status": 200, "result": 1},
)
async def callable_at_once(scratch: Scratch) -> Json:
    """Create a script with the lock of one newline and run it."""
    await scratch.made_script("callable")
    ran = await scratch.run("callable")
    return {"status": ran.status, "result": ran.body}


@CATALOGUE.probe(
    "scripts.lock_job",
    relies="a script sent without a lock gets one under the same hash, by a job whose status can be asked",
    why="a deploy waits for lock jobs, and takes nothing at all for pending",
    expected={"before": [], "header": "# py:", "error": None, "same hash": True},
)
async def lock_job(scratch: Scratch) -> Json:
    """Create one without a lock, poll its status until there is a lock, then compare the hash."""
    seen: list[Json] = []

    def locked(status: Json) -> bool:
        pending = pick(status, "lock") is None and pick(status, "lock_error_logs") is None
        if not pending:
            return True
        seen.append(pick(status, "lock_error_logs"))
        return False

    script = await scratch.made_script("lock_job", lock=None)
    status = await scratch.until(f"scripts/deployment_status/h/{script}", locked)
    now = await scratch.get(f"scripts/get/p/{scratch.path('lock_job')}")
    return {
        "before": [one for one in seen if one is not None],
        "header": str(pick(status, "lock"))[:5],
        "error": pick(status, "lock_error_logs"),
        "same hash": pick(now, "hash") == script,
    }


@CATALOGUE.probe(
    "scripts.lock_failed",
    relies="a failed lock is told in the status, and the version before stays archived",
    why="a deploy puts back what was there when a lock fails; the server does not",
    expected={"lock": None, "error": True, "old archived": True},
)
async def lock_failed(scratch: Scratch) -> Json:
    """Replace a good script by one whose requirement no resolver can read; look at both."""
    old, status = await _failed(scratch, "lock_failed")
    before = await scratch.get(f"scripts/get/h/{old}")
    return {
        "lock": pick(status, "lock"),
        "error": bool(pick(status, "lock_error_logs")),
        "old archived": pick(before, "archived"),
    }


@CATALOGUE.probe(
    "scripts.failed_lock_runs_old",
    relies="after a failed lock the path goes on running the version before, archived as it is",
    why="a failed deploy is no outage; one that is put back is no second one",
    expected={"status": 200, "result": "old"},
)
async def failed_lock_runs_old(scratch: Scratch) -> Json:
    """Replace a good script by one whose requirement no resolver can read, then run the path."""
    await _failed(scratch, "failed_lock_runs_old")
    ran = await scratch.run("failed_lock_runs_old")
    return {"status": ran.status, "result": ran.body}


async def _failed(scratch: Scratch, item: str) -> tuple[str, Json]:
    """The hash of the good version, and the status of the one on top of it once its job has ended."""
    old = await scratch.made_script(item, 'def main():\n    return "old"\n')
    new = await scratch.made_script(item, BROKEN_LOCK, lock=None, parent_hash=old)
    status = await scratch.until(
        f"scripts/deployment_status/h/{new}",
        lambda status: bool(pick(status, "lock") or pick(status, "lock_error_logs")),
    )
    return old, status


@CATALOGUE.probe(
    "scripts.put_back",
    relies="old content is taken again with the failed version as parent and another deployment message",
    why="rollback and the return from a failed lock are ordinary writes",
    expected={"status": 201, "content": ONE, "newest": True},
)
async def put_back(scratch: Scratch) -> Json:
    """Deploy 1, then 2, then 1 again with a message of its own; read it."""
    first = await scratch.made_script("put_back", ONE)
    second = await scratch.made_script("put_back", TWO, parent_hash=first)
    third = await scratch.script("put_back", ONE, parent_hash=second, deployment_message="put back")
    now = await scratch.get(f"scripts/get/p/{scratch.path('put_back')}")
    return {
        "status": third.status,
        "content": pick(now, "content"),
        "newest": pick(now, "hash") == third.text,
    }


@CATALOGUE.probe(
    "scripts.stale_parent",
    relies="a parent_hash that is not the newest is refused",
    why="it is the compare-and-set that keeps a deploy from overwriting an edit nobody saw",
    expected={"status": 400, "says": "lineage must be linear"},
)
async def stale_parent(scratch: Scratch) -> Json:
    """Deploy twice, then once more on top of the first version."""
    first = await scratch.made_script("stale_parent", ONE)
    await scratch.made_script("stale_parent", TWO, parent_hash=first)
    return (await scratch.script("stale_parent", THREE, parent_hash=first)).says("lineage must be linear")


@CATALOGUE.probe(
    "scripts.missing_parent",
    relies="a create without parent_hash on a path that is in use is refused",
    why="an item that appeared in the UI since the plan is not overwritten",
    expected={"status": 400, "says": "Path conflict"},
)
async def missing_parent(scratch: Scratch) -> Json:
    """Create the same path twice with different content."""
    await scratch.made_script("missing_parent", ONE)
    return (await scratch.script("missing_parent", TWO)).says("Path conflict")


@CATALOGUE.probe(
    "scripts.parallel_writers",
    relies="of writers with the same parent_hash exactly one succeeds, and every other is told why",
    why="two deploys at one moment never lose one another's edit",
    expected={"201": 1, "lineage must be linear": WRITERS - 1},
)
async def parallel_writers(scratch: Scratch) -> Json:
    """Send six different successors of one version at the same moment."""
    first = await scratch.made_script("parallel_writers", ONE)
    answers = await asyncio.gather(
        *(
            scratch.script("parallel_writers", f"{ONE}# {number}\n", parent_hash=first)
            for number in range(WRITERS)
        )
    )
    found: dict[str, Json] = {}
    for said in map(_outcome, answers):
        found[said] = int(str(found.get(said, 0))) + 1
    return found


def _outcome(answer: Answer) -> str:
    linear = "lineage must be linear"
    return str(answer.status) if answer.ok else linear if linear in answer.text else answer.text[:120]


@CATALOGUE.probe(
    "scripts.same_hash",
    relies="a version that was there before is not taken again by the very same request",
    why="a repeat after a cut connection tells that the first one arrived",
    expected={"status": 400, "says": "same hash"},
)
async def same_hash(scratch: Scratch) -> Json:
    """Deploy a second version, and send that very request again."""
    first = await scratch.made_script("same_hash", ONE)
    await scratch.made_script("same_hash", TWO, parent_hash=first)
    return (await scratch.script("same_hash", TWO, parent_hash=first)).says("same hash")


@CATALOGUE.probe(
    "scripts.revived",
    relies="an archived script is alive again when its last hash is sent as parent_hash",
    why="what was deleted comes back with its history, by rollback or by git",
    expected={"archived": True, "status": 201, "now": False},
)
async def revived(scratch: Scratch) -> Json:
    """Archive a script, then deploy on top of the archived version."""
    path = scratch.path("revived")
    first = await scratch.made_script("revived", ONE)
    await scratch.must(f"scripts/archive/p/{path}")
    archived = pick(await scratch.get(f"scripts/get/p/{path}"), "archived")
    answer = await scratch.script("revived", TWO, parent_hash=first)
    now = pick(await scratch.get(f"scripts/get/p/{path}"), "archived")
    return {"archived": archived, "status": answer.status, "now": now}


@CATALOGUE.probe(
    "scripts.archived_runs",
    relies="an archived script still runs by its path",
    why="archiving stops nothing: schedules and routes go before their script",
    expected={"run": 1, "listed": False},
)
async def archived_runs(scratch: Scratch) -> Json:
    """Archive a script, run it by its path, look for it in the list."""
    path = scratch.path("archived_runs")
    await scratch.made_script("archived_runs")
    await scratch.must(f"scripts/archive/p/{path}")
    ran = await scratch.run("archived_runs")
    listed = rows(await scratch.get(f"scripts/list?path_start={path}&per_page=1000"))
    return {"run": ran.body, "listed": bool(listed)}


@CATALOGUE.probe(
    "scripts.relocked",
    relies="a change of a shared module relocks its importers: content stays, the hash may be a new one",
    why="a relock is no edit of a person: what moved only its hash or its lock is no conflict",
    expected={"content": True, "lock": "# py:", "author": True},
)
async def relocked(scratch: Scratch) -> Json:
    """A script imports another, which changes; wait for the job that relocks the first; compare it."""
    shared = await scratch.made_script("shared", "def one():\n    return 1\n")
    code = f"from f.{scratch.name}.shared import one\n\n\ndef main():\n    return one()\n"
    path = scratch.path("importer")
    importer = await scratch.made_script("importer", code, lock=None)
    await scratch.until(f"scripts/deployment_status/h/{importer}", lambda status: bool(pick(status, "lock")))
    before = await scratch.get(f"scripts/get/p/{path}")
    await scratch.made_script("shared", "def one():\n    return 2\n", parent_hash=shared)
    jobs = f"jobs/list?script_path_exact={path}&job_kinds=dependencies&success=true"
    await scratch.until(jobs, lambda found: len(rows(found)) > 1)
    after = await scratch.until(f"scripts/get/p/{path}", lambda found: bool(pick(found, "lock")))
    return {
        "content": pick(after, "content") == code,
        "lock": str(pick(after, "lock"))[:5],
        "author": pick(after, "created_by") == pick(before, "created_by"),
    }


@CATALOGUE.probe(
    "scripts.relock_keeps_hash",
    relies="a relock writes the new lock under the hash that was there, over a lock that was sent",
    why="where it makes a new version, parent_hash is stale without anybody's edit: wmctl reads again",
    expected={"lock job": "same hash", "sent lock": "replaced"},
    weight=Weight.FINDING,
)
async def relock_keeps_hash(scratch: Scratch) -> Json:
    """Two scripts import a third, one with a sent lock; the third changes; look at both for half a minute."""
    shared = await scratch.made_script("shared_too", "def one():\n    return 1\n")
    code = f"from f.{scratch.name}.shared_too import one\n\n\ndef main():\n    return one()\n"
    sent = scratch.path("sent_lock")
    await scratch.made_script("sent_lock", code)
    importer = await scratch.made_script("importer_too", code, lock=None)
    await scratch.until(f"scripts/deployment_status/h/{importer}", lambda status: bool(pick(status, "lock")))
    await scratch.made_script("shared_too", "def one():\n    return 2\n", parent_hash=shared)
    path = scratch.path("importer_too")
    jobs = f"jobs/list?script_path_exact={path}&job_kinds=dependencies&success=true"
    await scratch.until(jobs, lambda found: len(rows(found)) > 1)
    for _ in range(RELOCK_LOOKS):
        if pick(await scratch.get(f"scripts/get/p/{sent}"), "lock") != "\n":
            break
        await scratch.pause(LONGEST_PAUSE_S)
    now = await scratch.get(f"scripts/get/p/{path}")
    kept = pick(await scratch.get(f"scripts/get/p/{sent}"), "lock") == "\n"
    return {
        "lock job": "same hash" if pick(now, "hash") == importer else "another hash",
        "sent lock": "kept" if kept else "replaced",
    }


@CATALOGUE.probe(
    "scripts.history",
    relies="every version stays readable by its hash, the newest first in the history",
    why="a conflict shows what the other person changed, a rollback what was there",
    expected={"order": True, "content": ONE, "message": 200},
)
async def history(scratch: Scratch) -> Json:
    """Deploy twice, list the history, read the first version, give it a deployment message."""
    path = scratch.path("history")
    first = await scratch.made_script("history", ONE)
    second = await scratch.made_script("history", TWO, parent_hash=first)
    found = [row.get("script_hash") for row in rows(await scratch.get(f"scripts/history/p/{path}"))]
    old = await scratch.get(f"scripts/get/h/{first}")
    told = await scratch.post(f"scripts/history_update/h/{second}/p/{path}", {"deployment_msg": "wmctl"})
    return {"order": found == [second, first], "content": pick(old, "content"), "message": told.status}
