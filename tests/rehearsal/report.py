"""What a rehearsal saw, as a table for the terminal and for docs/reference/rehearsal.md."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.rehearsal.prober import Count

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/rehearsal.md"


@dataclass(frozen=True)
class Row:
    """One thing that was tried: what the host did, and what a visitor saw meanwhile."""

    what: str
    came_out: str
    seconds: float
    count: Count
    goal: str = ""
    met: bool = True

    @property
    def line(self) -> str:
        """The row in Markdown."""
        asked = f"{self.count.failed} of {self.count.asked:,}" if self.count.asked else "–"
        longest = f"{self.count.longest_ms:,} ms" if self.count.asked else "–"
        goal = self.goal and f"{self.goal}: {'met' if self.met else '**missed**'}"
        return f"| {self.what} | {self.came_out} | {self.seconds:.1f} s | {asked} | {longest} | {goal} |"


HEAD = (
    "| What | What came out | Took | Failed requests | Longest wait | Goal |",
    "| --- | --- | ---: | ---: | ---: | --- |",
)


def table(rows: list[Row]) -> str:
    """All rows."""
    return "\n".join([*HEAD, *(row.line for row in rows)])


def write(rows: list[Row], *, facts: dict[str, str], real: bool, page: Path = PAGE) -> None:
    """Write the page anew."""
    server = (
        "The Windmill server and its workers were real.\n"
        if real
        else "**A stand-in played Windmill**: its image could not be had where this ran. It\n"
        "answers the same health and version and its workers are counted; it runs no jobs.\n"
    )
    told = "\n".join(f"- {name}: {value}" for name, value in facts.items())
    page.write_text(
        "# Rehearsal\n\n"
        "`make rehearsal` wrote this page: it plays a host from bare to serving and back, on one machine,\n"
        "over real SSH, with a registry, a certificate authority and a Docker of the host's own. While each\n"
        "thing is done, visitors ask without a pause through the proxy, by TLS: Windmill's version by its\n"
        "host name, and the door by webhooks. From the first customer on they are signed, each one of its\n"
        "own, and each that was answered with 200 has to be stored and handled in the end. Any answer but\n"
        "the right one counts as failed. [What a rehearsal needs](../guides/rehearsal.md).\n\n"
        f"{server}PostgreSQL, Caddy, the door, Docker, Compose, OpenSSH and ACME were real.\n\n{told}\n\n"
        f"{table(rows)}\n",
        encoding="utf-8",
    )
