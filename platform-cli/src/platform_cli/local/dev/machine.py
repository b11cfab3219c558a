"""One customer at work until somebody ends it: database, scripts, schedules, door and stand-ins.

The order of ending is the order of beginning backwards, also when a part refuses to begin.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from platform_cli.local import postgres
from platform_cli.local.dev.door import open_door
from platform_cli.local.dev.happenings import Happenings
from platform_cli.local.dev.place import Place, Running, claimed
from platform_cli.local.secret_store import FileSecretStore
from platform_cli.local.stage import Stage, set_stage
from platform_cli.local.windmill import jsonb
from platform_cli.local.windmill.flows.state import prepare_database
from platform_cli.local.windmill.processes import Mode
from platform_cli.local.windmill.results import JobResult
from platform_cli.local.windmill.runtime import Trigger
from platform_cli.local.windmill.schedules.agenda import Tick
from platform_cli.local.windmill.schedules.scheduler import Scheduler
from platform_cli.local.ycloud_standin import ReportPlan
from platform_cli.panel_keys import set_address
from platform_cli.site import Site, door_folder
from platform_core.errors import NotFound, PlatformError
from platform_core.settings import Settings
from platform_core.tenancy.cluster import migrate_tenant, prepare_cluster
from platform_core.tenancy.door import prepare_door
from platform_core.tenancy.members import Role
from platform_core.tenancy.policy import Policy, load_policy
from platform_core.tenancy.provision import provision
from platform_core.values import Clock, SystemClock, parse_tenant_slug

REPORTS = ("sent", "delivered", "read")
"""What the stand-in reports of each message it took, as a parent with the phone in hand brings about."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to start: whose folder, where the state is, how scripts are started."""

    root: Path
    state: Path
    settings: Settings
    customer: str
    mode: Mode = "warm"


@dataclass(slots=True)
class Machine:
    """A customer at work. `ending` is set when somebody wants it to end."""

    stage: Stage
    scheduler: Scheduler
    happenings: Happenings
    clock: Clock
    door_url: str
    place: Place
    ending: threading.Event = field(default_factory=threading.Event)

    def running(self, control_url: str, token: str) -> Running:
        """How other terminals find it."""
        return Running(
            pid=os.getpid(),
            customer=self.stage.customer,
            control_url=control_url,
            windmill_url=self.stage.runtime.base_url,
            door_url=self.door_url,
            phones_url=self.stage.ycloud.phones_url,
            token=token,
        )


@contextmanager
def started(wanted: Wanted, happenings: Happenings, progress: Callable[[str], None]) -> Iterator[Machine]:
    """Bring the customer to work; everything ends with the block, and its data stays.

    Raises: NotFound for a customer without a folder, and the PlatformError of whatever part refuses.
    """
    folder = _customer_folder(wanted)
    policy = load_policy(folder / "config" / "policy.toml")
    clock = SystemClock()
    with ExitStack() as stack:
        place = stack.enter_context(claimed(wanted.state))
        admin_dsn = _database(wanted, place, happenings, stack, progress)
        dsn = _provisioned(wanted, policy, admin_dsn, progress)
        progress("starting scripts, schedules and YCloud")
        stage = stack.enter_context(
            set_stage(
                wanted.root / "customers",
                wanted.customer,
                dsn,
                owner=_owner(policy),
                mode=wanted.mode,
                on_start=happenings.started,
                on_end=happenings.ended,
                door_folder=door_folder(wanted.settings, wanted.state),
                follow=True,
                state_dsn=prepare_database(admin_dsn),
            )
        )
        stage.runtime.warm_up()
        _open_panel(wanted, stage, admin_dsn)
        stage.ycloud.report_plan = ReportPlan(statuses=REPORTS)
        progress("opening the door")
        door_url = stack.enter_context(open_door(wanted.state / "door.log", _door_environment(wanted, stage)))
        stage.ycloud.move_endpoints(door_url)
        scheduler = _scheduler(stage, happenings, clock)
        scheduler.start()
        stack.callback(scheduler.join)
        stack.callback(stage.runtime.close)  # runs under way end now, and with them what waits for them
        stack.callback(scheduler.close)
        yield Machine(stage, scheduler, happenings, clock, door_url, place)


def _customer_folder(wanted: Wanted) -> Path:
    customers = wanted.root / "customers"
    folder = customers / parse_tenant_slug(wanted.customer)
    if not folder.is_dir():
        known = sorted(one.name for one in customers.iterdir() if one.is_dir() and one.name[0] not in "_.")
        raise NotFound(
            f"There is no customer {wanted.customer} in customers/",
            next_step=f"Known: {', '.join(known) or 'none'}.",
        )
    return folder


