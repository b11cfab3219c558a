"""`wmctl demo`: a day of Einstein Kids, for real, on this machine."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from platform_cli import render
from platform_cli.local import checks, postgres
from platform_cli.local.day import ENDING, Day, Unexpected
from platform_cli.local.secret_store import FileSecretStore
from platform_cli.local.stage import set_stage
from platform_cli.local.windmill.flows.state import prepare_database
from platform_cli.root import find_root
from platform_cli.site import STATE_FOLDER
from platform_core.errors import Refused
from platform_core.tenancy.cluster import prepare_cluster
from platform_core.tenancy.door import prepare_door
from platform_core.tenancy.provision import Provisioned, provision

CUSTOMER = "einstein_kids"
NEIGHBOUR = "colegio_vecino"
MARK = "made-by-demo"
_MADE = ("postgres", "secrets", "ingest")


def demo() -> None:
    """Play a day of Einstein Kids against real PostgreSQL, HTTP, signatures and processes, and check it.

    Example: wmctl demo
    """
    started = time.monotonic()
    root = find_root(Path.cwd())
    state = _empty_state(root)
    with render.story("A day of Einstein Kids") as tell, postgres.running(state / "postgres") as cluster:
        tell.scene("A machine with nothing on it")
        store = FileSecretStore(state / "secrets")
        prepare_cluster(cluster.admin_dsn, progress=tell.waiting)
        prepare_door(cluster.admin_dsn, store)
        tell.line("operator", "starts PostgreSQL and prepares it for customers", "ready")
        customer = _provision(tell, cluster.admin_dsn, store, CUSTOMER, "Einstein Kids")
        neighbour = _provision(tell, cluster.admin_dsn, store, NEIGHBOUR, "Colegio Vecino")
        flows = prepare_database(cluster.admin_dsn)
        with set_stage(
            root / "customers", CUSTOMER, customer.dsn, door_folder=state / "ingest", state_dsn=flows
        ) as stage:
            Day(stage, tell, root).play()
            tell.waiting("asking PostgreSQL what is true now")
            found = checks.check_customer(stage, ENDING)
        found.append(checks.check_isolation(neighbour.dsn, customer.tenant.database_name))
    render.verdicts("What PostgreSQL says", [(check.says, check.found, check.expected) for check in found])
    wrong = [check for check in found if not check.holds]
    if wrong:
        raise Unexpected(f"{len(wrong)} of {len(found)} checks differ, the first: {wrong[0].says}")
    render.good(f"{len(found)} checks hold. The day took {time.monotonic() - started:.0f} s.")
    render.closing(
        "Look around in the data of this day:",
        [
            f".venv/bin/wmctl {command} --customer {CUSTOMER}"
            for command in ("claim list", "job list", "audit verify")
        ],
    )


def _provision(
    tell: render.Story, admin_dsn: str, store: FileSecretStore, slug: str, display_name: str
) -> Provisioned:
    begun = time.monotonic()
    done = provision(
        admin_dsn, slug, display_name=display_name, timezone="America/Santiago", currency="CLP", secrets=store
    )
    took_ms = (time.monotonic() - begun) * 1000
    tell.line("operator", f"gives {display_name} a database and a login of its own", f"{took_ms:.0f} ms")
    return done


def _empty_state(root: Path) -> Path:
    """A folder for the demo's data. What an earlier demo left is removed; anything else is never touched."""
    state = root / STATE_FOLDER
    made = [state / name for name in _MADE]
    if any(path.exists() for path in made) and not (state / MARK).exists():
        raise Refused(
            f"{state} holds an installation that the demo did not make",
            next_step="Move it away, or work with it instead.",
        )
    if postgres.exists(state / "postgres"):
        postgres.destroy(state / "postgres")
    for path in made:
        shutil.rmtree(path, ignore_errors=True)
    state.mkdir(mode=0o755, exist_ok=True)
    (state / MARK).write_text(
        "The demo made the folders postgres, secrets and ingest here, and removes them when it runs again.\n",
        encoding="utf-8",
    )
    return state


app = demo
