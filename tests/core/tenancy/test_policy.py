"""Policy files: what is refused, how it is said, and how versions come into force."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import time
from pathlib import Path
from threading import Barrier

import pytest
from psycopg import errors as pg
from pydantic import ValidationError

from platform_core import audit
from platform_core.errors import (
    ConfigurationError,
    InvalidPolicy,
    PermissionDenied,
    SchemaDrift,
    StateConflict,
    UnreadableFile,
)
from platform_core.tenancy.members import Role, list_members
from platform_core.tenancy.policy import (
    PURPOSES,
    SECTION_PURPOSES,
    Policy,
    current_policy,
    load_policy,
    store_policy,
)
from platform_core.values import Actor
from tests.support.databases import TenantDatabase
from tests.support.policies import policy_of

WMCTL = Actor("system", "wmctl")
ANA = Actor("user", "ana")
BRUNO = Actor("user", "bruno")


@pytest.fixture
def file(repository: Path) -> Path:
    """The policy that Einstein Kids runs under."""
    return repository / "customers/einstein_kids/config/policy.toml"


@pytest.fixture
def policy(tenant_db: TenantDatabase) -> Policy:
    """The same, for the customer of this test."""
    return policy_of(tenant_db)


def _changed(file: Path, tmp_path: Path, old: str, new: str) -> Path:
    text = file.read_text(encoding="utf-8")
    assert old in text
    changed = tmp_path / "policy.toml"
    changed.write_text(text.replace(old, new, 1), encoding="utf-8")
    return changed


def test_the_academys_policy_says_what_was_agreed(file: Path) -> None:
    """Limits, plan, members and currency as the customer decided them."""
    policy = load_policy(file)
    assert (policy.customer.slug, policy.customer.currency, policy.customer.timezone) == (
        "einstein_kids",
        "CLP",
        "America/Santiago",
    )
    assert policy.payments.second_approver_above_minor == 300_000
    assert [(step.step, step.offset_days, step.local_time) for step in policy.reminders.plan] == [
        ("D-3", -3, time(9)),
        ("D+1", 1, time(10)),
        ("D+5", 5, time(10)),
    ]
    assert policy.members == {"ana": "owner", "bruno": "ops", "carla": "ops", "diego": "viewer"}


def test_every_purpose_has_words_in_both_forms(file: Path) -> None:
    """Which form goes out is known only at send time, so both exist."""
    policy = load_policy(file)
    assert set(policy.texts) == set(policy.templates) == set(PURPOSES)


def test_a_policy_with_attendance_needs_its_words(file: Path) -> None:
    """A message that nobody wrote words for would stop in the outbox."""
    content = load_policy(file).model_dump(mode="json")
    del content["templates"]["attendance.apology"]

    with pytest.raises(ValidationError, match=r"templates lacks attendance\.apology, which"):
        Policy.model_validate(content)


@pytest.mark.parametrize("left_out", SECTION_PURPOSES)
def test_a_policy_without_a_section_needs_no_words_about_it(file: Path, left_out: str) -> None:
    """Customers who take none, and policies stored before there was any, stay in force."""
    content = load_policy(file).model_dump(mode="json")
    del content[left_out]
    for section in ("texts", "templates"):
        content[section] = {
            name: words for name, words in content[section].items() if name not in SECTION_PURPOSES[left_out]
        }

    assert getattr(Policy.model_validate(content), left_out) is None


REFUSED = {
    "bookings without words": (
        '"pupil.welcome" = "¡Le damos',
        '"claim.other" = "¡Le damos',
        "texts: has 'claim.other', which nothing sends",
    ),
    "two names of one class": (
        '"Clase de prueba Arte" = "Arte"',
        '"clase de prueba  ROBÓTICA" = "Arte"',
        "bookings.courses: names 'clase de prueba ROBÓTICA' twice",
    ),
    "a class that leads to no course": (
        '"Clase de prueba Arte" = "Arte"',
        '"Clase de prueba Arte" = " "',
        "bookings.courses.Clase de prueba Arte: string should have at least 1 character",
    ),
    "no question for the pupil": (
        'pupil_question = "Nombre del niño o niña"',
        'pupil_question = ""',
        "bookings.pupil_question: string should have at least 1 character",
    ),
    "attendance without words": (
        '"attendance.apology" = "Disculpe',
        '"claim.other" = "Disculpe',
        "texts: has 'claim.other', which nothing sends",
    ),
    "nobody could be late": (
        "absent_after_minutes = 40",
        "absent_after_minutes = 9",
        "attendance: absent_after_minutes is shorter than grace_minutes",
    ),
    "an absence that counts as attended": (
        'absent_unexcused = { rate = "missed"',
        'absent_unexcused = { rate = "attended"',
        "attendance.counts: says that an absence is attended",
    ),
    "a present that is missed": (
        'present = { rate = "attended" }',
        'present = { rate = "missed" }',
        "attendance.counts: says that present is something else than attended",
    ),
    "counts of no status": (
        'left_early = { rate = "attended" }',
        'asleep = { rate = "attended" }',
        "attendance.counts: lacks left_early",
    ),
    "unknown zone": ('"America/Santiago"', '"America/Macondo"', "customer.timezone: is not a time zone"),
    "unknown currency": ('"CLP"', '"XXX"', "customer.currency: is not a known currency"),
    "bad slug": (
        '"einstein_kids"',
        '"Einstein Kids"',
        "customer.slug: 'Einstein Kids' is not a customer name",
    ),
    "bad country": ('"CL"', '"Chile"', "customer.country: string should match"),
    "extra field": (
        "[payments]\n",
        "[payments]\nauto_approve = true\n",
        "payments.auto_approve is not a field",
    ),
    "extra section": ("[payments]\n", "[fees]\nx = 1\n[payments]\n", "fees is not a field"),
    "missing field": ("review_sla_hours = 24\n", "", "payments.review_sla_hours is missing"),
    "forgotten second approver": (
        "second_approver_above_minor = 300000\n",
        "",
        "payments.second_approver_above_minor is missing",
    ),
    "limit as text": (
        "= 300000",
        '= "300000"',
        "payments.second_approver_above_minor: input should be a valid int",
    ),
    "limit as fraction": (
        "= 300000",
        "= 300000.5",
        "payments.second_approver_above_minor: input should be a valid",
    ),
    "negative limit": ("= 300000", "= -1", "payments.second_approver_above_minor: input should be greater"),
    "boolean hours": (
        "review_sla_hours = 24",
        "review_sla_hours = true",
        "payments.review_sla_hours: input should",
    ),
    "a program as receipt": ('"image/jpeg"', '"application/x-sh"', "payments.accepted_mime_types: holds"),
    "type twice": ('"image/jpeg"', '"image/png"', "payments.accepted_mime_types: image/png is there twice"),
    "hour that is none": ('"09:00"', '"24:00"', "reminders.plan.0.local_time: is not a local time"),
    "hour with seconds": ('"09:00"', '"09:00:00"', "reminders.plan.0.local_time: is not a local time"),
    "hour with zone": ('"09:00"', '"09:00Z"', "reminders.plan.0.local_time: is not a local time"),
    "hour as number": ('"09:00"', "9", "reminders.plan.0.local_time: is not a local time"),
    "step twice": ('step = "D+5", offset_days = 5', 'step = "D+1", offset_days = 1', "D+1 is there twice"),
    "two at one moment": (
        'step = "D+5", offset_days = 5',
        'step = "again", offset_days = 1',
        "day 1 at 10:00 is there twice",
    ),
    "label against offset": ("offset_days = -3", "offset_days = 3", "contradict each other"),
    "reminder in the grace": (
        "grace_days = 0",
        "grace_days = 2",
        "the step D+1 falls into the 2 days of grace",
    ),
    "text missing": ('"claim.partial" = "', '"claim.parcial" = "', "texts: lacks claim.partial"),
    "text nobody sends": (
        '"reminder" = "',
        '"greeting" = "Hola"\n"reminder" = "',
        "texts: has 'greeting', which nothing sends",
    ),
    "empty text": (
        "¡Gracias! Recibimos su comprobante ({claim}). Lo revisamos y le avisamos por aquí.",
        "  ",
        "texts: claim.received has 0 characters",
    ),
    "unknown placeholder": (
        "{remaining}",
        "{saldo}",
        "texts: claim.partial uses 'saldo'; it may use amount, claim",
    ),
    "reach into a value": (
        "{remaining}",
        "{remaining.__class__}",
        "texts: claim.partial uses 'remaining.__class__'",
    ),
    "placeholder with format": ("{remaining}", "{remaining:>99999}", "with a format"),
    "nameless placeholder": ("{remaining}", "{}", "texts: claim.partial uses ''"),
    "lone brace": ("{remaining}", "{remaining", "texts: claim.partial has a lone brace"),
    "template missing": ('"reminder" = { name', '"other" = { name', "templates: lacks reminder"),
    "template parameter": ('["reason"]', '["motivo"]', "templates: receipt.unreadable uses 'motivo'"),
    "template name": (
        '"pago_parcial"',
        '"Pago Parcial"',
        "templates.claim.partial.name: string should match",
    ),
    "one template, two shapes": (
        '"pago_anulado"',
        '"comprobante_recibido"',
        "different numbers of parameters",
    ),
    "no owner": ('ana = "owner"', 'ana = "ops"', "members: names no owner"),
    "unknown role": ('ana = "owner"', 'ana = "boss"', "members.ana: input should be"),
    "support is no member": ('diego = "viewer"', 'diego = "support"', "members.diego: input should be"),
    "phone as handle": ('diego = "viewer"', '"+56900000001" = "viewer"', "members: a handle is 1 to 40"),
    "nobody to be second": (
        'bruno = "ops"\ncarla = "ops"',
        'bruno = "viewer"',
        "only one member is owner or ops",
    ),
    "window too long": (
        "window_hours = 24",
        "window_hours = 48",
        "messaging.window_hours: input should be less",
    ),
    "phone without plus": ('"+56900000000"', '"56900000000"', "messaging.sender_phone: string should match"),
    "not TOML": ("[payments]", "[payments", "is not TOML"),
    "key twice": ("grace_days = 0\n", "grace_days = 0\ngrace_days = 1\n", "is not TOML"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_impossible_policy_is_refused_naming_file_field_and_next_step(
    file: Path, tmp_path: Path, name: str
) -> None:
    """One line; the sender's number is never quoted."""
    old, new, expected = REFUSED[name]
    changed = _changed(file, tmp_path, old, new)

    with pytest.raises(InvalidPolicy) as refused:
        load_policy(changed)

    line = refused.value.one_line()
    assert str(changed) in line
    assert expected in line
    assert line.endswith("the policy in force was not touched.")
    assert "\n" not in line
    assert "5690000000" not in line


