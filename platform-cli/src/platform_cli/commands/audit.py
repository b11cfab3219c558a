"""`wmctl audit`: who did what, and the proof that nobody changed the record."""

from __future__ import annotations

from typing import Annotated

import typer

from platform_cli import render
from platform_cli.options import AsJson, Customer, Limit, noun
from platform_cli.site import open_site
from platform_core import audit
from platform_core.audit.chain import Broken

app = noun("The audit trail: read it, prove it.")

BROKEN = 1


@app.command("list")
def list_(
    customer: Customer = None,
    action: Annotated[str | None, typer.Option(help="Only this action, such as claim.approved.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Show the newest entries first.

    Example: wmctl audit list --action claim.approved
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        entries = audit.list_entries(tx, limit, action=action)
    if as_json:
        render.document(entries)
        return
    render.table(
        "Audit trail",
        ("seq", "at", "action", "who", "what", "result", "detail"),
        [
            (
                e.seq,
                e.at,
                e.action,
                render.who(e.actor.type, e.actor.id),
                " ".join(e.target),
                e.result,
                e.detail,
            )
            for e in entries
        ],
    )


@app.command("verify")
def verify(customer: Customer = None, as_json: AsJson = False) -> int:
    """Prove the whole trail twice: in the database, and entry by entry here. Exit 1 when it is broken.

    Example: wmctl audit verify --customer acme
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        head = audit.read_head(tx)
        verdicts = (
            audit.verify(tx),
            audit.verify_independently(audit.read_entries(tx, until=head), head),
        )
    broken = next((verdict for verdict in verdicts if isinstance(verdict, Broken)), None)
    if as_json:
        render.document({"entries": head.seq, "head": head.hash, "ok": broken is None, "broken": broken})
    elif broken is None:
        render.good(
            f"{head.seq} entries, each proven by the one before; the chain ends in {head.hash.hex()[:16]}…"
        )
    else:
        render.broken(
            f"The audit trail is broken at entry {broken.seq} ({broken.kind}). Compare it with a backup."
        )
    return 0 if broken is None else BROKEN
