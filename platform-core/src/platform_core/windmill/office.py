"""A customer's platform as a running Windmill job may see it, and what its arguments must be.

Windmill passes what it was given: a missing argument as None, a number where a text was meant. So every step
judges its arguments first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from platform_core.app import App, open_app
from platform_core.errors import ConfigurationError, InvalidInput
from platform_core.observability.logs import bind, configure
from platform_core.values import Actor
from platform_core.windmill.flows import WindmillFlows
from platform_core.windmill.resources import database_dsn, get_resource, job_identity

MAX_NUMBER = 3600


@dataclass(frozen=True, slots=True)
class Office:
    """The customer's platform, and who runs this job."""

    app: App
    via: str

    def now(self) -> datetime:
        """The instant this is done."""
        return self.app.clock.now()

    def member(self, handle: str) -> Actor:
        """The person staff say they are; the identity the job ran under stands beside it in the trail."""
        return Actor("user", handle.strip(), via=self.via)


@contextmanager
def open_office(customer: str, *, sends: bool = False) -> Iterator[Office]:
    """The customer's platform as this Windmill job may see it; only a job that sends reads the account."""
    identity = job_identity()
    if identity.path and not identity.path.startswith(f"f/{customer}/"):
        raise ConfigurationError(
            f"The job {identity.path} works for {customer}", next_step="Run it from that customer's folder."
        )
    configure("job")
    dsn = database_dsn(get_resource(f"f/{customer}/database"))
    account = get_resource(f"f/{customer}/ycloud") if sends else None
    with (
        bind(tenant=customer, request_id=identity.job_id),
        open_app(customer, dsn, connector_config=account, flows=WindmillFlows() if sends else None) as app,
    ):
        yield Office(app, f"windmill:{identity.username} as {identity.permissioned_as}"[:200])


def require_seconds(**fields: object) -> None:
    """Raises: InvalidInput naming the first field that is no number of seconds up to an hour."""
    for name, value in fields.items():
        if not isinstance(value, int) or not 1 <= value <= MAX_NUMBER:
            raise InvalidInput(
                f"{name} is no number of seconds", next_step=f"Write a whole number from 1 to {MAX_NUMBER}."
            )


def require_numbers(**fields: object) -> None:
    """Raises: InvalidInput naming the first field that is no count."""
    for name, value in fields.items():
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_NUMBER:
            raise InvalidInput(f"{name} is no number from 0 to {MAX_NUMBER}", next_step=f"Write {name} so.")


def require_text(**fields: object) -> None:
    """Raises: InvalidInput naming the first field that is empty or no text."""
    for name, value in fields.items():
        if not isinstance(value, str) or not value.strip():
            raise InvalidInput(f"{name} is missing or is not text", next_step=f"Write {name} as text.")
