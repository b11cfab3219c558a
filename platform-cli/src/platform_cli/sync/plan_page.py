"""The page about plans as documents, written from their contract: docs/reference/plan.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from platform_cli.sync.plan_file import PlanFile

_ABOUT_PLANS = """
`wmctl plan --json` prints a list of plans, one for each customer. `wmctl plan --out FILE` keeps them in a
file for `wmctl deploy FILE`. It holds no item whole and no secret: a deploy plans again, and refuses with
`stale_plan` when anything that it would write is not what the file says. `version` grows when a key changes
its meaning; a new key does not change it. Another version, a file that was edited, or one that is no plan is
refused with `invalid_plan`.

## Acts

| act | means |
|---|---|
| `create` | git has it, Windmill never had: a deploy makes it |
| `update` | git changed it: a deploy writes it, with the edits of both sides where both changed |
| `delete` | git dropped it and nobody touched it in Windmill: a deploy removes it |
| `pull` | edited in Windmill alone: a pull brings it to git, a deploy leaves it alone |
| `pull_delete` | deleted in Windmill, untouched in git: a pull removes the file, a deploy stops at it |
| `conflict` | both changed the same thing: a person decides, and a deploy stops at it |
| `adopt` | both sides came to the same: a deploy notes it |
| `relock` | only locks differ, which no person wrote: a pull takes them |
| `unmanaged` | in Windmill alone and never git's: never touched |
| `kept` | differs, and `protect` or `ignore` of customer.toml leaves it |

## Keys
"""


def page(written_by: str) -> str:
    """The page; `written_by` is the line that says so."""
    lines = ["# A plan as a document", "", written_by, _ABOUT_PLANS]
    for title, schema in _schemas().items():
        lines += [f"### {title}", "", "| key | type | means |", "|---|---|---|"]
        lines += [
            f"| `{name}` | {_type_of(said)} | {said['description']} |"
            for name, said in schema["properties"].items()
        ]
        lines.append("")
    return "\n".join(lines)


def _schemas() -> dict[str, dict[str, Any]]:
    """Each kind of object in a plan's file, the outermost first."""
    whole = PlanFile.model_json_schema()
    inner = {name: one for name, one in whole["$defs"].items() if "properties" in one}
    return {"PlanFile": whole, **dict(sorted(inner.items()))}


def _type_of(said: Mapping[str, Any]) -> str:
    """A type of JSON as people say it."""
    if "$ref" in said:
        return f"`{said['$ref'].rpartition('/')[2]}`"
    if "anyOf" in said:
        return " or ".join(_type_of(one) for one in said["anyOf"])
    if said.get("type") == "array":
        return f"list of {_type_of(said['items'])}"
    if "const" in said:
        return f"`{said['const']}`"
    return str(said.get("format") or said.get("type") or "any JSON")
