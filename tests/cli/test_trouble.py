"""What wmctl says when something it needs is not as it should be. Each trouble has a test of its own name."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from platform_cli.local.postgres import Cluster
from platform_cli.local.secret_store import FileSecretStore
from platform_core.tenancy.provision import password_name
from tests.support.disks import FULL, SmallDisk, full_table
from tests.support.offices import PHONE, Office, open_office
from tests.support.wmctl import Said, Terminal, content_of

SLUG = "academia_acme"
OPEN_CLAIM = ("claim", "open", "--as", "bruno", "--phone", PHONE, "--amount", "45000", "-c", SLUG)
NOBODY = 65_534


@pytest.fixture
def acme(installation: Cluster, tmp_path: Path) -> Iterator[Office]:
    """A customer that a test may break. It is gone afterwards."""
    made = open_office(installation, tmp_path / "state", SLUG)
    yield made
    with psycopg.connect(installation.dsn("platform_control"), autocommit=True) as admin:
        name, login = made.made.tenant.database_name, made.made.tenant.login
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(login)))
        admin.execute("DELETE FROM control.tenant_login WHERE login = %s", (login,))
        admin.execute("DELETE FROM control.tenant WHERE slug = %s", (SLUG,))


@pytest.fixture
def small_disk() -> Iterator[SmallDisk]:
    """A file system of 24 MB that the server can reach; only root may mount one."""
    folder = Path(tempfile.mkdtemp(prefix="small-", dir="/var/tmp"))
    folder.chmod(0o755)
    disk = SmallDisk(folder / "disk", size_mb=24)
    if not disk.mount():
        shutil.rmtree(folder)
        pytest.skip("this user may not mount a small disk; the /dev/full tests ask the same of everybody")
    yield disk
    disk.unmount()
    shutil.rmtree(folder)


def _refused(said: Said, code: int, *words: str) -> None:
    """One line on stderr with these words, nothing on stdout, nothing of the inside."""
    assert (said.code, said.out, len(said.lines)) == (code, "", 1), said
    assert not [word for word in words if word not in said.err], said.err
    assert "Traceback" not in said.err
    assert "password=" not in said.err


# --- The customer -----------------------------------------------------------------------------------------


def test_an_unknown_customer_is_named_beside_the_one_that_was_meant(acme: Office) -> None:
    """In a process of its own, as a person meets it."""
    said = acme.terminal.run("claim", "list", "--customer", "academia_acne")

    _refused(said, 3, f"There is no customer 'academia_acne'. Did you mean {SLUG}?")


def test_a_suspended_customer_is_closed_until_it_is_resumed(acme: Office) -> None:
    """The customer is named, not its opaque database; the next step opens it again."""
    acme.say("tenant", "suspend", SLUG, "--reason", "unpaid")

    said = acme.terminal.say("claim", "list", "-c", SLUG)
    acme.say("tenant", "resume", SLUG, "--reason", "paid")

    _refused(said, 5, f"The customer {SLUG} is suspended", "`wmctl tenant resume`")
    acme.say("claim", "list", "-c", SLUG)


def test_a_closed_database_refuses_and_works_when_it_is_open_again(acme: Office) -> None:
    """As during a restore: the registry knows nothing of it."""
    _allow_connections(acme, "false")

    said = acme.terminal.say(*OPEN_CLAIM)
    _allow_connections(acme, "true")

    _refused(said, 5, "accepts no connections", "`wmctl tenant list`")
    acme.say(*OPEN_CLAIM)


def test_a_database_that_is_gone_says_so(acme: Office) -> None:
    """Somebody dropped it behind our back."""
    name = acme.made.tenant.database_name
    with psycopg.connect(acme.cluster.admin_dsn, autocommit=True) as admin:
        admin.execute(sql.SQL("ALTER DATABASE {} RENAME TO gone").format(sql.Identifier(name)))
        said = acme.terminal.say("claim", "list", "-c", SLUG)
        admin.execute(sql.SQL("ALTER DATABASE gone RENAME TO {}").format(sql.Identifier(name)))

    _refused(said, 5, f"There is no database {name}", "Provision the customer first.")


# --- The server -------------------------------------------------------------------------------------------


def test_a_server_that_is_down_is_said_in_one_line(tmp_path: Path) -> None:
    """Nobody listens on the port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    terminal = Terminal(
        {
            "PLATFORM_DATABASE_URL": f"host=127.0.0.1 port={port} user=postgres password=not-a-real-one",
            "PLATFORM_STATE_DIR": str(tmp_path),
        }
    )

    said = terminal.say("claim", "list")

    _refused(said, 5, f"at 127.0.0.1:{port} does not answer", "Check that PostgreSQL runs")
    assert "not-the-real-one" not in said.err


