"""Looks at what a job can see of the machine it runs on, and at doors left open. All of it are findings.

The job reports names and numbers, never a value.
"""

from __future__ import annotations

import json

from platform_cli.instances.probe import Catalogue, Weight
from platform_cli.instances.scratch import NotLooked, Scratch
from platform_cli.instances.server import Json, pick
from platform_core.settings import Secret

CATALOGUE = Catalogue()
OWN_PROCESSES = 4
SEED: dict[str, Json] = {"email": "admin@windmill.dev", "password": "changeme"}
"""The account every Windmill is born with, as its documentation prints it."""
_LOOKING = '''\
import glob
import os

SECRETS = ("DATABASE_URL", "DATABASE_URL_FILE", "SUPERADMIN_SECRET", "LICENSE_KEY", "JWT_SECRET")


def main():
    """Names of secrets in other environments, how many processes, whether the cache can be written."""
    seen = set()
    mine = os.getpid()
    processes = [one for one in glob.glob("/proc/[0-9]*") if one != f"/proc/{mine}"]
    for process in processes:
        try:
            with open(f"{process}/environ", "rb") as stream:
                names = {part.split(b"=")[0].decode("utf-8", "replace")
                         for part in stream.read().split(b"\\0")}
        except OSError:
            continue
        seen |= names & set(SECRETS)
    cache = os.path.join(os.environ.get("WINDMILL_DIR", "/tmp/windmill"), "cache")
    roots = {cache, *(os.path.join(os.path.dirname(os.path.dirname(os.getcwd())), "cache"),)}
    return {
        "secrets": sorted(seen),
        "processes": len(processes),
        "cache": any(os.path.isdir(root) and os.access(root, os.W_OK) for root in roots),
    }
'''


async def looked(scratch: Scratch) -> Json:
    """What a job saw, run once. Raises: NotLooked."""
    return await scratch.once("isolation.job", lambda: _look(scratch))


async def _look(scratch: Scratch) -> Json:
    await scratch.made_script("looking", _LOOKING)
    answer = await scratch.run("looking")
    if not answer.ok:
        raise NotLooked(f"the job that looks failed: {answer.status} {answer.text[:160]}")
    return answer.body


@CATALOGUE.probe(
    "isolation.environment",
    relies="a job cannot read its worker's environment",
    why="DATABASE_URL there is every customer's secret: set ENABLE_UNSHARE_PID=true on the workers",
    expected=[],
    weight=Weight.FINDING,
)
async def environment(scratch: Scratch) -> Json:
    """Run a script that looks for names of secrets in the environments of other processes."""
    return pick(await looked(scratch), "secrets")


@CATALOGUE.probe(
    "isolation.processes",
    relies="a job sees no processes but its own",
    why="command lines and files of others are read there: set ENABLE_UNSHARE_PID=true on the workers",
    expected="few",
    weight=Weight.FINDING,
)
async def processes(scratch: Scratch) -> Json:
    """Run a script that counts the processes it can see; up to four are its own."""
    seen = pick(await looked(scratch), "processes")
    return "few" if isinstance(seen, int) and seen <= OWN_PROCESSES else f"{seen} processes"


@CATALOGUE.probe(
    "isolation.cache",
    relies="a job cannot write into the workers' package cache",
    why="a package put there runs in every other customer's jobs; deploy with locks of one newline",
    expected=False,
    weight=Weight.FINDING,
)
async def cache(scratch: Scratch) -> Json:
    """Run a script that asks whether it may write there."""
    return pick(await looked(scratch), "cache")


@CATALOGUE.probe(
    "isolation.seed_account",
    relies="the account every Windmill is born with is closed",
    why="its password is in the documentation: run `wmctl instance init`",
    expected="closed",
    weight=Weight.FINDING,
)
async def seed_account(scratch: Scratch) -> Json:
    """Log in as admin@windmill.dev with the documented password, and out again."""
    answer = await scratch.server.ask("POST", "/api/auth/login", SEED, anonymous="yes")
    if not answer.ok:
        return "closed"
    await scratch.server.ask("POST", "/api/auth/logout", token=Secret(json.dumps(answer.body).strip('"')))
    return "open"
