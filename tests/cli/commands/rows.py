"""Every command of wmctl with a line that works: what the table-driven tests start from.

A value that a thing must exist for is made anew by the office for each test.
"""

from __future__ import annotations

from collections.abc import Mapping

from platform_cli.local.secret_store import FileSecretStore
from platform_core.tenancy import door
from tests.cli.commands.row import Row
from tests.cli.commands.rows_of_customers import ROWS_OF_CUSTOMERS
from tests.cli.commands.rows_of_hosts import ROWS_OF_HOSTS
from tests.cli.commands.rows_of_instances import ROWS_OF_INSTANCES
from tests.cli.commands.rows_of_sync import ROWS_OF_SYNC
from tests.cli.commands.rows_of_targets import ROWS_OF_TARGETS
from tests.support.offices import PHONE, SLUG, Office


def _seen(office: Office) -> str:
    office.conflict()
    return SLUG


def _booked(office: Office) -> None:
    office.booking()


def _resume(office: Office) -> None:
    office.say("tenant", "resume", SLUG, "--reason", "the test is over")


def _suspended(office: Office) -> str:
    office.say("tenant", "suspend", SLUG, "--reason", "a test")
    return SLUG


def _drifted(office: Office) -> None:
    office.limit_connections(77)


def _told_door(office: Office) -> None:
    # The login is the server's: an office before this one may have made it, and kept its password.
    door.prepare_door(office.cluster.admin_dsn, FileSecretStore(office.state / "secrets"))
    office.say("ingest", "endpoint", SLUG, "inbound", "--secrets-from", office.webhook_secret())


def _provisioned_again(office: Office) -> None:
    office.say("tenant", "provision", SLUG, "--display-name", "Einstein Kids", "--timezone",
               "America/Santiago", "--currency", "CLP")  # fmt: skip


def _with_key(office: Office) -> str:
    office.panel_key()
    return SLUG


_DECISION = (
    "decision_id claim_id state version second_approver_needed allocations credit messages reminders "
    "decided_by decided_at already outcome"
)
_JOB = (
    "id state kind payload key entity lane trace attempt max_attempts created_at run_at ended_at cause "
    "reason errors"
)
_MESSAGE = (
    "id dedupe_key purpose contact_id values subject_type subject_id obligation_id state form external_id "
    "generation provider_message_id wamid error_code paused_code late_failure attempts queued_at sending_at "
    "accepted_at delivered_at read_at failed_at ambiguous_at suppressed_at cancelled_at"
)
_STORED = "result_id session_id version verdict created follow_ups"
_LOADED = "rows students enrolments sessions notes faults entered"
_NO_SHEET = (
    ({"file": "nowhere.csv"}, 2, "No such file"),
    ({"file": "customers"}, 2, "cannot be used"),
    ({"file": "README.md"}, 2, "is no column that is known"),
    ({"file": "platform-cli/src/platform_cli/local/pictures/comprobante_1.png"}, 2, "not UTF-8"),
    ({"as_": "diego"}, 4, "may not decide about attendance"),
)
_BOOKING = (
    "id source name email kind starts_at ends_at booked_at contact_id pupil course state canceled_at "
    "no_show_at decided_at decline_reason rescheduled_from rescheduled_to student"
)
_NO_BOOKING = (
    ({"booking": "B404"}, 3, "no booking B404"),
    ({"booking": "C1"}, 2, "is not the number of a booking"),
)
_MAY_NOT_DECIDE = (({"as_": "diego"}, 4, "may not decide about attendance"),)
_NO_CONNECTOR = (({"name": "nobody"}, 6, "No connector named 'nobody'"),)
_NO_NAME = (
    ({"name": "Acme Pay"}, 2, "is no name of a connector"),
    ({"name": "../../etc"}, 2, "is no name of a connector"),
    ({"name": "class"}, 2, "is no name of a connector"),
    ({"name": "signed"}, 2, "is no name of a connector"),
    ({"name": "calendly"}, 4, "calendly already"),
)
_WRONG_VERSION = ({"version": "-3"}, 2, "version")