@pytest.mark.parametrize(
    ("locked", "arguments"),
    [("control.tenant", ("tenant", "list")), ("payments.claim", ("claim", "list", "-c", SLUG))],
)
def test_a_server_that_goes_down_in_the_middle_is_said_in_one_line(
    acme: Office, locked: str, arguments: tuple[str, ...]
) -> None:
    """The session ends while a statement runs, on the control database and on the customer's."""
    dsn = acme.cluster.dsn("platform_control") if locked.startswith("control") else acme.admin_dsn
    said: list[Said] = []
    command = threading.Thread(target=lambda: said.append(acme.terminal.run(*arguments)))
    with psycopg.connect(dsn) as holder, psycopg.connect(dsn, autocommit=True) as admin:
        holder.execute(
            sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.Identifier(*locked.split(".")))
        )
        command.start()
        _end_waiting_session(admin)
        command.join()

    _refused(said[0], 5, "does not answer")


def test_a_lock_somebody_holds_for_too_long_is_said_in_one_line(acme: Office) -> None:
    """The lock timeout of five seconds ends the wait."""
    with psycopg.connect(acme.admin_dsn) as holder:
        holder.execute("LOCK TABLE payments.claim IN ACCESS EXCLUSIVE MODE")
        said = acme.terminal.say("claim", "list", "-c", SLUG)

    _refused(said, 5, "somebody else holds", "again")


# --- A full disk ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "arguments"),
    [
        ("payments.claim", OPEN_CLAIM),
        ("messaging.contact", OPEN_CLAIM),
        (
            "payments.obligation",
            ("obligation", "add", "--as", "ana", "--phone", PHONE, "--pupil", "Sofía", "--concept", "x",
             "--amount", "5000", "--due-on", "2031-12-05", "--reference", "r/1", "-c", SLUG),
        ),
        (
            "payments.reminder",
            ("obligation", "add", "--as", "ana", "--phone", PHONE, "--pupil", "Sofía", "--concept", "x",
             "--amount", "5000", "--due-on", "2031-12-05", "--reference", "r/1", "-c", SLUG),
        ),
    ],
)  # fmt: skip
def test_a_full_disk_refuses_the_whole_command_and_the_same_one_works_afterwards(
    acme: Office, table: str, arguments: tuple[str, ...]
) -> None:
    """Wherever in the command the space ends: at its first table or at its last."""
    before = content_of(acme.admin_dsn)
    with full_table(acme.cluster, acme.admin_dsn, table):
        said = acme.terminal.say(*arguments)

    _refused(said, 5, "has no space left on its disk", "Free space", "same command again")
    assert content_of(acme.admin_dsn) == before
    acme.say(*arguments)
    acme.say("audit", "verify", "-c", SLUG)


