"""`python -m platform_core.restores`, in a container of one task: data that was put back, made whole again.

It reaches the database as libpq's variables say: over the socket, as the administrator. Exit codes are those
of the error tree; one line of JSON says what was done.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from dataclasses import asdict

from platform_core.backups import answers
from platform_core.errors import BackupFailed, PlatformError
from platform_core.restores.cluster import settle_cluster
from platform_core.restores.customer import (
    Dump,
    Origin,
    forget_aside,
    heal_customer,
    put_customer_back,
    restore_customer,
)
from platform_core.restores.dump import load_dump
from platform_core.values import Actor

ADMINISTRATOR = "dbname=postgres"
"""Everything else comes from libpq's variables."""


def main() -> None:
    """Carry out one verb. Raises: whatever the verb raises."""
    told = _parser().parse_args()
    answers.say_json({key: value for key, value in VERBS[told.verb](told).items() if value not in ("", ())})


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="restores", description="Data that was put back, made whole again.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    settle = verbs.add_parser("settle", help="look after every database of a cluster that was put back")
    place = verbs.add_parser("place", help="one customer from a dump on stdin, in the place of what it has")
    others = [
        verbs.add_parser("undo", help="give one customer what it had before its last restore"),
        verbs.add_parser("heal", help="end what a killed restore of one customer left"),
        verbs.add_parser("forget", help="delete what one customer had before its restores"),
    ]
    for verb in (place, *others):
        verb.add_argument("customer")
    for verb in (settle, place):
        verb.add_argument("--copy", default="", help="the copy it came from; for the audit")
        verb.add_argument("--to", default="", help="the instant it was put back to; for the audit")
    for verb in (settle, place, *others):
        verb.add_argument("--by", default="unknown", help="who asked for it; for the audit")
    return parser


def _settle(told: Namespace) -> Mapping[str, object]:
    done = settle_cluster(ADMINISTRATOR, origin=Origin(told.copy, told.to), actor=_actor(told))
    complaints = [f"{one.slug}: {one.complaint}" for one in done if one.complaint]
    if complaints:
        raise BackupFailed("; ".join(complaints), next_step="Try another copy, or an earlier instant.")
    return {
        "databases": len(done),
        "entries": sum(one.entries for one in done),
        "held": sum(one.held for one in done),
    }


def _place(told: Namespace) -> Mapping[str, object]:
    dump = Dump(lambda dsn: load_dump(sys.stdin.buffer, dsn), Origin(told.copy, told.to))
    return asdict(restore_customer(ADMINISTRATOR, told.customer, dump, actor=_actor(told)))


def _undo(told: Namespace) -> Mapping[str, object]:
    return {
        "slug": told.customer,
        "aside": put_customer_back(ADMINISTRATOR, told.customer, actor=_actor(told)),
    }


def _heal(told: Namespace) -> Mapping[str, object]:
    heal_customer(ADMINISTRATOR, told.customer)
    return {"slug": told.customer}


def _forget(told: Namespace) -> Mapping[str, object]:
    return {"slug": told.customer, "gone": forget_aside(ADMINISTRATOR, told.customer, actor=_actor(told))}


def _actor(told: Namespace) -> Actor:
    return Actor("support", f"host:{told.by}")


VERBS: Mapping[str, Callable[[Namespace], Mapping[str, object]]] = {
    "settle": _settle,
    "place": _place,
    "undo": _undo,
    "heal": _heal,
    "forget": _forget,
}


if __name__ == "__main__":
    try:
        main()
    except PlatformError as error:
        answers.complain(error)
        raise SystemExit(error.exit_code) from None