ROWS: Mapping[str, Row] = {
    "tenant list": Row(
        {},
        "einstein_kids",
        "id slug display_name database_name login cluster state timezone currency schema_version",
    ),
    "tenant provision": Row(
        {
            "customer": SLUG,
            "display_name": "Einstein Kids",
            "timezone": "America/Santiago",
            "currency": "CLP",
        },
        "already_active",
        spoilt=(
            ({"customer": "Einstein Kids"}, 2, "'Einstein Kids' is not a customer name"),
            ({"customer": "../../etc"}, 2, "is not a customer name"),
            ({"customer": ""}, 2, "is not a customer name"),
            ({"timezone": "Chile"}, 2, "'Chile' is not a time zone"),
            ({"timezone": "../../etc/passwd"}, 2, "is not a time zone"),
            ({"currency": "BTC"}, 2, "'BTC' is not a known currency"),
            ({"display_name": ""}, 2, "display name"),
            ({"display_name": "Another"}, 4, "exists with another display_name"),
        ),
    ),
    "tenant suspend": Row(
        {"customer": SLUG, "reason": "a test"},
        "suspended",
        spoilt=(({"reason": " "}, 2, "without a reason"),),
        after=_resume,
    ),
    "tenant resume": Row(
        {"customer": _suspended, "reason": "paid"},
        "active",
        spoilt=(({"reason": ""}, 2, "without a reason"),),
        after=_resume,
    ),
    "tenant close": Row(
        {"customer": Office.doomed_customer, "reason": "contract ended"},
        "is closed",
        spoilt=(({"reason": ""}, 2, "without a reason"),),
    ),
    "tenant drift": Row(
        {}, "limit", "kind subject detail", code=4, before=_drifted, after=_provisioned_again
    ),
    "policy apply": Row(
        {"customer": SLUG, "as_": "ana", "file": Office.other_policy},
        "runs policy version",
        spoilt=(
            (
                {"customer": "colegio_vecino", "file": f"customers/{SLUG}/config/policy.toml"},
                2,
                "customer.slug",
            ),
            ({"customer": "../.."}, 3, "no customer '../..'"),
            ({"file": "customers"}, 2, "cannot be read"),
            ({"file": "nowhere.toml"}, 2, "No such file"),
            ({"file": "pyproject.toml"}, 2, "is missing"),
            ({"file": "README.md"}, 2, "is not TOML"),
            ({"file": "platform-cli/src/platform_cli/local/pictures/comprobante_1.png"}, 2, "not UTF-8"),
            ({"file": "/dev/null"}, 2, "is missing"),
        ),
    ),
    "policy show": Row(
        {}, SLUG, "customer members payments reminders messaging attendance bookings texts templates"
    ),
    "member list": Row({}, "diego", "handle role policy_version added_at"),
    "member add": Row(
        {"customer": SLUG, "person": "elena", "as_": "ana", "file": Office.policy_in_force},
        "elena is viewer",
        spoilt=(
            ({"person": "Elena"}, 2, "That is not a handle"),
            ({"person": "x" * 41}, 2, "is not a handle"),
            ({"person": "+56911112222"}, 2, "is not a handle"),
            ({"role": "support"}, 2, "'support' is no role"),
            ({"role": "root"}, 2, "'root' is no role"),
            ({"as_": "bruno"}, 4, "The ops bruno may not"),
            ({"file": "nowhere.toml"}, 2, "No such file"),
            ({"file": "README.md"}, 2, "not TOML"),
            ({"person": "ana", "role": "viewer"}, 2, "names no owner"),
        ),
    ),
    "member revoke": Row(
        {"customer": SLUG, "person": "diego", "as_": "ana", "file": Office.policy_in_force},
        "diego acts for einstein_kids no more",
        spoilt=(
            ({"person": "nobody"}, 3, "'nobody' is not a member"),
            ({"person": "ana"}, 2, "the last owner cannot be removed"),
            ({"as_": "bruno"}, 4, "The ops bruno may not"),
        ),
        after=Office.restore_policy,
    ),
    "panel key": Row(
        {"customer": SLUG, "url": "https://panel.example.org/api/r/einstein_kids/panel"},
        "signs with the key",
        spoilt=(
            ({"url": "panel"}, 6, "no usable url"),
            ({"url": "ftp://panel.example.org"}, 6, "no usable url"),
        ),
    ),
    "panel link": Row(
        {"customer": _with_key, "person": "bruno"},
        "lets bruno in as ops",
        "link_id member role expires_at max_entries url",
        spoilt=(
            ({"person": "nobody"}, 3, "'nobody' is not a member"),
            ({"role": "root"}, 2, "'root' is no role"),
            ({"role": "owner"}, 4, "bruno is ops"),
            ({"hours": "0"}, 2, "--hours"),
            ({"hours": "169"}, 2, "--hours"),
            ({"entries": "51"}, 2, "--entries"),
        ),
    ),
    "panel list": Row(
        {"customer": lambda office: office.panel_link() and SLUG},
        "bruno",
        "id member role state created_at created_by expires_at entries max_entries last_entered_at "
        "revoked_at revoked_by uses refusals",
    ),
    "panel revoke": Row({"link": Office.panel_link}, "is revoked"),
    "obligation list": Row(
        {"customer": lambda office: office.obligation() and SLUG, "state": "open"},
        "Obligations",
        "id reference contact_id pupil concept due_on amount_minor paid_minor currency state",
    ),
    "obligation show": Row(
        {"obligation": Office.obligation}, "D-3", "id step due_at send_at round state outbox_id"
    ),
    "obligation add": Row(
        {
            "as_": "bruno",
            "phone": PHONE,
            "pupil": "Mateo",
            "concept": "el taller",
            "amount": "30000",
            "due_on": "2031-12-05",
            "reference": "2031-12/118",
        },
        "is entered",
        spoilt=(
            ({"phone": "56900000011"}, 2, "phone number"),
            ({"phone": "+5690000001x"}, 2, "phone number"),
            ({"amount": "0"}, 2, "CLP 0"),
            ({"amount": "-5"}, 2, "CLP -5"),
            ({"amount": "45.000,50"}, 2, "is not an amount"),
            ({"amount": "10.5"}, 2, "more decimals than CLP"),
            ({"amount": "9" * 17}, 2, "is not an amount"),
            ({"due_on": "mañana"}, 2, "due_on"),
            ({"due_on": "2031-02-30"}, 2, "due_on"),
            ({"pupil": ""}, 2, "pupil"),
            ({"reference": ""}, 2, "reference"),
            ({"concept": "x" * 200}, 2, "concept"),
        ),
    ),
    "obligation cancel": Row(
        {"obligation": Office.obligation, "as_": "ana", "reason": "beca"},
        "is cancelled",
        spoilt=(({"reason": ""}, 2, "without a reason"),),
    ),
    "claim list": Row(
        {"customer": lambda office: office.claim() and SLUG, "state": "pending_review"},
        "Claims",
        "id state version origin contact_id contact_name currency claimed_minor verified_minor reason "
        "first_approver_id approver_id supersedes duplicate_of opened_at state_at flags",
    ),
    "claim show": Row(
        {"claim": Office.claim},
        "is pending_review",
        "summary history receipts flags decisions allocations credits",
    ),
    "claim preview": Row(
        {"claim": Office.receipt_claim},
        "is drawn anew: M",
    ),
    "claim open": Row(
        {"as_": "bruno", "phone": PHONE, "amount": "45000"},
        "is pending_review",
        spoilt=(
            ({"phone": ""}, 2, "phone number"),
            ({"amount": "mucho"}, 2, "'mucho' is not an amount"),
            ({"amount": "0"}, 2, "CLP 0"),
            ({"request_id": "-- drop"}, 2, "request_id"),
            ({"note": "x" * 600}, 2, "note"),
        ),
    ),
    "claim approve": Row(
        {"claim": Office.claim, "as_": "carla", "amount": "45000", "method": "cash"},
        "is approved",
        _DECISION,
        spoilt=(
            _WRONG_VERSION,
            ({"version": "99"}, 4, "version"),
            ({"as_": "bruno"}, 4, "bruno"),
            ({"amount": "x"}, 2, "'x' is not an amount"),
            ({"method": "rumour"}, 2, "method"),
            ({"value_date": "ayer"}, 2, "value_date"),
            ({"decision_id": "a b"}, 2, "decision_id"),
        ),
    ),
    "claim reject": Row(
        {"claim": Office.claim, "as_": "carla", "reason": "no aparece"},
        "is rejected",
        _DECISION,
        spoilt=(_WRONG_VERSION, ({"reason": ""}, 2, "reason")),
    ),
    "claim ask": Row(
        {"claim": Office.claim, "as_": "carla", "reason": "¿de qué banco?"},
        "is needs_info",
        _DECISION,
        spoilt=(_WRONG_VERSION, ({"reason": ""}, 2, "reason")),
    ),
    "claim duplicate": Row(
        {"claim": Office.claim, "as_": "carla", "of": Office.claim},
        "is duplicate",
        _DECISION,
        spoilt=(
            _WRONG_VERSION,
            ({"of": "C0"}, 2, "'C0' is not the number of a claim"),
        ),
    ),
    "claim withdraw": Row(
        {"claim": Office.claim, "as_": "carla", "reason": "por error"},
        "is withdrawn",
        _DECISION,
        spoilt=(_WRONG_VERSION,),
    ),
    "claim reverse": Row(
        {"claim": Office.approved_claim, "as_": "ana", "reason": "el banco devolvió"},
        "is reversed",
        _DECISION,
        spoilt=(_WRONG_VERSION, ({"reason": ""}, 2, "reason"), ({"as_": "carla"}, 4, "carla")),
    ),
    "claim reconcile": Row(
        {"claim": Office.approved_claim, "as_": "ana", "reference": "778123", "value_date": "2026-03-05"},
        "is reconciled",
        _DECISION,
        spoilt=(_WRONG_VERSION, ({"value_date": "2026-13-45"}, 2, "value_date")),
    ),
    "student list": Row(
        {"customer": lambda office: office.pupil() and SLUG, "course": "Robótica"},
        "Sofía",
        "id reference name contact_id courses",
    ),
    "student show": Row(
        {"student": Office.pupil},
        "Robótica",
        "id reference enrolments sessions",
        spoilt=(({"student": "nobody-1"}, 3, "no student 'nobody-1'"),),
    ),
    "student add": Row(
        {"as_": "bruno", "reference": "rut-7", "name": "Sofía", "phone": PHONE},
        "rut-7 is",
        spoilt=(
            ({"reference": "a b"}, 2, "reference"),
            ({"name": ""}, 2, "name"),
            ({"phone": "912345678"}, 2, "international form"),
            ({"as_": "diego"}, 4, "may not decide about attendance"),
        ),
    ),
    "student enrol": Row(
        {"student": Office.pupil, "as_": "bruno", "course": "Ajedrez", "since": "2026-03-01"},
        "is enrolled in Ajedrez",
        spoilt=(
            ({"student": "nobody-1"}, 3, "no student 'nobody-1'"),
            ({"course": ""}, 2, "course"),
            ({"since": "ayer"}, 2, "--from is no day"),
        ),
    ),
    "student leave": Row(
        {"student": Office.pupil, "as_": "bruno", "course": "Robótica", "on": "2026-07-01"},
        "has left Robótica",
        spoilt=(
            ({"student": "nobody-1"}, 3, "no student 'nobody-1'"),
            ({"on": "2026-02-30"}, 2, "--on is a day that no calendar has"),
        ),
    ),
    "student import": Row(
        {"file": Office.student_sheet, "as_": "bruno"}, "2 rows are fine", _LOADED, spoilt=_NO_SHEET
    ),
    "session add": Row(
        {
            "as_": "bruno",
            "reference": "rob/2031-03-03",
            "course": "Robótica",
            "reader": "door-1",
            "day": "2031-03-03",
            "starts": "15:00",
            "ends": "16:00",
        },
        "entered",
        spoilt=(
            ({"reference": "a b"}, 2, "reference"),
            ({"day": "tomorrow"}, 2, "--day is no day"),
            ({"day": "1999-12-31"}, 2, "day"),
            ({"starts": "25:00"}, 2, "--starts is no hour"),
            ({"ends": "14:00"}, 2, "would last 23 h 00 min"),
            ({"zone": "Chile"}, 2, "not a time zone"),
            ({"which": "3"}, 2, "--which is neither 1 nor 2"),
            ({"makes_up_for": "nothing-1"}, 2, "no session 'nothing-1'"),
        ),
    ),
    "session cancel": Row(
        {"session": Office.future_lesson, "as_": "bruno", "reason": "feriado"},
        "is cancelled",
        spoilt=(({"reason": " "}, 2, "without a reason"),),
    ),
    "session import": Row(
        {"file": Office.session_sheet, "as_": "bruno"}, "1 rows are fine", _LOADED, spoilt=_NO_SHEET
    ),
    "booking list": Row(
        {"state": "booked"},
        "Robótica",
        _BOOKING,
        before=_booked,
    ),
    "booking show": Row({"booking": Office.booking}, "is booked", _BOOKING, _NO_BOOKING),
    "booking complete": Row(
        {"booking": Office.incomplete_booking, "as_": "bruno", "pupil": "Sofía"},
        "has it",
        "booking_id state changed",
        (*_NO_BOOKING, *_MAY_NOT_DECIDE, ({"phone": "912345678"}, 2, "international form")),
    ),
    "booking enrol": Row(
        {"booking": Office.booking, "as_": "bruno", "starts_on": "2031-04-01"},
        "attends Robótica",
        "booking_id student course created",
        (*_NO_BOOKING, *_MAY_NOT_DECIDE, ({"starts_on": "mañana"}, 2, "starts_on")),
    ),
    "booking decline": Row(
        {"booking": Office.booking, "as_": "bruno", "reason": "muy lejos"},
        "is declined",
        "booking_id state changed",
        (*_NO_BOOKING, *_MAY_NOT_DECIDE),
    ),
    "connector list": Row({}, "manage_subscriptions", "name version capabilities left"),
    "connector check": Row({"name": "calendly"}, "has everything", "connector left", _NO_CONNECTOR),
    "connector new": Row({"name": "acme_pay"}, "", spoilt=_NO_NAME),
    "attendance excuse": Row(
        {
            "session": Office.lesson,
            "as_": "bruno",
            "student": Office.unseen_pupil,
            "reason": "enferma",
        },
        "is excused",
        spoilt=(
            ({"reason": ""}, 2, "without a reason"),
            ({"student": "nobody-1"}, 3, "no student 'nobody-1'"),
        ),
    ),
    "attendance list": Row(
        {"customer": lambda office: office.lesson() and SLUG, "verdict": "complete"},
        "Classes",
        "id reference course timezone starts_at ends_at state result_id version verdict attended counted",
    ),
    "attendance show": Row(
        {"session": Office.lesson}, "is complete at version 1", "summary students quarantined follow_ups"
    ),
    "attendance confirm": Row(
        {"session": Office.empty_lesson, "as_": "bruno", "note": "feriado"},
        "5 messages queued",
        _STORED,
        spoilt=(
            ({"version": "-3"}, 2, "version"),
            ({"version": "7"}, 4, "is at version 1, not 7"),
            ({"note": "x" * 600}, 2, "note"),
        ),
    ),
    "attendance correct": Row(
        {
            "session": Office.lesson,
            "as_": "bruno",
            "student": Office.unseen_pupil,
            "status": "present",
            "reason": "estaba",
        },
        "1 cancelled",
        _STORED,
        spoilt=(
            ({"version": "0"}, 2, "version"),
            ({"version": "7"}, 4, "is at version 1, not 7"),
            ({"status": "undetermined"}, 2, "cannot be corrected to undetermined"),
            ({"late_minutes": "5"}, 2, "with 5 minutes"),
            ({"reason": ""}, 2, "reason"),
            ({"student": "nobody-1"}, 3, "no student 'nobody-1'"),
            ({"student": "-- drop"}, 2, "student"),
        ),
    ),
    "attendance checkin": Row(
        {
            "session": Office.lesson,
            "as_": "bruno",
            "student": Office.unseen_pupil,
            "at": "2026-03-02T15:05-03:00",
        },
        "is entered",
        spoilt=(
            ({"at": "ayer"}, 2, "at"),
            ({"at": "0001-01-01T00:00+05:00"}, 2, "at"),
            ({"at": "2026-03-02T15:05"}, 2, "at"),
            ({"student": "nobody-1"}, 3, "no student 'nobody-1'"),
            ({"request_id": "a b"}, 2, "source_id"),
        ),
    ),
    "inbox list": Row(
        {"customer": lambda office: office.held_event() and SLUG, "state": "held"},
        "Events",
        "id source endpoint event_id event_type size_bytes signed_at received_at stale state job_id note",
    ),
    "inbox conflicts": Row(
        {"customer": _seen},
        "Conflicts",
        "id event source endpoint event_id stored_sha256 other_sha256 size_bytes received_at "
        "last_received_at deliveries",
    ),
    "inbox refusals": Row({"customer": _seen}, "Refused deliveries", "hour source endpoint reason count"),
    "inbox release": Row({"event": Office.held_event, "as_": "bruno"}, "goes on as job J"),
    "outbox list": Row(
        {"customer": lambda office: office.ambiguous_message() and SLUG, "state": "ambiguous"},
        "Outbox",
        _MESSAGE,
    ),
    "outbox resolve": Row(
        {"message": Office.ambiguous_message, "verdict": "sent", "as_": "bruno"},
        "sent",
        spoilt=(({"verdict": "maybe"}, 2, "neither sent nor not_sent"),),
    ),
    "job list": Row({"kind": "alert.raised"}, "Jobs", "jobs health"),
    "job show": Row({"job": Office.dead_job}, "dead", _JOB),
    "job health": Row({}, "oldest_due_s", "queue storage"),
    "job run": Row(
        {"seconds": "5"},
        "✓",
        "done retried snoozed dead cancelled handed_back lost",
        spoilt=(({"seconds": "0"}, 2, "--seconds"), ({"seconds": "86400"}, 2, "--seconds")),
    ),
    "job serve": Row(
        {"seconds": "1"},
        "Stopped in order",
        spoilt=(({"seconds": "-1"}, 2, "--seconds"), ({"hands": "0"}, 2, "--hands")),
    ),
    "job cancel": Row(
        {"entity": lambda office: f"obligation:{office.obligation()[1:]}", "as_": "bruno"},
        "queued jobs cancelled",
        spoilt=(({"entity": ""}, 2, "which jobs to cancel"),),
    ),
    "job redrive": Row({"job": Office.dead_job, "as_": "bruno"}, "is queued again"),
    "job hurry": Row({"job": Office.waiting_job, "as_": "bruno"}, "is due now"),
    "alert list": Row(
        {"customer": lambda office: office.open_alert() and SLUG},
        "test.trouble",
        "id kind severity subject detail occurrences first_at last_at state acknowledged_by resolved_by",
    ),
    "alert acknowledge": Row({"alert": Office.open_alert, "as_": "bruno"}, "is acknowledged"),
    "alert resolve": Row({"alert": Office.open_alert, "as_": "bruno"}, "is resolved"),
    "audit list": Row(
        {"action": "policy.stored"}, "Audit trail", "seq at action actor target result detail login"
    ),
    "audit verify": Row({}, "entries", "entries head ok broken"),
    "db status": Row({}, "einstein_kids", "customer pending"),
    "db migrate": Row({}, "einstein_kids: 0 migrations applied"),
    "db watch": Row(
        {"for_s": "1"},
        "0 statements and sessions ended",
        spoilt=(
            ({"limit_s": "0"}, 2, "--limit-s"),
            ({"limit_s": "nan"}, 2, "--limit-s"),
            ({"for_s": "-1"}, 2, "--for-s"),
        ),
    ),
    "ingest endpoint": Row(
        {"customer": SLUG, "name": "inbound", "secrets_from": Office.webhook_secret},
        "/api/r/einstein_kids/ycloud/inbound verifies by 1 secret",
        spoilt=(
            ({"secrets_from": "/nowhere/at/all"}, 2, "cannot be read"),
            ({"source": "nobody"}, 6, "nobody"),
            ({"name": "../x"}, 6, "route"),
        ),
    ),
    "ingest check": Row({}, "ok", "customer file routes secrets problem", before=_told_door),
    "ingest serve": Row(
        {},
        "",
        spoilt=(({"port": "70000"}, 2, "--port"), ({"rate_s": "0"}, 2, "--rate-s")),
    ),
    **ROWS_OF_CUSTOMERS,
    **ROWS_OF_HOSTS,
    **ROWS_OF_INSTANCES,
    **ROWS_OF_TARGETS,
    "demo": Row({}, ""),
    "dev start": Row({"folder": SLUG}, ""),
    "dev run": Row({"path": "cancel_jobs"}, "", "path ok result logs hint duration_ms"),
    "dev tick": Row({}, "", "path ok result logs hint duration_ms"),
    "dev messages": Row({}, "", "at phone by_contact text media_id mime_type status"),
    "dev open": Row({}, ""),
    "dev stop": Row({}, ""),
    "dev workspace": Row({}, ""),
    "dev webhook send": Row({}, "", "phone kind wamid answers claim"),
    **ROWS_OF_SYNC,
}
