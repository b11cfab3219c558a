"""A customer running whole on this machine: database, scripts behind routes, YCloud and Calendly beyond them.

What a stage runs are the files of `customers/<name>`, started as Windmill starts them, each in a process of
its own. The demo, the journeys and the chaos tests all play on it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from platform_cli.local.calendly_standin import CalendlyStandIn
from platform_cli.local.reader import Reader
from platform_cli.local.windmill.processes import Mode
from platform_cli.local.windmill.results import JobResult
from platform_cli.local.windmill.runtime import JobEnded, JobStarted, Runtime, Trigger
from platform_cli.local.windmill.server import serving
from platform_cli.local.ycloud_standin import YCloudStandIn
from platform_core.app import App, open_app
from platform_core.ingest.files import DatabaseFile, set_endpoint
from platform_core.tenancy.policy import Policy, load_policy, store_policy
from platform_core.values import Actor

INBOUND_EVENTS = (
    "whatsapp.inbound_message.received",
    "whatsapp.user.preferences",
    "contact.unsubscribe.created",
    "contact.unsubscribe.deleted",
)
STATUS_EVENTS = ("whatsapp.message.updated",)
ANSWER_TIMEOUT_S = 1.5
"""How long our client waits for the stand-in: short, so that a timeout can be shown in a demo."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One customer at work. `dsn` is the customer's own login; `started` grows with each script's process."""

    customer: str
    dsn: str
    policy: Policy
    runtime: Runtime
    ycloud: YCloudStandIn
    calendly: CalendlyStandIn
    windmill_url: str
    reader_url: str
    reader_secret: str = field(repr=False)
    started: list[JobStarted]

    def app(self) -> App:
        """The customer's platform in this process, for looking and for office work; it cannot send."""
        return open_app(self.customer, self.dsn)

    def reader(self, name: str) -> Reader:
        """A reader at a door of this customer, with nothing seen yet."""
        return Reader(name, self.reader_url, self.reader_secret)

    def run(self, script: str, **arguments: object) -> JobResult:
        """Run one of the customer's scripts in its own process, as an operations engineer would."""
        return self.runtime.run_script(f"f/{self.customer}/{script}", arguments)

    def tick(self, *, seconds: int = 30, lease_s: int = 60) -> JobResult:
        """Cron's minute: start the job runner's script and wait for it."""
        schedule = Trigger("schedule", f"f/{self.customer}/job_runner")
        return self.runtime.run_script(
            f"f/{self.customer}/job_runner_cron", {"seconds": seconds, "lease_s": lease_s}, trigger=schedule
        )


@contextmanager
def set_stage(  # noqa: PLR0913 - each one is a choice of the caller, and most are by keyword
    customers: Path,
    customer: str,
    dsn: str,
    *,
    owner: str = "ana",
    mode: Mode = "warm",
    on_start: Callable[[JobStarted], None] | None = None,
    on_end: Callable[[JobEnded], None] | None = None,
    door_folder: Path | None = None,
    follow: bool = False,
    state_dsn: str = "",
) -> Iterator[Stage]:
    """Bring a provisioned customer to work: policy in force, routes served, YCloud and Calendly at them.

    With `door_folder` the always-on door finds the customer and its secrets there, then and afterwards. With
    `follow` a changed file of the customer's is used at the next request, and a broken one is refused alone.
    With `state_dsn`, a database for what they remember, its flows run too; without it the policy is in force
    without its review flow, which nobody could run.
    Everything stops at the end; the database stays. Raises: PlatformError of whatever part refuses.
    """
    policy = load_policy(customers / customer / "config" / "policy.toml")
    if not state_dsn:
        policy = policy.without_reviews()
    with open_app(customer, dsn) as app, app.tx() as tx:
        store_policy(tx, policy, Actor("user", owner))
    started: list[JobStarted] = []

    def note_start(job: JobStarted) -> None:
        started.append(job)
        if on_start is not None:
            on_start(job)

    hooks = _make_secrets()
    if door_folder is not None:
        _tell_door(door_folder, customer, dsn, hooks)
    with YCloudStandIn(sender_phone=policy.messaging.sender_phone) as ycloud, CalendlyStandIn() as calendly:
        for template in policy.templates.values():
            ycloud.add_template(template.name, template.language)
        resources: dict[str, object] = {
            f"f/{customer}/database": database_resource(dsn),
            f"f/{customer}/ycloud": {**ycloud.client_config(), "answer_timeout_s": ANSWER_TIMEOUT_S},
            **{
                f"f/{customer}/{source}_webhooks": {name: [secret] for name, secret in endpoints.items()}
                for source, endpoints in hooks.items()
            },
        }
        with (
            Runtime(
                customers,
                resources,
                mode=mode,
                on_start=note_start,
                on_end=on_end,
                follow=follow,
                state_dsn=state_dsn,
            ) as runtime,
            serving(runtime) as url,
        ):
            routes = f"{url}/api/r/{customer}"
            for name, events in (("inbound", INBOUND_EVENTS), ("status", STATUS_EVENTS)):
                ycloud.add_endpoint(f"{routes}/ycloud/{name}", events=events, secret=hooks["ycloud"][name])
            bookings_url = f"{routes}/calendly/bookings"
            calendly.subscribe(bookings_url, hooks["calendly"]["bookings"])
            runtime.give(f"f/{customer}/calendly", {**calendly.client_config(), "callback_url": bookings_url})
            feed = (f"{routes}/reader/feed", hooks["reader"]["feed"])
            yield Stage(customer, dsn, policy, runtime, ycloud, calendly, url, *feed, started)


def _make_secrets() -> dict[str, dict[str, str]]:
    """A secret of its own for each endpoint, by source and by the endpoint's name."""
    return {
        "ycloud": {name: f"whsec_{secrets.token_hex(16)}" for name in ("inbound", "status")},
        "reader": {"feed": f"rdr_{secrets.token_hex(16)}"},
        "calendly": {"bookings": secrets.token_hex(24)},
    }


def _tell_door(folder: Path, customer: str, dsn: str, hooks: Mapping[str, Mapping[str, str]]) -> None:
    facts = database_resource(dsn)
    database = DatabaseFile.model_validate({name: facts[name] for name in ("host", "port", "dbname")})
    for source, endpoints in hooks.items():
        for name, secret in endpoints.items():
            set_endpoint(folder, customer, database, source=source, endpoint=name, secrets=[secret])


def database_resource(dsn: str) -> dict[str, object]:
    """A connection string as the Windmill resource type `postgresql` holds it."""
    facts = conninfo_to_dict(dsn)
    return {
        "host": facts["host"],
        "port": int(str(facts.get("port") or 5432)),
        "user": facts["user"],
        "password": facts["password"],
        "dbname": facts["dbname"],
        "sslmode": facts.get("sslmode") or "prefer",
    }
