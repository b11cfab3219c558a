"""The whole matrix of who may do what, and that a denial is never lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from psycopg import errors as pg

from platform_core import audit
from platform_core.db import Tx
from platform_core.errors import PermissionDenied, Refused
from platform_core.tenancy.members import (
    PERMISSIONS,
    Permission,
    Role,
    denials_recorded,
    list_members,
    require,
    set_members,
)
from platform_core.tenancy.policy import store_policy
from platform_core.values import Actor
from tests.support.databases import TenantDatabase
from tests.support.policies import policy_of

WMCTL = Actor("system", "wmctl")
BRUNO = Actor("user", "bruno")
DIEGO = Actor("user", "diego")


@pytest.fixture
def tx(tenant_db: TenantDatabase) -> Iterator[Tx]:
    """The customer's login, with ana owner, bruno and carla ops, diego viewer."""
    with tenant_db.connect() as connection:
        store_policy(connection, policy_of(tenant_db), WMCTL)
        yield connection


ACTORS = {
    "ana": Actor("user", "ana"),
    "bruno": BRUNO,
    "diego": DIEGO,
    "eve": Actor("user", "eve"),
    "contact ana": Actor("contact", "ana", "owner"),
    "system": Actor("system", "ana", "owner"),
    "support": Actor("support", "ana", "owner"),
    "pretender": Actor("user", "diego", "owner"),
}
MATRIX = """
                 ana  bruno  diego  eve  contact ana  system  support  pretender
claim.decide     yes  yes    no     no   no           no      no       no
claim.reverse    yes  yes    no     no   no           no      no       no
attendance.decide  yes  yes    no     no   no           no      no       no
job.redrive      yes  yes    no     no   no           no      yes      no
alert.acknowledge  yes  yes    no     no   no           no      yes      no
policy.change    yes  no     no     no   no           no      no       no
member.change    yes  no     no     no   no           no      no       no
audit.read       yes  yes    no     no   no           no      yes      no
panel.link       yes  no     no     no   no           no      yes      no
view             yes  yes    yes    no   no           no      yes      yes
"""
CELLS = [
    (permission, who, answer == "yes")
    for line in MATRIX.strip().splitlines()[1:]
    for permission, *answers in [line.split()]
    for who, answer in zip(ACTORS, answers, strict=True)
]


@pytest.mark.parametrize("permission", Permission)
def test_each_cell_of_the_matrix_holds(tx: Tx, permission: Permission) -> None:
    """The role is the one the database knows, whatever the actor claims."""
    expected = {who: allowed for named, who, allowed in CELLS if named == permission}
    found = {}
    for who, actor in ACTORS.items():
        try:
            found[who] = require(tx, actor, permission).role in set(Role)
        except PermissionDenied as denied:
            found[who] = denied.http_status != 403 or "Ask one of: owner" not in denied.one_line()

    assert found == expected


def test_the_matrix_has_every_permission_and_every_role() -> None:
    """A new one without a decided answer fails here."""
    assert {Permission(cell[0]) for cell in CELLS} == set(Permission)
    assert set(PERMISSIONS) == set(Role)


def test_the_actor_comes_back_under_the_role_found(tx: Tx) -> None:
    """That is what the trail should say they acted under."""
    assert require(tx, BRUNO, Permission.CLAIM_DECIDE) == Actor("user", "bruno", "ops")


def _denials(tx: Tx) -> list[tuple[str, str, str, str]]:
    return [
        (entry.actor.id, entry.actor.role, entry.target[1], entry.result)
        for entry in audit.list_entries(tx, action="permission.denied")
    ]


def test_a_denial_outlives_the_transaction_it_stopped(tx: Tx) -> None:
    """Rolled back with the act, then written in a transaction of its own, once."""

    def approve() -> None:
        with denials_recorded(tx), tx.transaction():
            audit.record(tx, "claim.approved", DIEGO, ("claim", "C1"))
            require(tx, DIEGO, Permission.CLAIM_DECIDE)

    with pytest.raises(PermissionDenied):
        approve()

    assert _denials(tx) == [("diego", "viewer", "claim.decide", "denied")]
    assert audit.list_entries(tx, action="claim.approved") == []
    assert isinstance(audit.verify(tx), audit.Verified)


def test_a_denial_the_caller_survives_is_kept_once(tx: Tx) -> None:
    """A page that shows less to those who may less still leaves its mark."""
    with denials_recorded(tx), tx.transaction(), pytest.raises(PermissionDenied):
        require(tx, DIEGO, Permission.AUDIT_READ)

    assert _denials(tx) == [("diego", "viewer", "audit.read", "denied")]


def test_other_failures_pass_the_recorder_untouched(tx: Tx) -> None:
    """Only a denial of `require` is a denial."""
    for failure in (ValueError("x"), PermissionDenied("elsewhere")):
        with pytest.raises(type(failure)), denials_recorded(tx), tx.transaction():
            raise failure

    assert _denials(tx) == []


@pytest.mark.parametrize(
    "claimed", ["+56900000001", "Ana Pérez", "x" * 5000, "", "a\x00b", "\n", "😀", "' OR 1=1"]
)
def test_whatever_a_stranger_calls_themselves_is_neither_said_nor_kept(tx: Tx, claimed: str) -> None:
    """A phone number typed as a name reaches neither the error nor the trail."""
    with pytest.raises(PermissionDenied) as denied:
        require(tx, Actor("user", claimed, claimed), Permission.VIEW)

    assert denied.value.message == "somebody, who is not a member here, may not look at this customer"
    assert _denials(tx) == [("somebody", "", "view", "denied")]


def test_the_last_owner_cannot_be_removed(tx: Tx) -> None:
    """Neither by the verb nor behind its back; nobody's role moved."""
    before = list_members(tx)
    with pytest.raises(Refused, match="The last owner cannot be removed"):
        set_members(tx, {"ana": Role.OPS, "bruno": Role.OPS}, policy_version=1, actor=WMCTL)
    for statement in (
        b"UPDATE tenancy.member SET role = 'ops' WHERE handle = 'ana'",
        b"UPDATE tenancy.member SET removed_at = now() WHERE handle = 'ana'",
    ):
        with pytest.raises(pg.CheckViolation, match="last owner"):
            tx.execute(statement)

    assert list_members(tx) == before


def test_ownership_passes_on_in_one_transaction_in_any_order(tx: Tx) -> None:
    """The rule looks at the end of the transaction, not at each statement."""
    with tx.transaction():
        tx.execute("UPDATE tenancy.member SET role = 'ops' WHERE handle = 'ana'")
        tx.execute("UPDATE tenancy.member SET role = 'owner' WHERE handle = 'bruno'")

    assert {m.handle: m.role for m in list_members(tx)}["bruno"] is Role.OWNER


def test_a_removed_member_may_nothing(tx: Tx) -> None:
    """At once, and without the row being lost."""
    set_members(tx, {"ana": Role.OWNER}, policy_version=1, actor=WMCTL)
    with pytest.raises(PermissionDenied, match="bruno, who is not a member here"):
        require(tx, BRUNO, Permission.VIEW)

    row = tx.execute(
        "SELECT role, removed_at IS NOT NULL FROM tenancy.member WHERE handle = 'bruno'"
    ).fetchone()
    assert row == ("ops", True)
    with pytest.raises(pg.InsufficientPrivilege):
        tx.execute("DELETE FROM tenancy.member")
