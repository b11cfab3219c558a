"""A host's door is not this installation's: who changes a secret is told how that door learns it."""

from __future__ import annotations

import json
import os
import time

import pytest
from psycopg.conninfo import make_conninfo

from tests.support.customers import Agency

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIjepcmFzJf12IESmfvspzJcP/2UR0LHJri8kVgaLkZo"
SECRET = "rdr_platform_core_test_0000000000000001"
A_DAY_S = 24 * 60 * 60


@pytest.fixture
def desk(agency: Agency) -> Agency:
    """A desk with a way to the database of the host prod, which it knows."""
    agency.dsn = make_conninfo(agency.cluster.admin_dsn, host="postgres", hostaddr="127.0.0.1")
    _know_prod(agency)
    return agency


def _know_prod(agency: Agency) -> None:
    agency.state.mkdir(parents=True, exist_ok=True)
    key, pinned = agency.state / "deploy", agency.state / "host.pub"
    key.write_text("not-a-real key\n")
    pinned.write_text(f"{KEY} root@vps\n")
    where = ("--address", "vps.invalid", "--identity", str(key), "--host-key", str(pinned))
    assert agency.say("host", "add", "prod", *where).code == 0


def test_each_change_of_a_webhooks_secret_names_the_line_that_tells_the_hosts_door(desk: Agency) -> None:
    """Set, replaced, ended: else the door refuses the new one, or goes on taking the old."""
    line = f"wmctl host door {desk.name} --host prod --admin-key FILE"
    assert desk.new().code == 0
    file = desk.state / "new"
    file.write_text(f"{SECRET}\n")
    rotate = ("secret", "rotate", "reader", "--customer", desk.name, "--endpoint", "feed")
    said = [
        desk.set_secret("reader_feed_secrets", f"rdr_platform_core_test_{2:016d}"),
        desk.say(*rotate, "--from", str(file)),
        desk.say(*rotate, "--end"),
    ]
    other = desk.set_secret("ycloud_api_key", "not-a-real-key-of-ycloud")

    assert [(one.code, one.err.count(line)) for one in said] == [(0, 1)] * 3, said
    assert "is set in this installation, its door" in said[0].err
    assert (other.code, line in other.err) == (0, False), other
    kept = json.loads((desk.state / "ingest" / f"{desk.name}.json").read_text())
    assert kept["database"]["host"] == "postgres"  # where the host's door finds it


def test_what_is_left_ends_with_the_hosts_door(desk: Agency) -> None:
    """After the webhooks that bring its secrets, since before them it has nothing of theirs."""
    left = json.loads(desk.new("--json", "--public-url", "https://hooks.example.org").out)["left"]
    lines = [
        f"wmctl secret set {desk.name} ycloud_status_secrets",
        f"wmctl host door {desk.name} --host prod",
    ]
    at = [next(number for number, one in enumerate(left) if line in one) for line in lines]

    assert at == sorted(at)


def test_without_a_host_or_with_a_database_of_this_machine_no_door_is_named(agency: Agency) -> None:
    """A host's door could not reach it."""
    alone = agency.new("--json")
    _know_prod(agency)
    again = agency.new("--json")
    said = agency.set_secret("reader_feed_secrets", SECRET)

    assert [one.code for one in (alone, again, said)] == [0, 0, 0]
    assert "host door" not in alone.out + again.out + said.err


def test_a_customers_secrets_are_listed_with_their_ages(agency: Agency) -> None:
    """In days since each was written; none for what is missing, and never a value."""
    assert agency.new(local=True).code == 0
    then = time.time() - 40 * A_DAY_S - 60
    os.utime(agency.state / "secrets/tenant" / agency.name / "reader_feed_secrets", (then, then))
    said = agency.say("secret", "list", agency.name, "--json", local=True)
    table = agency.say("secret", "list", agency.name, local=True)

    ages = {row["name"]: row["age_days"] for row in json.loads(said.out)}
    assert ages == {
        "database_password": 0,
        "panel_keys": None,
        "ycloud_api_key": None,
        "ycloud_inbound_secrets": None,
        "ycloud_status_secrets": None,
        "reader_feed_secrets": 40,
    }
    assert any(line.split()[:3] == ["reader_feed_secrets", "here", "40"] for line in table.out.splitlines())


def test_an_erased_customer_is_taken_from_the_hosts_door_too(desk: Agency) -> None:
    """Its file there holds the secrets of its webhooks: erasing ends with the line that removes it."""
    assert desk.new().code == 0
    said = desk.say("customer", "erase", desk.name, "--reason", "they asked", "--confirm", desk.name)

    assert said.code == 0, said.err
    assert f"wmctl host door {desk.name} --host prod --admin-key FILE --remove" in said.err
