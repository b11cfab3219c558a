"""What a customer decided, as values: limits, reminder plan, texts, templates, members.

The file `customers/<name>/config/policy.toml` is what people review; the row stored from it is what runs.
Rows are versions that never change, so the policy under which something was decided can always be read.
A policy that contradicts itself is refused before anything runs under it.
"""

from __future__ import annotations

import hashlib
import json
import string
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import time
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import available_timezones

from psycopg.types.json import Jsonb
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictInt,
    ValidationError,
    field_validator,
    model_validator,
)

from platform_core import audit
from platform_core.db import Tx, load_queries
from platform_core.errors import (
    ConfigurationError,
    InvalidInput,
    InvalidPolicy,
    SchemaDrift,
    StateConflict,
    UnreadableFile,
)
from platform_core.tenancy.attendance import Attendance
from platform_core.tenancy.bookings import Bookings
from platform_core.tenancy.members import (
    HANDLE,
    MAX_MEMBERS,
    PERMISSIONS,
    Permission,
    Role,
    list_members,
    require,
    set_members,
)
from platform_core.values import CURRENCY_EXPONENTS, MAX_AMOUNT_MINOR, Actor, parse_tenant_slug

Q = load_queries(__file__)

PURPOSES: Mapping[str, frozenset[str]] = {
    "claim.received": frozenset({"claim"}),
    "claim.approved": frozenset({"claim", "amount"}),
    "claim.partial": frozenset({"claim", "amount", "remaining"}),
    "claim.rejected": frozenset({"claim", "reason"}),
    "claim.needs_info": frozenset({"claim", "reason"}),
    "claim.reversed": frozenset({"claim", "reason"}),
    "receipt.unreadable": frozenset({"reason"}),
    "reminder": frozenset({"concept", "amount", "due_on"}),
    "attendance.absent": frozenset({"pupil", "course", "date", "time"}),
    "attendance.apology": frozenset({"pupil", "course", "date", "time"}),
    "booking.confirmed": frozenset({"pupil", "course", "date", "time"}),
    "booking.rescheduled": frozenset({"pupil", "course", "date", "time"}),
    "booking.canceled": frozenset({"pupil", "course", "date", "time"}),
    "pupil.welcome": frozenset({"pupil", "course"}),
}
"""Every reason to write to somebody, with the placeholders its text and its template may use."""

SECTION_PURPOSES: Mapping[str, frozenset[str]] = {
    "attendance": frozenset({"attendance.absent", "attendance.apology"}),
    "bookings": frozenset({"booking.confirmed", "booking.rescheduled", "booking.canceled", "pupil.welcome"}),
}
"""Needed by those customers only whose policy has that section."""

_OPTIONAL = frozenset[str]().union(*SECTION_PURPOSES.values())

MIME_TYPES = frozenset({"image/jpeg", "image/png", "image/webp", "application/pdf"})
MAX_FILE_BYTES = 256 * 1024
MAX_TEXT_CHARS = 1024  # the limit of a template's body, so that both forms of a message can say the same
_MAX_PROBLEMS = 5
_CHECK = "Correct it and run the same command again; the policy in force was not touched."


def _to_time(value: object) -> time:
    text = value if isinstance(value, str) else ""
    if len(text) == len("HH:MM") and text[2] == ":" and (text[:2] + text[3:]).isascii():
        try:
            return time.fromisoformat(text)
        except ValueError:
            pass
    raise ValueError('is not a local time; write hours and minutes, such as "09:00"')


LocalTime = Annotated[time, BeforeValidator(_to_time), PlainSerializer(lambda value: value.strftime("%H:%M"))]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Customer(_Section):
    """Who the customer is. `timezone` is the IANA zone its days and hours mean."""

    slug: str
    display_name: str = Field(min_length=1, max_length=200)
    timezone: str
    currency: str
    country: str = Field(pattern=r"^[A-Z]{2}$")

    @field_validator("slug")
    @classmethod
    def _slug(cls, value: str) -> str:
        try:
            return parse_tenant_slug(value)
        except InvalidInput as error:
            raise ValueError(error.one_line()) from None

    @field_validator("timezone")
    @classmethod
    def _timezone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError("is not a time zone; use an IANA name such as America/Lima")
        return value

    @field_validator("currency")
    @classmethod
    def _currency(cls, value: str) -> str:
        if value not in CURRENCY_EXPONENTS:
            raise ValueError(f"is not a known currency; use one of {', '.join(CURRENCY_EXPONENTS)}")
        return value