def test_several_problems_are_told_at_once(file: Path, tmp_path: Path) -> None:
    """The reader corrects the file once, not field by field."""
    text = (
        file.read_text(encoding="utf-8")
        .replace('"CLP"', '"XXX"')
        .replace("window_hours = 24", "window_hours = 0")
    )
    changed = tmp_path / "policy.toml"
    changed.write_text(text, encoding="utf-8")

    with pytest.raises(InvalidPolicy, match=r"customer\.currency.*; messaging\.window_hours"):
        load_policy(changed)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"\xff\xfe", "not UTF-8"), (b"", "customer is missing"), (b"#" * 300_000, "larger than")],
)
def test_a_file_that_is_no_policy_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    """Whatever its bytes."""
    path = tmp_path / "policy.toml"
    path.write_bytes(content)

    with pytest.raises(InvalidPolicy, match=reason):
        load_policy(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A missing file and a folder are both unreadable."""
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(UnreadableFile, match=str(path)):
            load_policy(path)


def test_a_policy_comes_back_as_it_was_stored(tenant_db: TenantDatabase, policy: Policy) -> None:
    """Storing it again changes nothing; a change is the next version."""
    with tenant_db.connect() as tx:
        assert store_policy(tx, policy, WMCTL) == 1
        assert store_policy(tx, policy, WMCTL) == 1
        assert current_policy(tx) == policy

        changed = policy.model_copy(
            update={"payments": policy.payments.model_copy(update={"review_sla_hours": 48})}
        )
        assert store_policy(tx, changed, WMCTL) == 2
        assert store_policy(tx, policy, WMCTL) == 3
        assert current_policy(tx) == policy
        stored = audit.list_entries(tx, action="policy.stored")

    assert [(entry.target, entry.detail["sections"]) for entry in stored] == [
        (("policy", "3"), ["payments"]),
        (("policy", "2"), ["payments"]),
        (("policy", "1"), sorted(Policy.model_fields)),
    ]


def test_a_customer_without_a_policy_is_told_how_to_get_one(tenant_db: TenantDatabase) -> None:
    """Nothing runs on defaults nobody decided."""
    with tenant_db.connect() as tx, pytest.raises(ConfigurationError) as refused:
        current_policy(tx)

    assert "wmctl policy apply" in refused.value.one_line()


def test_a_stored_policy_this_release_cannot_read_names_the_field(
    tenant_db: TenantDatabase, policy: Policy
) -> None:
    """An older version with another shape is a drift, not a crash."""
    with tenant_db.connect() as tx:
        store_policy(tx, policy, WMCTL)
    with tenant_db.admin() as admin:
        admin.execute("UPDATE tenancy.policy SET content = content #- '{payments,review_sla_hours}'")
    with (
        tenant_db.connect() as tx,
        pytest.raises(SchemaDrift, match=r"payments\.review_sla_hours is missing"),
    ):
        current_policy(tx)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tenancy.policy SET content = '{}'",
        "DELETE FROM tenancy.policy",
        "TRUNCATE tenancy.policy CASCADE",
        (
            "INSERT INTO tenancy.policy (version, content, sha256, stored_by, stored_at) "
            "VALUES (9, '{}', sha256(''), 'x', '2020-01-01')"
        ),
    ],
)
def test_a_stored_version_never_changes(tenant_db: TenantDatabase, policy: Policy, statement: str) -> None:
    """The customer's login may add versions and read them."""
    with tenant_db.connect() as connection:
        store_policy(connection, policy, WMCTL)
        with pytest.raises(pg.InsufficientPrivilege), connection.transaction():
            connection.execute(statement.encode())


@pytest.mark.parametrize(
    ("field", "value"), [("slug", "otra_academia"), ("timezone", "America/Lima"), ("currency", "PEN")]
)
def test_the_policy_of_another_customer_is_refused(
    tenant_db: TenantDatabase, policy: Policy, field: str, value: str
) -> None:
    """The database knows whose it is, and in which zone and currency it was provisioned."""
    other = policy.model_copy(update={"customer": policy.customer.model_copy(update={field: value})})
    with (
        tenant_db.connect() as tx,
        pytest.raises(InvalidPolicy, match=rf"customer\.{field} is {value}, .* that of {tenant_db.slug}"),
    ):
        store_policy(tx, other, WMCTL)


def test_only_an_owner_changes_the_policy(tenant_db: TenantDatabase, policy: Policy) -> None:
    """Ops works under the second-approver limit, so ops may not move it."""
    lower = policy.model_copy(
        update={"payments": policy.payments.model_copy(update={"second_approver_above_minor": 1})}
    )
    with tenant_db.connect() as tx:
        with pytest.raises(PermissionDenied):
            store_policy(tx, policy, BRUNO)
        store_policy(tx, policy, WMCTL)
        for actor in (BRUNO, Actor("contact", "ana"), Actor("user", "eve")):
            with pytest.raises(PermissionDenied):
                store_policy(tx, lower, actor)
        assert store_policy(tx, lower, ANA) == 2


def test_members_are_those_of_the_policy_in_force(tenant_db: TenantDatabase, policy: Policy) -> None:
    """Added, changed, removed and back again, each on record."""
    moved = policy.model_copy(
        update={"members": {"ana": Role.OPS, "carla": Role.OWNER, "elena": Role.VIEWER}}
    )
    with tenant_db.connect() as tx:
        store_policy(tx, policy, WMCTL)
        with tx.transaction():
            store_policy(tx, moved, ANA)
        assert [(m.handle, m.role, m.policy_version) for m in list_members(tx)] == [
            ("ana", "ops", 2),
            ("carla", "owner", 2),
            ("elena", "viewer", 2),
        ]
        with tx.transaction():
            store_policy(tx, policy, Actor("user", "carla"))
        assert {m.handle: m.role for m in list_members(tx)} == policy.members
        history = [
            (entry.action, entry.actor.id, entry.target[1], entry.detail["before"], entry.detail["after"])
            for entry in audit.list_entries(tx, target=("member", None))
            if entry.seq > 5
        ]

    assert sorted(history[:5]) == [
        ("member.added", "carla", "bruno", None, "ops"),
        ("member.added", "carla", "diego", None, "viewer"),
        ("member.removed", "carla", "elena", "viewer", None),
        ("member.role_changed", "carla", "ana", "ops", "owner"),
        ("member.role_changed", "carla", "carla", "owner", "ops"),
    ]
    assert len(history) == 10


def test_the_first_policy_may_be_stored_by_the_owner_it_names(
    tenant_db: TenantDatabase, policy: Policy
) -> None:
    """Nobody is a member before it; a contact of the same name is somebody else."""
    with tenant_db.connect() as tx:
        with pytest.raises(PermissionDenied):
            store_policy(tx, policy, Actor("contact", "ana"))
        assert store_policy(tx, policy, ANA) == 1


def test_of_two_who_store_at_once_one_is_told(tenant_db: TenantDatabase, policy: Policy) -> None:
    """Nobody's change is overwritten unseen."""
    start = Barrier(2)

    def store(hours: int) -> object:
        mine = policy.model_copy(
            update={"payments": policy.payments.model_copy(update={"review_sla_hours": hours})}
        )
        with tenant_db.connect() as connection:
            try:
                with connection.transaction():
                    current_policy(connection)
                    start.wait(timeout=20)
                    connection.execute("SELECT sha256('')")
                    return store_policy(connection, mine, WMCTL)
            except StateConflict as conflict:
                return conflict.code

    with tenant_db.connect() as connection:
        store_policy(connection, policy, WMCTL)
    outcomes = set()
    for _ in range(5):
        with ThreadPoolExecutor(2) as pool:
            outcomes |= {str(item) for item in pool.map(store, (30, 31))}
    with tenant_db.connect() as connection:
        versions = connection.execute("SELECT version FROM tenancy.policy ORDER BY version").fetchall()

    assert [version for (version,) in versions] == list(range(1, len(versions) + 1))
    assert outcomes <= {str(number) for number in range(1, 12)} | {"state_conflict"}
