"""`wmctl host tunnel` and `host door`: behind the `ssh` of the test stand the real program and a PostgreSQL.

The tests' PostgreSQL cannot speak TLS; that its certificate is proved is seen in the rehearsal.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from platform_cli.local import postgres
from platform_core.ingest.files import DatabaseFile, set_endpoint
from tests.support.bundles import PROGRAM
from tests.support.wmctl import Said, Terminal

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIjepcmFzJf12IESmfvspzJcP/2UR0LHJri8kVgaLkZo"
SECRET = "whsec_not-a-real_platform_core_test_1"
INSIDE = "172.18.0.5"
# With -N a port is led on to the tests' cluster; else the line is said to the program, as root's shell does.
SSH = """#!/bin/sh
set -e
printf '%s\\n' "$*" >>"{folder}/asked"
[ ! -e "{folder}/closed" ] || {{ echo 'ssh: connect to host vps.invalid: No route to host' >&2; exit 255; }}
for line in "$@"; do :; done
case "$*" in
    "-N "*) exec "{python}" "{folder}/lead.py" "$(printf '%s\\n' "$@" | grep '^127.0.0.1:')" ;;
esac
exec bash "{program}" --root "{folder}/host" ${{line#/opt/platform/bin/platform_host.sh }}
"""
LEAD = """
import socket, sys, threading
_, port, inside = sys.argv[1].split(":", 2)
assert inside == "{inside}:5432", inside
listening = socket.create_server(("127.0.0.1", int(port)))
def copy(one, other):
    while piece := one.recv(65536):
        other.sendall(piece)
    other.shutdown(socket.SHUT_WR)
while True:
    here, _ = listening.accept()
    there = socket.create_connection(("127.0.0.1", {port}))
    for pair in ((here, there), (there, here)):
        threading.Thread(target=copy, args=pair, daemon=True).start()
"""
DOCKER = """#!/bin/sh
case "$1" in
    ps) [ ! -e "{folder}/deployed" ] || echo postgres 0123456789ab ;;
    inspect) echo "{inside} " ;;
esac
"""


@dataclass(frozen=True)
class Desk:
    """A user's configuration, an installation's state, and an `ssh` that leads to a host in a folder."""

    folder: Path

    @property
    def terminal(self) -> Terminal:
        """Where `wmctl` is typed."""
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        return Terminal(
            {
                "XDG_CONFIG_HOME": str(self.folder / "config"),
                "PATH": path,
                "PLATFORM_INGEST_FOLDER": str(self.folder / "ingest"),
                "TMPDIR": str(self.folder / "tmp"),
            }
        )

    def say(self, *words: str) -> Said:
        """Run `wmctl host ...`."""
        return self.terminal.run("host", *words)


@pytest.fixture
def desk(tmp_path: Path, cluster: postgres.Cluster) -> Desk:
    """A desk that knows the host prod, on which a database runs whose administrator has a password."""
    for name in ("bin", "config", "tmp", "ingest", "host/state/runs", "host/secrets", "host/door"):
        (tmp_path / name).mkdir(parents=True)
    program = tmp_path / "platform_host.sh"
    program.write_bytes(PROGRAM)
    (tmp_path / "lead.py").write_text(LEAD.format(inside=INSIDE, port=cluster.port))
    for name, text in (("ssh", SSH), ("docker", DOCKER)):
        file = tmp_path / "bin" / name
        file.write_text(text.format(folder=tmp_path, program=program, python=sys.executable, inside=INSIDE))
        file.chmod(0o755)
    secrets = tmp_path / "host/secrets"
    (secrets / "ca").write_text("an authority\n")
    (secrets / "password").write_text(cluster.password)
    lines = (f"SECRET_DATABASE_CA={secrets}/ca", f"SECRET_DATABASE_SUPERUSER_PASSWORD={secrets}/password")
    (secrets / "secrets.env").write_text("\n".join(lines) + "\n")
    (tmp_path / "deployed").touch()
    (tmp_path / "deploy").write_text("not-a-real key\n")
    (tmp_path / "host.pub").write_text(f"{KEY} root@vps\n")
    made = Desk(tmp_path)
    identity, host_key = str(tmp_path / "deploy"), str(tmp_path / "host.pub")
    said = made.say("add", "prod", "--address", "vps.invalid", "--identity", identity, "--host-key", host_key)
    assert said.code == 0, said
    return made


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _printed(command: subprocess.Popen[str]) -> str:
    """The connection string of the line that a person copies."""
    assert command.stdout is not None
    line = command.stdout.readline()
    words = shlex.split(line)
    assert words[0] == "export", line
    return words[1].removeprefix("PLATFORM_DATABASE_URL=")


def _keep(desk: Desk, database: DatabaseFile) -> Path:
    """What the installation keeps for a door about acme."""
    folder = desk.folder / "ingest"
    _, file = set_endpoint(folder, "acme", database, source="ycloud", endpoint="inbound", secrets=[SECRET])
    return file


def test_a_tunnel_leads_to_the_hosts_database_until_ctrl_c(desk: Desk) -> None:
    """The name stays `postgres`, the password is in a file of this user's alone, and all of it ends."""
    port = _free_port()
    command = desk.terminal.start("host", "tunnel", "--port", str(port))
    try:
        dsn = _printed(command)
        facts = conninfo_to_dict(dsn)
        password, authority = Path(str(facts["passfile"])), Path(str(facts["sslrootcert"]))
        with psycopg.connect(make_conninfo(dsn, sslmode="disable")) as database:
            found = database.execute("SELECT current_user").fetchone()
        with pytest.raises(
            psycopg.OperationalError, match="server does not support SSL, but SSL was required"
        ):
            psycopg.connect(dsn)
        said = (authority.read_text(), password.stat().st_mode & 0o777)
    finally:
        command.send_signal(signal.SIGINT)
        _, err = command.communicate(timeout=30)

    names = ("host", "hostaddr", "port", "user", "sslmode")
    assert [facts[name] for name in names] == ["postgres", "127.0.0.1", str(port), "postgres", "verify-full"]
    assert (found, said, "password" in facts) == (("postgres",), ("an authority\n", 0o600), False)
    assert (command.returncode, password.exists(), list((desk.folder / "tmp").iterdir())) == (0, False, [])
    assert "until Ctrl-C" in err