class Payments(_Section):
    """How receipts are taken and decided. Amounts are in the currency's minor unit.

    Above `second_approver_above_minor` a second person must approve; there is no default, so that nobody
    loses that control by forgetting a line. A contact who was asked something has `answer_within_hours`
    before the claim expires. `review_flow` is the flow of the customer's folder that asks staff about each
    claim; without it they find their claims by themselves.
    """

    second_approver_above_minor: StrictInt = Field(ge=0, le=MAX_AMOUNT_MINOR)
    review_sla_hours: StrictInt = Field(ge=1, le=720)
    answer_within_hours: StrictInt = Field(default=168, ge=1, le=2160)
    max_receipt_bytes: StrictInt = Field(ge=1024, le=32 * 1024 * 1024)
    accepted_mime_types: tuple[str, ...] = Field(min_length=1)
    review_flow: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9_]{0,99}$")

    @field_validator("accepted_mime_types")
    @classmethod
    def _known_types(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [item for item in value if item not in MIME_TYPES]
        if unknown:
            raise ValueError(f"holds {unknown[0][:40]!r}; receipts may be {', '.join(sorted(MIME_TYPES))}")
        _refuse_repeated(value)
        return value


class ReminderStep(_Section):
    """One reminder: `offset_days` from the due date (negative is before), at `local_time` of the customer."""

    step: str = Field(pattern=r"^[A-Za-z0-9+_-]{1,20}$")
    offset_days: StrictInt = Field(ge=-60, le=60)
    local_time: LocalTime

    @model_validator(mode="after")
    def _label_agrees(self) -> Self:
        label = self.step.removeprefix("D")
        if label != self.step and label.lstrip("+-").isdigit() and int(label) != self.offset_days:
            raise ValueError(
                f"the step {self.step} and its offset_days {self.offset_days} contradict each other"
            )
        return self


class Reminders(_Section):
    """When people are reminded. `grace_days` after the due date are left in peace."""

    plan: tuple[ReminderStep, ...] = Field(max_length=20)
    grace_days: StrictInt = Field(ge=0, le=60)

    @model_validator(mode="after")
    def _plan_makes_sense(self) -> Self:
        _refuse_repeated([step.step for step in self.plan])
        moments = [f"day {step.offset_days} at {step.local_time:%H:%M}" for step in self.plan]
        _refuse_repeated(moments)
        early = [step.step for step in self.plan if 0 < step.offset_days <= self.grace_days]
        if early:
            raise ValueError(
                f"the step {early[0]} falls into the {self.grace_days} days of grace; "
                "move it or shorten grace_days"
            )
        return self


class Template(_Section):
    """An approved WhatsApp template: its name, language, and what fills its numbered places in order."""

    name: str = Field(pattern=r"^[a-z0-9_]{1,512}$")
    language: str = Field(pattern=r"^[a-z]{2,3}(_[A-Z]{2})?$")
    parameters: tuple[str, ...] = ()


class Messaging(_Section):
    """From which number and through whom. `window_hours` is how long free text is allowed after a message."""

    sender_phone: str = Field(pattern=r"^\+[1-9][0-9]{7,14}$")
    window_hours: StrictInt = Field(ge=1, le=24)
    provider: str = Field(pattern=r"^[a-z][a-z0-9_]{1,39}$")


class Policy(_Section):
    """Everything a customer decided. The keys of `templates` and `texts` are PURPOSES, all of them.

    Those of attendance and of bookings may be left out together with their section.
    """

    customer: Customer
    members: Mapping[str, Literal[Role.OWNER, Role.OPS, Role.VIEWER]] = Field(max_length=MAX_MEMBERS)
    payments: Payments
    reminders: Reminders
    templates: Mapping[str, Template]
    texts: Mapping[str, str]
    messaging: Messaging
    attendance: Attendance | None = None
    bookings: Bookings | None = None

    def without_reviews(self) -> Policy:
        """The same policy for where no flow runs: staff find their claims by themselves."""
        return self.model_copy(update={"payments": self.payments.model_copy(update={"review_flow": None})})

    @field_validator("members")
    @classmethod
    def _members_can_work(cls, value: Mapping[str, Role]) -> Mapping[str, Role]:
        for handle in value:
            if not HANDLE.fullmatch(handle):
                raise ValueError("a handle is 1 to 40 of a-z, 0-9, dot, _ and -, starting with a letter")
        if Role.OWNER not in value.values():
            raise ValueError("names no owner; the last owner cannot be removed")
        return value

    @field_validator("templates")
    @classmethod
    def _templates_fit(cls, value: Mapping[str, Template]) -> Mapping[str, Template]:
        _require_purposes(value)
        shapes: dict[tuple[str, str], int] = {}
        for purpose, template in value.items():
            _require_placeholders(purpose, template.parameters)
            count = len(template.parameters)
            if shapes.setdefault((template.name, template.language), count) != count:
                raise ValueError(f"{template.name} is used with different numbers of parameters")
        return value

    @field_validator("texts")
    @classmethod
    def _texts_fit(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        _require_purposes(value)
        for purpose, text in value.items():
            if not text.strip() or len(text) > MAX_TEXT_CHARS:
                raise ValueError(f"{purpose} has {len(text.strip())} characters; write 1 to {MAX_TEXT_CHARS}")
            _require_placeholders(purpose, tuple(_placeholders(purpose, text)))
        return value

    @model_validator(mode="after")
    def _second_approver_exists(self) -> Self:
        deciders = [role for role in self.members.values() if Permission.CLAIM_DECIDE in PERMISSIONS[role]]
        if len(deciders) < 2 and self.payments.second_approver_above_minor < MAX_AMOUNT_MINOR:  # noqa: PLR2004 - a second person
            raise ValueError(
                "payments.second_approver_above_minor asks for a second approver, "
                "and only one member is owner or ops"
            )
        return self

    @model_validator(mode="after")
    def _sections_have_words(self) -> Self:
        for section, purposes in SECTION_PURPOSES.items():
            if getattr(self, section) is None:
                continue
            for name, words in (("texts", self.texts), ("templates", self.templates)):
                lacking = sorted(purposes - words.keys())
                if lacking:
                    raise ValueError(f"{name} lacks {', '.join(lacking)}, which the section {section} needs")
        return self


def load_policy(path: Path) -> Policy:
    """Read and judge a policy file.

    Raises: UnreadableFile, InvalidPolicy naming the file, the field and the next step.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UnreadableFile(
            f"The policy {path} cannot be read: {error.strerror}",
            next_step="Check the path and its permissions.",
        ) from error
    if len(raw) > MAX_FILE_BYTES:
        raise InvalidPolicy(f"{path} is larger than {MAX_FILE_BYTES} bytes", next_step=_CHECK)
    try:
        return Policy.model_validate(tomllib.loads(raw.decode("utf-8")))
    except UnicodeDecodeError as error:
        raise InvalidPolicy(f"{path} is not UTF-8 text (byte {error.start})", next_step=_CHECK) from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidPolicy(f"{path} is not TOML: {error}", next_step=_CHECK) from None
    except ValidationError as error:
        # Without its cause: pydantic's own text quotes what the file says, the phone number too.
        raise InvalidPolicy(f"{path}: {describe_problems(error)}", next_step=_CHECK) from None


def store_policy(tx: Tx, policy: Policy, actor: Actor) -> int:
    """Put a policy and its members into force; the version comes back.

    A member needs `policy.change`, and `member.change` when members differ; the first policy may be stored by
    an owner it names. `system` and `support` pass: they come with the platform's own secrets and a reviewed
    file, and are recorded like everybody.
    Idempotency: storing what is in force changes nothing.
    Raises: PermissionDenied, InvalidPolicy for another customer's policy, StateConflict when somebody stored
    another version meanwhile.
    """
    content = policy.model_dump(mode="json")
    digest = hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).digest()
    row = tx.execute(Q["policy_get_current"]).fetchone()
    version, before, stored = row or (0, {}, b"")
    if stored == digest:
        return int(version)
    founding = version == 0 and actor.type == "user" and policy.members.get(actor.id) is Role.OWNER
    if not founding:
        _require_permissions(tx, policy, actor)
    _require_same_customer(tx, policy)
    added = tx.execute(
        Q["policy_add"],
        {
            "version": version + 1,
            "content": Jsonb(content),
            "sha256": digest,
            "stored_by": f"{actor.type}:{actor.id}"[:200],
        },
    ).fetchone()
    if added is None:
        raise StateConflict(
            f"Somebody stored version {version + 1} of the policy meanwhile",
            next_step="Look at the policy in force, then store yours again.",
        )
    set_members(tx, policy.members, policy_version=version + 1, actor=actor)
    audit.record(
        tx,
        "policy.stored",
        actor,
        ("policy", str(version + 1)),
        detail={
            "sha256": digest.hex(),
            "sections": sorted(name for name in content if content[name] != before.get(name)),
        },
    )
    return int(version + 1)


def current_policy(tx: Tx) -> Policy:
    """The policy in force.

    Raises: ConfigurationError when none was ever stored, SchemaDrift when this release cannot read it.
    """
    row = tx.execute(Q["policy_get_current"]).fetchone()
    if row is None:
        raise ConfigurationError(
            "This customer has no policy",
            next_step="Store one from its policy.toml with `wmctl policy apply`.",
        )
    version, content, _ = row
    try:
        return Policy.model_validate(content)
    except ValidationError as error:
        raise SchemaDrift(
            f"Version {version} of the policy does not fit this release: {describe_problems(error)}",
            next_step="Bring policy.toml up to this release and store it with `wmctl policy apply`.",
        ) from None


def describe_problems(error: ValidationError) -> str:
    """The fields and what is wrong with them, without the values, on one line."""
    problems = error.errors(include_url=False, include_input=False)
    said = [
        _describe(problem["loc"], problem["type"], problem["msg"]) for problem in problems[:_MAX_PROBLEMS]
    ]
    if len(problems) > _MAX_PROBLEMS:
        said.append(f"and {len(problems) - _MAX_PROBLEMS} more")
    return "; ".join(said)


def _describe(location: Sequence[int | str], kind: str, message: str) -> str:
    field = ".".join(str(part)[:60] for part in location) or "the policy"
    match kind:
        case "missing":
            return f"{field} is missing"
        case "extra_forbidden":
            return f"{field} is not a field of a policy"
        case "value_error":
            return f"{field}: {message.removeprefix('Value error, ')}"
        case _:
            return f"{field}: {message[:1].lower()}{message[1:]}"


def _require_permissions(tx: Tx, policy: Policy, actor: Actor) -> None:
    if actor.type in ("system", "support"):
        return
    require(tx, actor, Permission.POLICY_CHANGE)
    if dict(policy.members) != {member.handle: member.role for member in list_members(tx)}:
        require(tx, actor, Permission.MEMBER_CHANGE)


def _require_same_customer(tx: Tx, policy: Policy) -> None:
    row = tx.execute(Q["identity_get"]).fetchone()
    if row is None:
        raise ConfigurationError("This database is no customer's", next_step="Provision the customer first.")
    _, slug, _, timezone, currency = row
    provisioned = {"slug": slug, "timezone": timezone, "currency": currency}
    for field, wanted in provisioned.items():
        said = getattr(policy.customer, field)
        if said != wanted:
            raise InvalidPolicy(
                f"customer.{field} is {said}, and this database is that of {slug} with {wanted}",
                next_step="Store the policy of this customer.",
            )


def _require_purposes(found: Mapping[str, object]) -> None:
    missing = [purpose for purpose in PURPOSES if purpose not in found and purpose not in _OPTIONAL]
    if missing:
        raise ValueError(f"lacks {', '.join(missing)}")
    unknown = [purpose for purpose in found if purpose not in PURPOSES]
    if unknown:
        raise ValueError(f"has {unknown[0][:40]!r}, which nothing sends")


def _require_placeholders(purpose: str, names: Sequence[str]) -> None:
    unknown = [name for name in names if name not in PURPOSES[purpose]]
    if unknown:
        raise ValueError(
            f"{purpose} uses {unknown[0][:40]!r}; it may use {', '.join(sorted(PURPOSES[purpose]))}"
        )


def _placeholders(purpose: str, text: str) -> Iterator[str]:
    try:
        pieces = list(string.Formatter().parse(text))
    except ValueError:
        raise ValueError(f"{purpose} has a lone brace; write {{{{ and }}}} for braces") from None
    for _literal, name, spec, conversion in pieces:
        if name is not None:
            if spec or conversion:
                raise ValueError(f"{purpose} uses {name[:40]!r} with a format; placeholders are plain names")
            yield name


def _refuse_repeated(values: Sequence[str]) -> None:
    repeated = [value for value, count in Counter(values).items() if count > 1]
    if repeated:
        raise ValueError(f"{repeated[0]} is there twice")