@pytest.mark.parametrize("at", ["the first row", "the connection"])
def test_a_really_full_disk_refuses_and_works_when_there_is_space(
    acme: Office, small_disk: SmallDisk, at: str
) -> None:
    """The customer's whole database lies on a small disk that somebody filled to the last byte.

    A session that finds no list of the catalogue writes one, and has no connection when it cannot. The server
    throws the list away by its own clock, with each look of autovacuum at the catalogue.
    """
    name = sql.Identifier(acme.made.tenant.database_name)
    with psycopg.connect(acme.cluster.admin_dsn, autocommit=True) as admin:
        place = sql.Literal(str(small_disk.room_for_server()))
        admin.execute(sql.SQL("CREATE TABLESPACE small LOCATION {}").format(place))
        admin.execute(sql.SQL("ALTER DATABASE {} SET TABLESPACE small").format(name))
        before = content_of(acme.admin_dsn)
        small_disk.fill()
        if at == "the connection":
            (listed,) = small_disk.folder.rglob("pg_internal.init")
            listed.unlink()
            small_disk.fill()
        said = acme.terminal.run(*OPEN_CLAIM)
        small_disk.free()
        after = content_of(acme.admin_dsn)
        again = acme.terminal.run(*OPEN_CLAIM)
        proven = acme.terminal.say("audit", "verify", "-c", SLUG)
        admin.execute(sql.SQL("ALTER DATABASE {} SET TABLESPACE pg_default").format(name))
        admin.execute("DROP TABLESPACE small")

    _refused(said, 5, "has no space left on its disk")
    assert after == before
    assert (again.code, again.lines) == (0, ["✓ C1 is pending_review."])
    assert proven.code == 0


def test_a_full_disk_under_the_secrets_leaves_a_customer_that_can_be_finished(
    installation: Cluster, small_disk: SmallDisk
) -> None:
    """The password could not be kept, so nobody may connect; the same command ends what it began."""
    environment = {
        "PLATFORM_DATABASE_URL": installation.admin_dsn,
        "PLATFORM_STATE_DIR": str(small_disk.folder / "state"),
    }
    provision = ("tenant", "provision", "colegio_nuevo", "--display-name", "Nuevo", "--timezone",
                 "America/Lima", "--currency", "PEN")  # fmt: skip
    small_disk.fill()

    said = Terminal(environment).say(*provision)
    unfinished = Terminal(environment).say("claim", "list", "-c", "colegio_nuevo")
    small_disk.free()
    again = Terminal(environment).say(*provision)

    _refused(said, 5, "disk that keeps secrets is full", "Free space")
    _refused(unfinished, 5, "colegio_nuevo is provisioning", "`wmctl tenant provision` again")
    assert (again.code, again.lines) == (0, ["✓ colegio_nuevo is ready."])


def test_a_full_disk_under_the_output_is_said(acme: Office) -> None:
    """`wmctl tenant list > file` on a disk without space."""
    with FULL.open("w") as full:
        process = acme.terminal.start("tenant", "list", out=full)
        _, err = process.communicate(timeout=60)

    assert (process.returncode, err) == (
        5,
        "wmctl: The output cannot be written: the disk is full. Free space there.\n",
    )


# --- A wrong secret ---------------------------------------------------------------------------------------


def test_a_wrong_password_in_the_secret_store_is_refused_and_can_be_repaired(acme: Office) -> None:
    """The password is never shown; provisioning again makes the login and the store agree."""
    FileSecretStore(acme.state / "secrets").put(password_name(acme.made.tenant.slug), "another-wrong-one-17")

    said = acme.terminal.say("claim", "list", "-c", SLUG)
    acme.say("tenant", "provision", SLUG, "--display-name", "Einstein Kids", "--timezone",
             "America/Santiago", "--currency", "CLP")  # fmt: skip

    _refused(said, 6, "refuses the password of this login")
    assert "another-wrong-one-17" not in said.err
    acme.say("claim", "list", "-c", SLUG)


def test_a_password_that_is_not_here_names_the_command_that_makes_one(acme: Office) -> None:
    """Such as an installation copied without its secrets."""
    _secret_file(acme).unlink()

    said = acme.terminal.say("claim", "list", "-c", SLUG)

    _refused(said, 6, f"The password of {SLUG} is not in this installation's secrets", "tenant provision")


def test_a_password_that_others_may_read_is_not_used(acme: Office) -> None:
    """It may be known by now."""
    _secret_file(acme).chmod(0o644)

    said = acme.terminal.say("claim", "list", "-c", SLUG)

    _refused(said, 6, "may be read by others", "chmod 600")


def test_the_administrators_wrong_password_is_refused(acme: Office) -> None:
    """In the variable; its value is never shown."""
    right = acme.cluster.admin_dsn
    wrong = right.replace(acme.cluster.password, "not-the-administrators-one")

    said = Terminal({**acme.terminal.environment, "PLATFORM_DATABASE_URL": wrong}).say("tenant", "list")

    _refused(said, 6, "refuses the password of this login")
    assert "not-the-administrators-one" not in said.err