def _database(
    wanted: Wanted,
    place: Place,
    happenings: Happenings,
    stack: ExitStack,
    progress: Callable[[str], None],
) -> str:
    """The administrator's connection: the server of the settings, or the embedded one, started if need be."""
    if wanted.settings.database_url is not None:
        return wanted.settings.database_url.reveal()
    progress("starting PostgreSQL")
    folder = wanted.state / "postgres"
    was_up = not postgres.start(folder)
    if place.left_behind is not None:
        happenings.note(
            f"The wmctl dev before this one (pid {place.left_behind.pid}) was killed"
            + ("; its PostgreSQL was still running and is taken over." if was_up else ".")
        )
    if not was_up or place.left_behind is not None:
        stack.callback(postgres.stop, folder)
    return postgres.cluster_in(folder).admin_dsn


def _provisioned(wanted: Wanted, policy: Policy, admin_dsn: str, progress: Callable[[str], None]) -> str:
    """How the customer's own login connects; its database is made, or brought up to this code."""
    store = FileSecretStore(wanted.state / "secrets")
    progress("preparing PostgreSQL for customers")
    prepare_cluster(admin_dsn, progress=progress)
    prepare_door(admin_dsn, store)
    who = policy.customer
    done = provision(
        admin_dsn,
        wanted.customer,
        display_name=who.display_name,
        timezone=who.timezone,
        currency=who.currency,
        secrets=store,
    )
    if not done.created:
        progress("bringing the customer's database up to this code")
        migrate_tenant(admin_dsn, done.tenant)
    return done.dsn


def _open_panel(wanted: Wanted, stage: Stage, admin_dsn: str) -> None:
    """The panel at this runtime's address, which is another one at each start; its keys stay."""
    site = Site(
        wanted.root, wanted.state, admin_dsn, FileSecretStore(wanted.state / "secrets"), wanted.settings
    )
    tenant = site.tenant(stage.customer)
    set_address(site, tenant, f"{stage.runtime.base_url}/api/r/{stage.customer}/panel")
    stage.runtime.give(f"f/{stage.customer}/panel", site.account(tenant, "panel"))


def _owner(policy: Policy) -> str:
    return next(handle for handle, role in policy.members.items() if role == Role.OWNER)


def _door_environment(wanted: Wanted, stage: Stage) -> dict[str, str]:
    """The door's Windmill is ours; its token may run this customer's items and nothing else."""
    settings = wanted.settings
    database = (
        {} if settings.database_url is None else {"PLATFORM_DATABASE_URL": settings.database_url.reveal()}
    )
    return {
        **database,
        "PATH": os.defpath,
        "LC_CTYPE": "C.UTF-8",
        "PLATFORM_LOG_LEVEL": settings.log_level,
        "PLATFORM_STATE_DIR": str(wanted.state),
        "PLATFORM_INGEST_FOLDER": str(door_folder(wanted.settings, wanted.state)),
        "PLATFORM_INGEST_WINDMILL_URL": stage.runtime.base_url,
        "PLATFORM_INGEST_WINDMILL_WORKSPACE": stage.runtime.workspace,
        "PLATFORM_INGEST_WINDMILL_TOKEN": stage.runtime.token_for(stage.customer),
    }


def _scheduler(stage: Stage, happenings: Happenings, clock: Clock) -> Scheduler:
    runtime, own = stage.runtime, f"f/{stage.customer}/"

    def run(tick: Tick) -> JobResult:
        schedule = tick.schedule
        trigger = Trigger("schedule", schedule.path, tick.scheduled_for)
        arguments = {name: jsonb.to_python(jsonb.to_text(value)) for name, value in schedule.args.items()}
        if schedule.is_flow:
            return runtime.run_flow(schedule.script_path, arguments, trigger=trigger)
        return runtime.run_script(schedule.script_path, arguments, trigger=trigger)

    def failed(tick: Tick, error: PlatformError) -> None:
        happenings.note(f"{tick.schedule.path}: {error.one_line()}", is_trouble=True)

    return Scheduler(
        lambda: [one for one in runtime.schedules if one.path.startswith(own)],
        run,
        clock,
        skipped=lambda tick: happenings.note(
            f"{tick.schedule.path}: an earlier run goes on; this one is skipped"
        ),
        failed=failed,
    )
