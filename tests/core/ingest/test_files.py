"""Customers' files: what is refused of them, and that a running door follows them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from platform_core.errors import PlatformError
from platform_core.ingest.files import read_door
from tests.connectors.ycloud.deliveries import OTHER_SECRET, SECRET
from tests.support.databases import Databases, TenantDatabase
from tests.support.doors import whatsapp
from tests.support.doorstep import DoorProcess, door_process, tell, wait_for
from tests.support.knocking import genuine, knock

THIRD_SECRET = "whsec_platform_core_test_third"
GOOD: dict[str, Any] = {  # Any: tests spoil it in every way
    "customer": "acme",
    "database": {"host": "127.0.0.1", "port": 5432, "dbname": "d_acme"},
    "endpoints": [
        {"route": "acme/ycloud/inbound", "source": "ycloud", "endpoint": "inbound", "secrets": [SECRET]}
    ],
    "wake": {"path": "f/acme/job_runner_cron"},
}


def _file(folder: Path, content: object, *, name: str = "acme.json", mode: int = 0o600) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    path.chmod(mode)
    return path


def _with(**changes: object) -> dict[str, Any]:
    return {**json.loads(json.dumps(GOOD)), **changes}


def _endpoint(**changes: object) -> dict[str, Any]:
    return _with(endpoints=[{**GOOD["endpoints"][0], **changes}])


def test_a_good_file_is_read(folder: Path) -> None:
    """Whole."""
    found = read_door(_file(folder, GOOD))

    assert (found.customer, found.database.dbname, found.wake_path) == (
        "acme",
        "d_acme",
        "f/acme/job_runner_cron",
    )
    assert [(one.route, one.name, one.secrets) for one in found.endpoints] == [
        ("acme/ycloud/inbound", "inbound", (SECRET,))
    ]
    assert SECRET not in repr(found)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "EOF"),
        ("{", "EOF"),
        ("[]", "object"),
        (_with(customer="other"), "another customer"),
        (_with(more=1), "more"),
        (_with(endpoints=[]), "endpoints"),
        (_with(database={"host": "x", "port": "5432", "dbname": "d"}), "database.port"),
        (_with(wake={"path": "f/other/job_runner_cron"}), "wake.path"),
        (_with(wake={"path": "u/acme/x"}), "wake.path"),
        (_endpoint(secrets=[]), "secrets"),
        (_endpoint(secrets=["whsec_platform_core_test_changeme"]), "placeholder"),
        (_endpoint(secrets=[SECRET, SECRET, SECRET, SECRET]), "secrets"),
        (_endpoint(secrets=SECRET), "secrets"),
        (_endpoint(source="nobody"), "nobody"),
        (_endpoint(route="other/ycloud/inbound"), "route"),
        (_endpoint(route="acme/../x"), "route"),
        (_with(endpoints=[GOOD["endpoints"][0]] * 2), "twice"),
        (" " * 70_000, "larger"),
    ],
)
def test_what_is_wrong_is_named_with_its_file_and_no_secret(folder: Path, content: object, says: str) -> None:
    """Whoever wrote it finds the place."""
    with pytest.raises(PlatformError) as refused:
        read_door(_file(folder, content))

    assert says in refused.value.one_line()
    assert "acme.json" in refused.value.one_line() or says == "nobody"
    assert "whsec" not in refused.value.one_line().replace("(whsec_...)", "")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_may_read_is_refused(folder: Path, mode: int) -> None:
    """Its secrets are no secrets any more."""
    with pytest.raises(PlatformError, match="may be read by others"):
        read_door(_file(folder, GOOD, mode=mode))


@pytest.fixture
def posts(password: str, tenant_db: TenantDatabase, folder: Path) -> Callable[[DoorProcess, str], int]:
    """Posts a delivery signed by a secret; the status."""
    del password, folder
    count = iter(range(1000))

    def post(door: DoorProcess, secret: str) -> int:
        path = f"/api/r/{tenant_db.slug}/ycloud/inbound"
        answer = knock(door.port, genuine(path, whatsapp(f"evt_{next(count)}"), secret=secret))
        assert answer is not None
        return answer.status

    return post


def test_a_secret_is_replaced_without_a_restart_and_without_a_gap(
    password: str, tenant_db: TenantDatabase, folder: Path, posts: Callable[[DoorProcess, str], int]
) -> None:
    """Both hold while the provider's is changed; then the old one opens nothing."""
    tell(folder, tenant_db, SECRET)
    with door_process(folder, password) as door:
        first = (posts(door, SECRET), posts(door, OTHER_SECRET))
        tell(folder, tenant_db, OTHER_SECRET, SECRET)
        wait_for(lambda: posts(door, OTHER_SECRET) == 200)
        both = (posts(door, SECRET), posts(door, OTHER_SECRET))
        tell(folder, tenant_db, OTHER_SECRET)
        wait_for(lambda: posts(door, SECRET) == 401)
        last = posts(door, OTHER_SECRET)

    assert (first, both, last) == ((200, 401), (200, 200), 200)


@pytest.mark.parametrize("content", ["{", json.dumps({"customer": "x"}), "SECRET"])
def test_a_broken_file_leaves_the_last_good_one_in_force(
    password: str,
    tenant_db: TenantDatabase,
    folder: Path,
    posts: Callable[[DoorProcess, str], int],
    content: str,
) -> None:
    """And is said once, with its name, without what it holds."""
    path = tell(folder, tenant_db)
    with door_process(folder, password) as door:
        _file(folder, content.replace("SECRET", THIRD_SECRET), name=path.name)
        wait_for(lambda: door.said("door.file_refused"))
        status = posts(door, SECRET)
        tell_again = json.dumps(json.loads(json.dumps(content))) and tell(_emptied(folder, path), tenant_db)
        wait_for(lambda: len(door.said("door.file_loaded")) > 1)

    (line,) = door.said("door.file_refused")
    assert status == 200
    assert tell_again == path
    assert path.name in str(line["message"])
    assert THIRD_SECRET not in "".join(door.raw)


def _emptied(folder: Path, path: Path) -> Path:
    path.unlink()
    return folder


def test_customers_come_and_go_while_the_door_stands(
    password: str, databases: Databases, tenant_db: TenantDatabase, folder: Path
) -> None:
    """A new file is a new customer; a file that is gone is a customer that is gone: 404."""
    path = tell(folder, tenant_db)
    with databases.tenant() as second, door_process(folder, password) as door:
        here, there = (f"/api/r/{one.slug}/ycloud/inbound" for one in (tenant_db, second))

        def statuses() -> list[int]:
            answers = [knock(door.port, genuine(one, whatsapp("evt_x"))) for one in (here, there)]
            return [answer.status for answer in answers if answer]

        before = statuses()
        tell(folder, second)
        wait_for(lambda: statuses() == [200, 200])
        path.unlink()
        wait_for(lambda: statuses() == [404, 200])

    assert before == [200, 404]
    assert [line["tenant"] for line in door.said("door.customer_removed")] == [tenant_db.slug]