def test_what_keeps_a_tunnel_from_standing_is_said_before_anything_is_asked(desk: Desk) -> None:
    """A port that is taken here; a host without a database, or whose administrator has no password."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        taken = desk.say("tunnel", "--port", str(holder.getsockname()[1]))
    asked = (desk.folder / "asked").exists()
    port = str(_free_port())
    (desk.folder / "host/secrets/password").unlink()
    without = desk.say("tunnel", "--port", port)
    (desk.folder / "deployed").unlink()
    bare = desk.say("tunnel", "--port", port)
    (desk.folder / "closed").touch()
    away = desk.say("tunnel", "--port", port)

    assert (taken.code, asked, "is taken" in taken.err) == (2, False, True)
    assert (without.code, "rotate database-superuser" in without.err) == (70, True)
    assert (bare.code, "deploy a release first" in bare.err) == (70, True)
    assert "No route to host" in away.err
    assert list((desk.folder / "tmp").iterdir()) == []


def test_the_door_of_a_host_gets_a_customers_file_whole(desk: Desk) -> None:
    """For its owner alone; a repeat replaces it; what leads to this machine's database is not sent."""
    database = DatabaseFile(host="postgres", port=5432, dbname="d_0123456789abcdef")
    file = _keep(desk, database)
    first, again = desk.say("door", "acme"), desk.say("door", "acme")
    there = desk.folder / "host/door/acme.json"
    mode = there.stat().st_mode & 0o777
    sent = json.loads(there.read_text())
    _keep(desk, database.model_copy(update={"host": "127.0.0.1"}))
    refused, unknown = desk.say("door", "acme"), desk.say("door", "other")

    assert (first.code, again.code, mode) == (0, 0, 0o600)
    assert sent["database"]["host"] == "postgres"
    assert sent["endpoints"][0]["secrets"] == [SECRET]
    assert [path.name for path in there.parent.iterdir()] == [file.name]
    assert SECRET not in first.out + first.err + (desk.folder / "asked").read_text()
    assert (refused.code, "a database of this machine" in refused.err) == (6, True)
    assert (unknown.code, "keeps nothing for a door about other" in unknown.err) == (2, True)
    assert "`wmctl secret set other ycloud_inbound_secrets`" in unknown.err
    audit = (desk.folder / "host/state/audit.jsonl").read_text().splitlines()
    assert [(json.loads(line)["event"], json.loads(line)["customer"]) for line in audit] == [
        ("door", "acme")
    ] * 2


def test_the_door_of_a_host_forgets_an_erased_customer(desk: Desk) -> None:
    """Also when this installation keeps nothing of it any more; what is gone may be removed again."""
    _keep(desk, DatabaseFile(host="postgres", port=5432, dbname="d_0123456789abcdef")).chmod(0o600)
    desk.say("door", "acme")
    (desk.folder / "ingest/acme.json").unlink()
    there = desk.folder / "host/door/acme.json"
    was = there.exists()
    removed, again = desk.say("door", "acme", "--remove"), desk.say("door", "acme", "--remove")
    wrong = desk.say("door", "../acme", "--remove")

    assert (was, there.exists(), removed.code, again.code) == (True, False, 0, 0), removed.err
    assert "knows acme no more" in removed.err
    assert (wrong.code, "../acme" in wrong.err) == (2, True), wrong.err
    audit = (desk.folder / "host/state/audit.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in audit] == ["door", "door_removed", "door_removed"]
