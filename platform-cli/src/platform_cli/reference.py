"""The reference pages that are written from the code: docs/reference/cli.md and docs/reference/errors.md.

`python -m platform_cli.reference` writes them; a test fails when they are older than the commands or errors
they describe. Nothing here has side effects until `write_pages` is called.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path

import typer
from pydantic import BaseModel

from platform_cli import render
from platform_cli.instances.people import Admitted, Dismissed
from platform_cli.instances.setup import Step
from platform_cli.local.dev.control import Outcome
from platform_cli.local.dev.sending import Sent
from platform_cli.local.ycloud.talks import Said
from platform_cli.main import INTERRUPTED, build
from platform_cli.root import find_root
from platform_cli.sync import plan_page
from platform_cli.sync.access import Access
from platform_cli.sync.drift import Drift as ScopeDrift
from platform_cli.sync.plan_file import PlanDocument
from platform_core import errors
from platform_core.attendance import results, rosters
from platform_core.attendance.contracts import Stored
from platform_core.attendance.loading import Loaded
from platform_core.audit import Entry
from platform_core.bookings.bookings import BookingView
from platform_core.bookings.contracts import Enrolled, Settled
from platform_core.errors import PlatformError
from platform_core.inbox.events import Conflict, EventSummary, Refusal
from platform_core.ingest.checking import Checked
from platform_core.jobs.contracts import JobView, RunCounts
from platform_core.messaging.outbound import OutboxMessage
from platform_core.observability.alerts import Alert
from platform_core.panel.contracts import Link, NewLink
from platform_core.payments import views
from platform_core.payments.contracts import DecisionResult
from platform_core.tenancy.drift import Drift
from platform_core.tenancy.members import Member
from platform_core.tenancy.policy import Policy
from platform_core.tenancy.registry import Tenant

FOLDER = Path("docs/reference")
WIDTH = 110
WRITTEN_BY = "<!-- Written by `python -m platform_cli.reference`; change the code, then run that. -->"

Fields = Sequence[str]

# --- What --json prints: the documented contract of each command that has it -------------------------------


def fields_of(kind: type) -> list[str]:
    """The keys of a document made from a dataclass or a contract, in order."""
    if issubclass(kind, BaseModel):
        return list(kind.model_fields)
    return list(vars(kind)["__dataclass_fields__"])


_DECISION = ("one object", ["outcome", *fields_of(DecisionResult)])

_LOADED = ("one object", [*fields_of(Loaded), "faults", "entered"])

_DEPLOYED: Fields = (
    "scope", "target", "deploy", "status", "written", "put_back", "left", "reason", "notes",
)  # fmt: skip
_HISTORY: Fields = (
    "scope", "deploy", "status", "actor", "began_at", "changed_at", "changed_by", "commit", "items", "acts",
    "reason",
)  # fmt: skip
_STATUS: Fields = (
    "scope", "says", "to_deploy", "to_pull", "conflicts", "unmanaged", "uncommitted", "alarms", "deploy",
    "deploy_status", "deployed_at", "deployed_by", "deploying",
)  # fmt: skip

DOCUMENTS: Mapping[str, tuple[str, Fields]] = {
    "alert list": ("a list of objects", fields_of(Alert)),
    "attendance confirm": ("one object", fields_of(Stored)),
    "attendance correct": ("one object", fields_of(Stored)),
    "attendance list": ("a list of objects", fields_of(results.SessionSummary)),
    "attendance show": ("one object", fields_of(results.SessionDetail)),
    "audit list": ("a list of objects", fields_of(Entry)),
    "audit verify": ("one object", ["entries", "head", "ok", "broken"]),
    "backup list": ("one object", ["copies", "covered", "dumps", "drill", "bundles", "aside"]),
    "booking complete": ("one object", fields_of(Settled)),
    "booking decline": ("one object", fields_of(Settled)),
    "booking enrol": ("one object", fields_of(Enrolled)),
    "booking list": ("a list of objects", fields_of(BookingView)),
    "booking show": ("one object", fields_of(BookingView)),
    "claim approve": _DECISION,
    "claim ask": _DECISION,
    "claim duplicate": _DECISION,
    "claim list": ("a list of objects", fields_of(views.ClaimSummary)),
    "claim reconcile": _DECISION,
    "claim reject": _DECISION,
    "claim reverse": _DECISION,
    "claim show": ("one object", fields_of(views.ClaimDetail)),
    "claim withdraw": _DECISION,
    "dev messages": ("a list of objects", fields_of(Said)),
    "dev run": ("a list of one object", fields_of(Outcome)),
    "dev tick": ("a list of objects", fields_of(Outcome)),
    "dev webhook send": ("one object", [*fields_of(Sent), "claim"]),
    "connector check": ("one object", ["connector", "left"]),
    "host list": ("a list of objects", ["name", "address", "port", "identity", "keys"]),
    "host status": (
        "one object",
        [
            "deployed",
            "deploying",
            "restoring",
            "lock",
            "releases",
            "health",
            "services",
            "disk_free_mb",
            "audit",
        ],
    ),
    "instance check": (
        "one object",
        ["server_version", "workspace", "at", "took_s", "differing", "findings", "left", "probes"],
    ),
    "instance admit": ("one object", fields_of(Admitted)),
    "instance dismiss": ("one object", fields_of(Dismissed)),
    "instance init": ("a list of objects", fields_of(Step)),
    "connector list": ("a list of objects", ["name", "version", "capabilities", "left"]),
    "deploy": ("a list of objects", _DEPLOYED),
    "drift": ("a list of objects", fields_of(ScopeDrift)),
    "history": ("a list of objects", _HISTORY),
    "plan": ("a list of objects", fields_of(PlanDocument)),
    "promote": ("a list of objects", _DEPLOYED),
    "pull": ("a list of objects", ["scope", "target", "items", "files", "conflicts"]),
    "render": ("one object", ["folder", "items"]),
    "rollback": ("one object", ["scope", "target", "deploy", "there", "left", "stopped"]),
    "status": ("a list of objects", _STATUS),
    "sync": ("a list of objects", _DEPLOYED),
    "db status": ("a list of objects", ["customer", "pending"]),
    "inbox conflicts": ("a list of objects", fields_of(Conflict)),
    "inbox list": ("a list of objects", fields_of(EventSummary)),
    "inbox refusals": ("a list of objects", fields_of(Refusal)),
    "ingest check": ("a list of objects", fields_of(Checked)),
    "job health": ("one object", ["queue", "storage"]),
    "job list": ("one object", ["jobs", "health"]),
    "job run": ("one object", fields_of(RunCounts)),
    "job show": ("one object", fields_of(JobView)),
    "member list": ("a list of objects", fields_of(Member)),
    "panel link": ("one object", fields_of(NewLink)),
    "panel list": ("a list of objects", fields_of(Link)),
    "obligation list": ("a list of objects", fields_of(views.ObligationSummary)),
    "obligation show": ("a list of objects", fields_of(views.ReminderSummary)),
    "outbox list": ("a list of objects", fields_of(OutboxMessage)),
    "policy show": ("one object", fields_of(Policy)),
    "session import": _LOADED,
    "student import": _LOADED,
    "student list": ("a list of objects", fields_of(rosters.StudentSummary)),
    "student show": ("one object", fields_of(rosters.StudentDetail)),
    "target check": (
        "one object",
        ["name", "url", "workspace", "kind", *fields_of(Access), "warnings"],
    ),
    "target list": ("a list of objects", ["name", "url", "workspace", "kind", "in_use"]),
    "tenant drift": ("a list of objects", fields_of(Drift)),
    "customer check": ("one object", ["customer", "healthy", "findings"]),
    "customer new": ("one object", ["customer", "target", "steps", "left"]),
    "customer update": ("one object", ["customer", "from_version", "to_version", "written", "files"]),
    "secret check": ("a list of objects", ["name", "state"]),
    "secret list": ("a list of objects", ["name", "origin", "state", "says"]),
    "tenant list": ("a list of objects", fields_of(Tenant)),
}

# --- What to do about an error, where its messages do not always say it ------------------------------------

ADVICE: Mapping[str, str] = {
    "platform_error": "Read the message; it is the parent of all others and is seldom raised itself.",
    "backup_failed": "`backup list` shows the copies there are; `backup healthy` what is wrong.",
    "invalid_input": "Correct what the message names and run the same command again.",
    "invalid_money": "Write digits with a dot, such as 45000 or 120.50, in the customer's currency.",
    "invalid_time": "Give a day as YYYY-MM-DD, or an instant with its zone.",
    "unreadable_file": "Check the path and its permissions.",
    "invalid_policy": "Correct the field the message names; the policy in force was not touched.",
    "session_invalid": "Correct the session's reference, hours or time zone, as the message says.",
    "not_found": "List what there is with the command that the message names.",
    "unknown_tenant": "See `wmctl tenant list`; the message offers names that are close.",
    "refused": "Read the reason; nothing was changed.",
    "not_confirmed": "Run it again and answer, or give --yes where nobody can answer.",
    "plan_not_deployable": "Decide what the message names; `wmctl plan` shows the ways out.",
    "permission_denied": "Ask a member of one of the roles named. The attempt is in the audit trail.",
    "state_conflict": "Look at the thing again: somebody, named in the message, was faster.",
    "idempotency_conflict": "Use a new key, request id or decision id for a new act.",
    "not_yet": "Nothing: its job waits and computes it; by hand, after the time that the message names.",
    "not_applicable": "Nothing: it did not take place, so nobody is counted and nobody is told.",
    "job_interrupted": "Nothing: another worker has the job, or it was cancelled.",
    "signature_rejected": "Compare the webhook's secret with the provider's console.",
    "unavailable": "Run it again in a moment.",
    "database_unavailable": "Start the database or correct the address; `make demo` brings one.",
    "database_closed": "The customer is suspended or closed: see `wmctl tenant list`.",
    "misconfigured": "Set what the message names, then run it again.",
    "policy_invalid": "Correct the section that the message names in policy.toml and apply it.",
    "secret_rejected": "Set the variable or resource the message names to the real value.",
    "schema_drift": "Run `wmctl db status`, then `wmctl db migrate`.",
    "connector_error": "Read the provider's code in the message; its support asks for the request id.",
    "connector_misconfigured": "Correct the customer's account at the provider; queued messages wait.",
    "connector_auth_rejected": "Replace the API key in the customer's resource; queued messages wait.",
    "connector_precondition": "Do what the provider wants, such as adding balance; queued messages wait.",
    "connector_permanent": "Correct the message or its template; it is not sent again by itself.",
    "connector_recipient": "Reach the family another way: the provider does not deliver to this number.",
    "connector_recipient_opted_out": "Nothing: nobody writes to this contact until it subscribes again.",
    "connector_reconcile": "Look at the provider before deciding anything.",
    "connector_rate_limited": "Nothing: it goes on when the provider's time is over.",
    "connector_transient": "Nothing: it is tried again, later each time.",
    "connector_contract_drift": "The provider changed its answers: report it with the request id.",
    "connector_unsupported": "Use a connector that declares the capability.",
    "deploy_running": "Wait until it ends; the message names who deploys and since when.",
    "lock_lost": "Run `wmctl plan`: it tells what was applied and what was not.",
    "state_unreadable": "Install the newest wmctl, or restore the resource that the message names.",
    "windmill_error": "Read the message; it holds the server's own words.",
    "windmill_token_rejected": "Make a new token in Windmill and give it with `wmctl target add`.",
    "windmill_denied": "Use the token of an administrator, or of a member of wm_deployers.",
    "windmill_not_found": "Run `wmctl plan` to see what is there.",
    "windmill_refused": "Read what the server says in the message; nothing was changed.",
    "windmill_failed": "Read the server's logs; run `wmctl plan` to see what is there now.",
    "windmill_unreachable": "Check the address in `wmctl target list`, and that the server runs.",
    "windmill_uncertain": "Run `wmctl plan`: it reads what is there now.",
    "not_windmill": "Check the address and what stands before the server: a proxy, a login page.",
    "request_refused": "Send what a real Windmill would take: this is its local stand-in's own answer.",
    "bad_cron": "Write the six fields as the message says; minutes and seconds come first.",
    "demo_difference": "Run `wmctl demo` again; if it stays, the line above it names what differs.",
}

_EXITS: Mapping[int, str] = {
    0: "fine, also when there was nothing to do",
    1: "failed",
    2: "bad input: an argument, an option or a value",
    3: "there is no such thing",
    4: "understood and refused; nothing was changed",
    5: "something that is needed does not answer; try again",
    6: "not configured for this",
    INTERRUPTED: "interrupted with Ctrl-C; what was not reported as done was rolled back",
}


# --- Commands ---------------------------------------------------------------------------------------------


def commands(tree: object, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """Every command of a Typer tree that people see, with the words that call it, by name."""
    inner = getattr(tree, "commands", None)
    if not isinstance(inner, dict):
        if not getattr(tree, "hidden", False):
            yield words, tree
        return
    for name in sorted(inner):
        yield from commands(inner[name], (*words, name))


def cli_page() -> str:
    """The whole of docs/reference/cli.md."""
    tree = typer.main.get_command(build())
    groups = getattr(tree, "commands", {})
    lines = ["# Commands", "", WRITTEN_BY, "", *_cli_opening()]
    for noun in sorted(groups):
        lines += ["", f"## wmctl {noun}", ""]
        inner = list(commands(groups[noun], (noun,)))
        if inner[0][0] == (noun,):
            lines += _command(*inner[0])
            continue
        lines += [_first(groups[noun])]
        for words, command in inner:
            lines += ["", f"### wmctl {' '.join(words)}", "", *_command(words, command)]
    return "\n".join(lines).rstrip() + "\n"


_CLI_OPENING = """
Every command of `wmctl`, as the program describes itself. In a checkout it is `.venv/bin/wmctl`. Without a
setting it works on the embedded PostgreSQL, which it starts for its own duration when it is not running.

