"""An administrator at work: a desk reaches the database, makes a customer, and its jobs reach theirs."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from platform_cli.local.secret_store import FileSecretStore
from platform_cli.local.stage import database_resource
from platform_core.tenancy.provision import password_name
from platform_core.tenancy.registry import dsn_for, get_tenant, open_control
from tests.rehearsal import desk
from tests.rehearsal.scenarios.play import Play, require
from tests.rehearsal.windmill import Windmill
from tests.rehearsal.world import World

CUSTOMER = "einstein_kids"
PLAIN = "no encryption"


def first_customer(play: Play) -> None:
    """Through a tunnel, as the guide says; then a job opens its database and proves which one it is."""
    world, windmill = play.world, Windmill(play.world)
    desk.know(world)
    windmill.prepare()
    began = time.monotonic()
    desk.wmctl(world, "secret", "rotate", "database-superuser", "--host", desk.HOST)
    with play.watched() as count, _tunnel(world) as environment:
        wishes = ("--display-name", "Einstein Kids", "--timezone", "America/Lima", "--currency", "PEN")
        desk.wmctl(world, "tenant", "provision", CUSTOMER, *wishes, environment=environment)
        resource = _resource(environment)
    windmill.deploy("f/acme/database", "database.py")
    found = windmill.run("f/acme/database", database=resource)
    require(found == [resource["user"], resource["dbname"]], f"the job is in its own database: {found}")
    plain = windmill.run("f/acme/database", database={**resource, "sslmode": "disable"})
    require(PLAIN in str(plain), f"no job speaks to the database in plain: {plain}")
    play.unharmed(
        "First customer, by a tunnel from a desk; its job opens its database by TLS",
        "made, opened, proved",
        time.monotonic() - began,
        count,
    )


@contextmanager
def _tunnel(world: World) -> Iterator[Mapping[str, str]]:
    """What the line that `wmctl host tunnel` prints sets, until Ctrl-C."""
    port = _free_port()
    command = subprocess.Popen(
        [sys.executable, "-m", "platform_cli", "host", "tunnel", *desk.admin(world), "--port", str(port)],
        env={**os.environ, **desk.terminal(world)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        line = command.stdout.readline() if command.stdout else ""
        require(line.startswith("export PLATFORM_DATABASE_URL="), f"the tunnel stands: {line!r}")
        name, _, value = shlex.split(line)[1].partition("=")
        yield {name: value, "PLATFORM_STATE_DIR": str(world.folder / "installation")}
    finally:
        command.send_signal(signal.SIGINT)
        command.communicate(timeout=30)
    require(command.returncode == 0, f"Ctrl-C ends the tunnel in order: {command.returncode}")


def _resource(environment: Mapping[str, str]) -> dict[str, object]:
    """The customer's database as Windmill's resource has it, for workers: the port inside is another one."""
    dsn = environment["PLATFORM_DATABASE_URL"]
    with open_control(dsn, application="rehearsal") as control:
        tenant = get_tenant(control, CUSTOMER)
    kept = FileSecretStore(Path(environment["PLATFORM_STATE_DIR"]) / "secrets")
    password = kept.get(password_name(tenant.slug))
    require(password is not None, "the desk keeps the customer's password")
    made = dsn_for(dsn, dbname=tenant.database_name, user=tenant.login, password=str(password))
    require(conninfo_to_dict(made)["host"] == "postgres", "workers know the database by the same name")
    return {**database_resource(made), "port": 5432}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
