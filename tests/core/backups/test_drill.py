"""A drill says what it saw, fails over whatever is broken, and leaves nothing behind but its report."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from platform_cli.local import postgres
from platform_core.backups.canary import opens
from platform_core.settings import Secret
from tests.support.databases import Databases, TenantDatabase
from tests.support.vaults import Vault, a_vault, new_identity

SALT = "platform_core_test-salt-0123456789"
KEY = "k" * 64
WINDMILL = (
    "CREATE TABLE workspace (id text)",
    "CREATE TABLE script (path text, archived boolean)",
    "CREATE TABLE flow (path text, archived boolean)",
    "CREATE TABLE schedule (path text)",
    "CREATE TABLE variable (workspace_id text, path text, value text, is_secret boolean)",
    "CREATE TABLE workspace_key (workspace_id text, kind text, key text)",
    "INSERT INTO workspace VALUES ('prod')",
    f"INSERT INTO workspace_key VALUES ('prod', 'cloud', '{KEY}')",
)


def _sealed(text: str, salt: str) -> str:
    """As Windmill 1.743 keeps a secret."""
    turned = Cipher(
        algorithms.AES256(hashlib.sha256(f"{KEY}{salt}".encode()).digest()), modes.CBC(bytes(16))
    ).encryptor()
    padder = PKCS7(128).padder()
    padded = padder.update(text.encode()) + padder.finalize()
    return base64.b64encode(turned.update(padded) + turned.finalize()).decode()


@pytest.fixture(scope="module")
def customers(peopled: Databases) -> Iterator[list[TenantDatabase]]:
    """Two customers and a Windmill."""
    with peopled.tenant("acme") as acme, peopled.tenant("beta") as beta:
        admin = peopled.cluster.admin_dsn
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute("CREATE DATABASE windmill")
            connection.execute("REVOKE CONNECT, TEMPORARY ON DATABASE windmill FROM PUBLIC")
        with psycopg.connect(peopled.cluster.dsn("windmill"), autocommit=True) as connection:
            for statement in WINDMILL:
                connection.execute(statement.encode())
            connection.execute(
                "INSERT INTO variable VALUES ('prod', 'f/acme/token', %s, true)", (_sealed("öffne", SALT),)
            )
        try:
            yield [acme, beta]
        finally:
            with psycopg.connect(admin, autocommit=True) as connection:
                connection.execute("DROP DATABASE windmill")


@pytest.fixture(scope="module")
def copied(peopled_cluster: postgres.Cluster, customers: list[TenantDatabase]) -> Iterator[Vault]:
    """Their backup, up to this moment."""
    assert customers
    with a_vault(peopled_cluster) as vault:
        vault.run("now")
        yield vault


def _drilled(vault: Vault, *, ok: bool, identity: str = "") -> dict[str, Any]:
    said: dict[str, Any] = vault.say(
        "drill", stdin=f"{identity or vault.identity}\nWINDMILL_SALT={SALT}\n", check=0 if ok else 1
    )
    assert said == json.loads(vault.place.drill.read_text(encoding="utf-8"))
    assert said["ok"] is ok
    assert [path.name for path in vault.place.scratch.iterdir() if path.is_dir()] == []
    return said


def _failed(said: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["said"] for check in said["checks"] if not check["ok"]}


def test_a_good_copy_is_drilled(copied: Vault, customers: list[TenantDatabase]) -> None:
    """Each thing was looked at, and what was seen is said."""
    said = _drilled(copied, ok=True)
    seen = {check["name"]: check["said"] for check in said["checks"]}

    assert list(seen) == ["open", "recent", "counts", "lockdown", "isolation", "audit", "canary"]
    assert (said["copy"], said["took_s"] < 60) == (copied.place.list_copies()[0].name, True)
    assert all(f"{one.name}: audit_entries " in seen["counts"] for one in customers)
    assert "windmill: workspaces 1, scripts 0, flows 0, schedules 0, variables 1" in seen["counts"]
    assert seen["lockdown"] == "3 databases locked down"
    assert seen["isolation"] == "the login of acme is kept out of 5 databases and of 3 roles"
    assert seen["audit"].startswith("3 trails whole, ")
    assert seen["canary"] == "1 secrets of Windmill open"


def test_a_broken_copy_fails_the_drill_and_the_health(copied: Vault) -> None:
    """The report says which copy and why."""
    (copy,) = copied.place.list_copies()
    path = copied.place.sealed_copy(copy)
    whole = path.read_bytes()
    path.write_bytes(whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:])
    try:
        said = _drilled(copied, ok=False)
    finally:
        path.write_bytes(whole)

    reason = f"{path.name} is not what was written: its checksum is another one"
    assert (said["copy"], _failed(said)) == (copy.name, {"open": reason})
    assert "failed" in copied.run("healthy", check=1).stdout.decode()


def test_without_a_copy_the_drill_fails(peopled_cluster: postgres.Cluster) -> None:
    """Nothing to try is no success."""
    with a_vault(peopled_cluster) as vault:
        said = _drilled(vault, ok=False)

    assert (said["copy"], list(_failed(said))) == (None, ["open"])


def test_another_identity_fails_the_drill(copied: Vault) -> None:
    """It is said that the key is wrong, and not that the copy is."""
    said = _drilled(copied, ok=False, identity=new_identity())

    assert "This identity does not open" in _failed(said)["open"]


def test_what_is_wrong_inside_fails_one_check_each(
    peopled_cluster: postgres.Cluster, customers: list[TenantDatabase]
) -> None:
    """Too old, a login with too much, an edited trail, another salt; the rest is looked at as well."""
    acme, beta = customers
    with a_vault(peopled_cluster) as vault:
        vault.sql(f"GRANT CONNECT ON DATABASE {beta.name} TO {acme.login}")
        vault.sql("ALTER TABLE audit.head DISABLE TRIGGER ALL", beta.name)
        vault.sql("UPDATE audit.head SET seq = seq + 1", beta.name)
        other = _sealed("elsewhere", "another-platform_core_test-salt")
        vault.sql(f"INSERT INTO variable VALUES ('prod', 'f/beta/token', '{other}', true)", "windmill")
        vault.run("now")
        (path,) = vault.place.copies.glob("*.json")
        old = json.loads(path.read_text(encoding="utf-8")) | {"ended_at": "2026-01-01T00:00:00Z"}
        path.write_text(json.dumps(old), encoding="utf-8")
        try:
            said = _drilled(vault, ok=False)
        finally:
            vault.sql(f"REVOKE CONNECT ON DATABASE {beta.name} FROM {acme.login}")
            vault.sql("UPDATE audit.head SET seq = seq - 1", beta.name)
            vault.sql("ALTER TABLE audit.head ENABLE TRIGGER ALL", beta.name)
            vault.sql("DELETE FROM variable WHERE path = 'f/beta/token'", "windmill")

    failed = _failed(said)
    assert list(failed) == ["recent", "isolation", "audit", "canary"]
    assert "120 s are allowed" in failed["recent"]
    assert failed["isolation"].startswith(f"Not as provisioning left it: {acme.login}: databases")
    assert failed["audit"].startswith(f"The audit trail of {beta.name} is broken at entry ")
    assert failed["canary"].startswith("1 of 2 secrets do not open, such as prod:f/beta/token")


@pytest.mark.parametrize("text", ["", "a", "a text of many blocks, " * 20, "öffne"])
def test_a_secret_of_windmill_opens_with_both_keys(text: str) -> None:
    """The workspace's from the database, and the salt from elsewhere."""
    sealed = _sealed(text, SALT)

    assert opens(sealed, workspace_key=KEY, salt=Secret(SALT))
    assert not opens("no base64!", workspace_key=KEY, salt=Secret(SALT))


def test_a_secret_that_a_running_windmill_sealed_opens() -> None:
    """Read from the database of a server of version 1.743.0 that was told this salt."""
    of_workspace = "nopkXcAinTRltHgj" + "jjpoqpABdPXNDooY"
    sealed, salt = "eS4Ji8QtPAqyFsFNzaxDPA==", "not-a-real-salt-0123456789abcdef"

    assert opens(sealed, workspace_key=of_workspace, salt=Secret(salt))
    assert not opens(sealed, workspace_key=of_workspace, salt=Secret(salt[1:]))


def test_with_another_salt_no_sample_of_secrets_opens() -> None:
    """One of 250 does by chance, so a drill asks for all of them."""
    sealed = [_sealed(f"secret {number}", SALT) for number in range(20)]

    assert not all(opens(one, workspace_key=KEY, salt=Secret(f"{SALT}x")) for one in sealed)
