"""A report of probes for people and for machines: counts by area, JSON, and the page that is committed."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from platform_cli.instances.probe import Outcome, Report, Verdict
from platform_cli.instances.server import Json
from platform_core.errors import UnreadableFile

BEGIN = "<!-- begin: written by `wmctl instance check --report` -->"
END = "<!-- end: written by `wmctl instance check --report` -->"
_GENERATED = re.compile(re.escape(BEGIN) + r".*?" + re.escape(END) + r"\n?", re.DOTALL)


def counts(report: Report) -> list[tuple[str, int, int, int]]:
    """Each area with how many facts hold, differ and could not be looked at."""
    areas: dict[str, Counter[Verdict]] = {}
    for one in report.outcomes:
        areas.setdefault(one.probe.area, Counter())[one.verdict] += 1
    return [
        (area, found[Verdict.OK], found[Verdict.DIFFERS], found[Verdict.NOT_APPLICABLE])
        for area, found in areas.items()
    ]


def as_document(report: Report) -> dict[str, object]:
    """The report with stable keys: `docs/reference/windmill-conformance.md` explains them."""
    return {
        "server_version": report.server_version,
        "workspace": report.workspace,
        "at": report.at,
        "took_s": round(report.took_s, 1),
        "differing": len(report.differing),
        "findings": len(report.findings),
        "left": list(report.left),
        "probes": [
            {
                "name": one.probe.name,
                "verdict": one.verdict.value,
                "weight": one.probe.weight.value,
                "relies": one.probe.relies,
                "why": one.probe.why,
                "how": one.probe.how,
                "expected": one.probe.expected,
                "seen": one.seen,
                "took_s": round(one.took_s, 1),
            }
            for one in report.outcomes
        ],
    }


def write_page(report: Report, page: Path) -> None:
    """Put the report into the page between its marks, or at its end; the rest of the page stays.

    Raises: UnreadableFile when the page is not there or cannot be written.
    """
    try:
        text = page.read_text(encoding="utf-8")
        kept = _GENERATED.sub("", text).rstrip("\n")
        page.write_text(f"{kept}\n\n{_section(report)}", encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableFile(f"{page} cannot be written", next_step="Give the path of the page.") from error


def _section(report: Report) -> str:
    lines = [
        BEGIN,
        "## What wmctl relies on",
        "",
        _summary(report),
        "",
        *_differences("Difference", report.differing),
        *_differences("Finding about that instance", report.findings),
        *_unlooked(report.unlooked),
        "| Fact | Relied on | What for | |",
        "|---|---|---|---|",
        *(_row(one) for one in report.outcomes),
        END,
        "",
    ]
    return "\n".join(lines)


def _summary(report: Report) -> str:
    return (
        f"Windmill `{report.server_version}`, {report.at:%Y-%m-%d}: {len(report.outcomes)} facts looked at, "
        f"{len(report.differing)} differ, {len(report.findings)} findings."
    )


def _row(one: Outcome) -> str:
    return (
        f"| `{one.probe.name}` | {_cell(one.probe.relies)} | {_cell(one.probe.why)} | {one.verdict.value} |"
    )


def _differences(title: str, outcomes: Sequence[Outcome]) -> Iterable[str]:
    if not outcomes:
        return []
    cells = [(one.probe, _code(one.probe.expected), _code(one.seen)) for one in outcomes]
    lines = [
        f"| `{probe.name}` | {_cell(probe.relies)} | {wanted} | {seen} |" for probe, wanted, seen in cells
    ]
    return [f"| {title} | Relied on | Expected | Seen |", "|---|---|---|---|", *lines, ""]


def _unlooked(outcomes: Sequence[Outcome]) -> Iterable[str]:
    if not outcomes:
        return []
    lines = [f"| `{one.probe.name}` | {_cell(str(one.seen))} |" for one in outcomes]
    return ["| Not looked at | Why |", "|---|---|", *lines, ""]


def _code(value: Json) -> str:
    return f"`{_cell(json.dumps(value, ensure_ascii=False)[:200])}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