Data goes to stdout, narration and refusals to stderr. `--json` prints one document, whose keys stand with the
command; amounts are integers of the currency's minor unit, instants are RFC 3339 in UTC. Things are named by
a letter and a number: claim `C12`, obligation `O7`, class `L4`, event `E9`, job `J5`, alert `A3`, a parent's
message `M2`, a message we send `S3`.

`--as` names the member a command acts for. The role is looked up in the policy in force, never taken from the
command line; each denial is kept in the audit trail.

These exit codes hold for every command; one that gives a code a meaning of its own says so. The errors behind
them are in [errors.md](errors.md).

| Exit | Meaning |
|---|---|
"""


def _cli_opening() -> list[str]:
    return [*_CLI_OPENING.strip().split("\n"), *(f"| {code} | {_EXITS[code]} |" for code in _EXITS)]


def _command(words: tuple[str, ...], command: object) -> list[str]:
    told, _, example = str(getattr(command, "help", "") or "").partition("Example:")
    lines = [*textwrap.wrap(" ".join(told.split()), WIDTH)]
    if example:
        lines += ["", "```sh", *textwrap.wrap(" ".join(example.split()), WIDTH - 2), "```"]
    parameters = [_parameter(parameter) for parameter in getattr(command, "params", [])]
    if parameters:
        lines += ["", *(line for item in parameters for line in _bullet(item))]
    if " ".join(words) in DOCUMENTS:
        shape, keys = DOCUMENTS[" ".join(words)]
        listed = ", ".join(f"`{key}`" for key in keys)
        lines += ["", *textwrap.wrap(f"`--json`: {shape} with {listed}.", WIDTH)]
    return lines


def _first(group: object) -> str:
    return str(getattr(group, "help", "") or "").strip().split("\n")[0]


def _bullet(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)


def _parameter(parameter: object) -> str:
    names = [str(name) for name in getattr(parameter, "opts", [])]
    is_option = names[0].startswith("-")
    kind = "" if getattr(parameter, "is_flag", False) else f" {_kind(parameter)}"
    shown = (
        ", ".join(f"`{name}{kind}`" if name.startswith("--") else f"`{name}`" for name in names)
        if is_option
        else f"`{getattr(parameter, 'metavar', None) or names[0].upper()}`"
    )
    about = str(getattr(parameter, "help", "") or "").strip().rstrip(".")
    return f"{shown}: {about[:1].lower()}{about[1:]}.{_bounds(parameter)}{_default(parameter)}"


def _kind(parameter: object) -> str:
    annotation = getattr(getattr(parameter, "type_descriptor", None), "annotation", str)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return "|".join(str(item.value) for item in annotation)
    return {int: "NUMBER", float: "NUMBER", Path: "FILE"}.get(annotation, "TEXT")


def _bounds(parameter: object) -> str:
    least, most = getattr(parameter, "min", None), getattr(parameter, "max", None)
    if least is None:
        return ""
    return f" At least {least}." if most is None else f" {least} to {most}."


def _default(parameter: object) -> str:
    if getattr(parameter, "required", False):
        return " Required."
    default = getattr(parameter, "default", None)
    return f" Default: {default}." if default not in (None, "", False) else ""


# --- Errors -----------------------------------------------------------------------------------------------


def error_classes() -> list[type[PlatformError]]:
    """Every error of the product with a code of its own: in the order of the tree, then others."""
    found: set[type[PlatformError]] = set()
    waiting = [PlatformError]
    while waiting:
        kind = waiting.pop()
        if "code" in vars(kind) and kind.__module__.startswith("platform_"):
            found.add(kind)
        waiting += kind.__subclasses__()
    tree = [kind for kind in vars(errors).values() if _is_error(kind) and kind in found]
    return tree + sorted(found - set(tree), key=lambda kind: kind.code)


def _is_error(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, PlatformError)


def errors_page() -> str:
    """The whole of docs/reference/errors.md."""
    build()  # imports every command, and with them the errors that are defined beside them
    known = error_classes()
    rows = [
        f"| `{kind.code}` | {kind.http_status} | {kind.exit_code} | {'yes' if kind.retryable else 'no'} "
        f"| {_meaning(kind)} |"
        for kind in known
    ]
    lines = ["# Errors", "", WRITTEN_BY, "", *_ERRORS_OPENING.strip().split("\n"), ""]
    lines += ["| Code | HTTP | Exit | Retried | Meaning |", "|---|---|---|---|---|", *rows]
    lines += ["", *_ABOUT_ADVICE.strip().split("\n"), ""]
    lines += [line for kind in known for line in _bullet(f"`{kind.code}`: {_advice(kind)}")]
    return "\n".join(lines) + "\n"


_ERRORS_OPENING = """
Every refusal the platform can give comes from one tree, `platform_core/errors.py`. A code is stable: scripts
may compare it. *HTTP* is what a route answers, *exit* what `wmctl` ends with, *retried* whether a job that
met it runs again by itself.

