"""A plan as a JSON document: what `--json` prints and what `--out` keeps.

The document names every change with the digest of what it would write, and holds no item whole: a saved plan
is carried out by making it again and comparing, so that what was reviewed is what is written, or nothing is.
Values under names of secrets are hidden. The keys are a contract: `version` grows when one changes meaning.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from platform_cli.sync.items import Item, Json, digest_of
from platform_cli.sync.plan import WRITING, Act, Change, FieldChange, Level, Plan
from platform_cli.sync.redacting import shown
from platform_core.errors import InvalidPlan, StalePlan

VERSION = 1
_NAMED = 3
"""How many items an error names before it counts."""
_BINDING = WRITING | {Act.ADOPT, Act.CONFLICT, Act.PULL_DELETE}
"""What must be as when the plan was saved. Edits in Windmill that a deploy leaves alone may move on."""


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DraftDocument(_Document):
    """Work of a colleague that is not deployed."""

    by: str = Field(description="The user's name in Windmill.")
    at: datetime | None = Field(description="When it was last saved.")


class FieldDocument(_Document):
    """One field that differs."""

    place: str = Field(description="Where it stands in the item, such as `args.limit`; steps go by their id.")
    base: JsonValue = Field(description="What both last agreed on; null where the field is absent.")
    ours: JsonValue = Field(description="Git's value.")
    theirs: JsonValue = Field(description="Windmill's value.")
    conflict: bool = Field(description="Whether both sides changed it, each differently.")


class ChangeDocument(_Document):
    """What one item comes to."""

    item: str = Field(description="Kind and path, as `--ours` and `--theirs` take it.")
    act: Act = Field(description="What follows.")
    reason: str = Field(description="Why, in words.")
    pulls: bool = Field(description="Whether a pull would change git.")
    fields: list[FieldDocument] = Field(description="The fields that differ.")
    edited_by: str | None = Field(description="The last editor in Windmill, where the server tells.")
    edited_at: datetime | None = Field(description="The time of that edit.")
    drafts: list[DraftDocument] = Field(description="Colleagues' work on this item that is not deployed.")
    retarget: bool = Field(description="Whether it is deleted first and then created anew.")
    identity: str | None = Field(description="As whom it runs, where it should run as the customer's robot.")
    digest: str = Field(description="SHA-256 of what is there and what would be written.")


class NoticeDocument(_Document):
    """Something to know before anything is written."""

    level: Level = Field(description="How much it weighs.")
    about: str = Field(description="The item or the secret.")
    says: str = Field(description="In words.")


class PlanDocument(_Document):
    """The plan of one customer, or of `ops`."""

    version: Literal[1] = Field(description="Of this contract.")
    scope: str = Field(description="The customer's folder name, or `ops`.")
    target: str = Field(description="The target that was compared with.")
    made_at: datetime = Field(description="When both sides were read.")
    base_id: int | None = Field(description="The deploy that both last agreed on; null before the first.")
    commit: str | None = Field(description="Git's commit, if the folder is in one.")
    git_digest: str = Field(description="SHA-256 of git's side.")
    windmill_digest: str = Field(description="SHA-256 of Windmill's side.")
    exit_code: int = Field(description="0 nothing, 2 changes from git, 3 drift or conflict.")
    summary: str = Field(description="One line for people.")
    counts: dict[str, int] = Field(description="How many items of each act, and how many are `equal`.")
    changes: list[ChangeDocument] = Field(description="In the order in which they would be carried out.")
    notices: list[NoticeDocument] = Field(description="The weightiest first.")
    unsafe: list[str] = Field(description="Why a deploy stops without `--force`.")


class AskedDocument(_Document):
    """What the plans were asked for besides customers and target: `wmctl deploy FILE` asks the same."""

    ours: list[str] = Field(description="Items for which git counts, as typed.")
    theirs: list[str] = Field(description="Items for which Windmill counts, as typed.")
    switches: bool = Field(description="Whether git says which schedules and routes are on.")


class PlanFile(_Document):
    """What `--out` writes: the plans of one call."""

    version: Literal[1] = Field(description="Of this contract.")
    plans: list[PlanDocument] = Field(description="One for each customer that was named.")
    asked: AskedDocument = Field(description="With which options.")
    digest: str = Field(description="SHA-256 of all the rest; a file that was edited is refused.")


def document_of(plan: Plan) -> PlanDocument:
    """The plan as a document."""
    return PlanDocument(
        version=VERSION,
        scope=plan.scope,
        target=plan.target,
        made_at=plan.made_at,
        base_id=plan.base_id,
        commit=plan.commit,
        git_digest=plan.git_digest,
        windmill_digest=plan.windmill_digest,
        exit_code=plan.exit_code,
        summary=plan.summary,
        counts=dict(plan.counts),
        changes=[_change(change) for change in plan.changes],
        notices=[NoticeDocument(level=n.level, about=n.about, says=n.says) for n in plan.notices],
        unsafe=list(plan.unsafe),
    )


def _change(change: Change) -> ChangeDocument:
    return ChangeDocument(
        item=str(change.key),
        act=change.act,
        reason=change.reason,
        pulls=change.pulls,
        fields=[_field(field) for field in shown(change)],
        edited_by=change.edited_by,
        edited_at=change.edited_at,
        drafts=[DraftDocument(by=draft.by, at=draft.at) for draft in change.drafts],
        retarget=change.retarget,
        identity=change.identity,
        digest=digest_of_change(change),
    )


def _field(field: FieldChange) -> FieldDocument:
    values: dict[str, Json] = {"base": field.base, "ours": field.ours, "theirs": field.theirs}
    return FieldDocument.model_validate({"place": field.place, "conflict": field.conflict, **values})


def digest_of_change(change: Change) -> str:
    """SHA-256 of what is there and what would be written. Locks are left out: servers make them anew."""
    sides: list[Item | None] = [change.before, change.after, change.desired]
    digests: list[str | None] = [side.digest if side is not None else None for side in sides]
    return digest_of([str(change.key), str(change.act), digests, change.retarget, change.identity])


# --- Files ------------------------------------------------------------------------------------------------


def save(plans: Sequence[Plan], asked: AskedDocument, file: Path) -> None:
    """Write the plans to a file, whole or not at all."""
    documents = [document_of(plan) for plan in plans]
    content = PlanFile(version=VERSION, plans=documents, asked=asked, digest=_digest(documents, asked))
    beside = file.with_name(f".{file.name}.new")
    beside.write_text(content.model_dump_json(indent=2) + "\n", encoding="utf-8")
    beside.replace(file)


def load(file: Path) -> PlanFile:
    """What a file holds. Raises InvalidPlan for another version, another file, or one that was edited."""
    try:
        read = json.loads(file.read_bytes())
    except ValueError as error:
        raise InvalidPlan(f"{file} is not a plan: it is not JSON") from error
    version = read.get("version") if isinstance(read, dict) else None
    if version != VERSION:
        raise InvalidPlan(f"{file} is a plan of version {version}, and this wmctl reads version {VERSION}")
    try:
        saved = PlanFile.model_validate(read)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidPlan(f"{file} is not a plan: {place}: {first['msg']}") from error
    if not saved.plans or saved.digest != _digest(saved.plans, saved.asked):
        raise InvalidPlan(f"{file} was edited after it was saved")
    return saved


def _digest(plans: Sequence[PlanDocument], asked: AskedDocument) -> str:
    return digest_of([[plan.model_dump(mode="json") for plan in plans], asked.model_dump(mode="json")])


def require_same(saved: PlanDocument, now: Plan) -> None:
    """Raise StalePlan unless the plan that was saved would still write the very same."""
    if (saved.scope, saved.target) != (now.scope, now.target):
        raise StalePlan(f"The plan is for {saved.scope} on {saved.target}, not {now.scope} on {now.target}")
    moved = [*_moved(saved, now)]
    if moved:
        named = ", ".join(moved[:_NAMED]) + (
            f" and {len(moved) - _NAMED} more" if len(moved) > _NAMED else ""
        )
        raise StalePlan(
            f"What it says of {named} is no longer so; it was made {saved.made_at:%Y-%m-%d %H:%M}Z"
        )


def _moved(saved: PlanDocument, now: Plan) -> Iterator[str]:
    before = {change.item: change.digest for change in saved.changes if change.act in _BINDING}
    after = {str(change.key): digest_of_change(change) for change in now.of(*_BINDING)}
    yield from (item for item in sorted({*before, *after}) if before.get(item) != after.get(item))