def test_a_login_without_a_connection_left_says_so(acme: Office) -> None:
    """The customer's limit, not the server's."""
    with psycopg.connect(acme.cluster.admin_dsn, autocommit=True) as admin:
        login = sql.Identifier(acme.made.tenant.login)
        admin.execute(sql.SQL("ALTER ROLE {} CONNECTION LIMIT 0").format(login))

    said = acme.terminal.say("claim", "list", "-c", SLUG)

    _refused(said, 5, "has no connection left for this login")


# --- An unreadable file -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe\x00", "is not UTF-8 text (byte 0)"),
        (b"[customer", "is not TOML"),
        (b"", "customer is missing"),
        (b"# " + b"x" * 5_000_000, "is larger than"),
        (None, "cannot be read: Is a directory"),
    ],
)
def test_an_unreadable_file_is_named_with_the_reason(acme: Office, content: bytes | None, words: str) -> None:
    """A policy that is no policy changes nothing."""
    file = acme.state / "policy.toml"
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)

    said = acme.terminal.say("policy", "apply", SLUG, "--as", "ana", "--file", str(file))

    _refused(said, 2, str(file), words)


def test_an_unreadable_file_without_permission_is_named_with_the_reason(acme: Office) -> None:
    """Permission bits do not bind root, so root asks as somebody whom they bind."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp"))
    folder.chmod(0o755)
    file = Path(shutil.copy(acme.other_policy(), folder))
    file.chmod(0o000)
    terminal = Terminal({**acme.terminal.environment, "PLATFORM_STATE_DIR": str(folder)})
    arguments = ("policy", "apply", SLUG, "--as", "ana", "--file", str(file))
    is_root = os.geteuid() == 0
    if is_root:
        acme.terminal.say(
            "policy", "apply", SLUG, "--as", "ana", "--file", "nowhere"
        )  # imports what it needs
        os.seteuid(NOBODY)
    try:
        said = terminal.say(*arguments)
    finally:
        if is_root:
            os.seteuid(0)
        shutil.rmtree(folder)

    _refused(said, 2, str(file), "cannot be read: Permission denied", "Check the path and its permissions.")


def test_an_unreadable_secret_is_named_without_its_content(acme: Office) -> None:
    """A folder where a file should be."""
    _secret_file(acme).unlink()
    _secret_file(acme).mkdir()

    said = acme.terminal.say("claim", "list", "-c", SLUG)

    _refused(said, 2, f"The secret tenant/{SLUG}/database_password cannot be read: Is a directory")


# --- A reader that leaves ---------------------------------------------------------------------------------


def test_a_broken_pipe_is_no_error(acme: Office) -> None:
    """`wmctl job list --json | head -1`: the reader has seen enough, and nothing is said about it."""
    with acme.app() as app, app.tx() as tx:
        tx.execute(
            "SELECT jobs.enqueue('alert.raised', '{}', NULL, NULL, now() + interval '1 year', NULL)"
            " FROM generate_series(1, 900)"
        )

    with acme.terminal.start("job", "list", "--json", "--limit", "1000", "-c", SLUG) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.stdout.close()
        process.wait(60)
        assert process.stderr is not None
        said = process.stderr.read()

    assert (first, process.returncode, said) == ("{\n", 0, "")


def _allow_connections(office: Office, whether: str) -> None:
    with psycopg.connect(office.cluster.admin_dsn, autocommit=True) as admin:
        name = sql.Identifier(office.made.tenant.database_name)
        admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format(name, sql.SQL(whether)))


def _end_waiting_session(admin: psycopg.Connection) -> None:
    """End the one session that waits for a lock, as a server that is stopped ends it."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()"
        ).fetchall()
        if found:
            return
        admin.execute("SELECT pg_sleep(0.02)")
    raise AssertionError("nobody waits for the lock")


def _secret_file(office: Office) -> Path:
    return office.state / "secrets" / password_name(office.made.tenant.slug)