A message never holds a secret, a phone number or the text of a conversation. It names the variable, the
resource or the number of the thing instead.
"""

_ABOUT_ADVICE = """
## What to do

The message on the screen names the thing, the reason and the next step for that very case. This is what holds
for each code in general.
"""


def _meaning(kind: type[PlatformError]) -> str:
    first = (kind.__doc__ or "").strip().split("\n")[0].rstrip(".")
    return re.sub(r"\s+", " ", first)


def _advice(kind: type[PlatformError]) -> str:
    """The nearest advice there is: an error without one of its own is met like its parent."""
    own = vars(kind).get("default_next_step") or ADVICE.get(kind.code)
    return str(own) if own else next(_advice(parent) for parent in kind.__bases__ if _is_error(parent))


# --- Writing ----------------------------------------------------------------------------------------------


def pages() -> dict[str, str]:
    """The generated pages by file name."""
    return {"cli.md": cli_page(), "errors.md": errors_page(), "plan.md": plan_page.page(WRITTEN_BY)}


def write_pages(root: Path) -> list[Path]:
    """Write the pages that differ from what stands; returns their paths."""
    changed = []
    for name, text in pages().items():
        path = root / FOLDER / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed


if __name__ == "__main__":
    for written in write_pages(find_root(Path.cwd())):
        render.good(f"{written.name} is written.")
