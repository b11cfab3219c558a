"""`python -m platform_core.backups`, in its container `backup`: copies of the cluster, and the ways back.

What opens a copy comes on standard input, as lines: the age identity (`AGE-SECRET-KEY-1...`), and for a drill
`WINDMILL_SALT=...`. It is in no argument, no variable and no file.

Exit codes are those of the error tree: 0 done; 1 failed, or a drill or a health check that says no; 2 bad
input; 3 no such copy; 4 refused; 5 unavailable; 6 not set up.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping

from platform_core.backups import answers
from platform_core.backups.copies import take_copy, verify
from platform_core.backups.drill import drill
from platform_core.backups.dumps import dump_all, dump_customer
from platform_core.backups.health import complaints
from platform_core.backups.place import Place
from platform_core.backups.recovery import decide_goal
from platform_core.backups.restoring import restore
from platform_core.backups.sealing import Identity
from platform_core.backups.serving import serve
from platform_core.errors import PlatformError
from platform_core.observability import logs
from platform_core.settings import Secret, Settings, check_secret, load_settings
from platform_core.values import SystemClock

_SALT = "WINDMILL_SALT="


def main() -> int:
    """Carry out one verb; its exit code."""
    told = _parser().parse_args()
    settings = load_settings(os.environ)
    return VERBS[told.verb](Place.of(settings), told, settings)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="backup", description="Encrypted copies of the cluster, and the ways back.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs.add_parser("serve", help="follow the log and take copies, until SIGTERM")
    now = verbs.add_parser("now", help="take a copy at once; prints its name")
    now.add_argument("--reason", default="byhand", help="one word of small letters")
    verbs.add_parser("dump", help="dump every database at once")
    listing = verbs.add_parser("list", help="copies, the time they cover, dumps")
    listing.add_argument("--json", action="store_true")
    verify = verbs.add_parser("verify", help="whether a copy is what was written")
    verify.add_argument("name")
    verbs.add_parser("healthy", help="0 when copies can be relied on, else 1 and why")
    restore = verbs.add_parser(
        "restore", help="put a cluster where the database looks for it; identity on stdin"
    )
    which = restore.add_mutually_exclusive_group(required=True)
    which.add_argument("name", nargs="?", help="the copy as it was taken")
    which.add_argument("--to", help="an instant such as 2026-01-31T03:10:00Z, or latest")
    restore.add_argument(
        "--replace", action="store_true", help="the database is stopped: move the old one aside"
    )
    restore.add_argument("--json", action="store_true")
    drill = verbs.add_parser("drill", help="try the newest copy; identity and salt on stdin")
    drill.add_argument("--json", action="store_true")
    customer = verbs.add_parser("customer", help="one database out of a copy, on stdout; identity on stdin")
    customer.add_argument("name", help="the customer's name, or a database's")
    source = customer.add_mutually_exclusive_group()
    source.add_argument("--to", help="an instant, or latest")
    source.add_argument("--copy", help="the copy as it was taken")
    return parser


def _serve(place: Place, _: Namespace, settings: Settings) -> int:
    logs.configure("backup", level=settings.log_level, key=settings.log_key)
    serve(place, SystemClock(), logs.get_logger("backup"))
    return 0


def _now(place: Place, told: Namespace, _: Settings) -> int:
    answers.say(take_copy(place, told.reason, SystemClock()).name)
    return 0


def _dump(place: Place, _: Namespace, __: Settings) -> int:
    for dump in dump_all(place, SystemClock()):
        answers.say(f"{dump.database} {dump.bytes}")
    return 0


def _list(place: Place, told: Namespace, _: Settings) -> int:
    answers.say_copies(place, as_json=told.json)
    return 0


def _verify(place: Place, told: Namespace, _: Settings) -> int:
    answers.say(f"{verify(place, told.name).name} is what was written")
    return 0


def _healthy(place: Place, _: Namespace, __: Settings) -> int:
    found = complaints(place, SystemClock())
    for complaint in found:
        answers.say(complaint)
    return 1 if found else 0


def _restore(place: Place, told: Namespace, _: Settings) -> int:
    goal = decide_goal(place, name=told.name, to=told.to)
    identity, _salt = _keys_from(sys.stdin.read())
    found = restore(place, goal, identity, replace=told.replace, clock=SystemClock())
    answers.say_restored(found, as_json=told.json)
    return 0


def _drill(place: Place, told: Namespace, _: Settings) -> int:
    identity, salt = _keys_from(sys.stdin.read())
    found = drill(place, identity, salt, SystemClock())
    answers.say_drill(found, as_json=told.json)
    return 0 if found.ok else 1


def _customer(place: Place, told: Namespace, _: Settings) -> int:
    goal = decide_goal(place, name=told.copy, to=told.to)
    identity, _salt = _keys_from(sys.stdin.read())
    dump_customer(place, goal, identity, told.name)
    return 0


def _keys_from(text: str) -> tuple[Identity, Secret | None]:
    """The identity and the salt, where one was given. Raises: SecretRejected, SecretRejected."""
    lines = text.splitlines()
    salts = [line.removeprefix(_SALT).strip() for line in lines if line.startswith(_SALT)]
    identity = Identity.parse("\n".join(line for line in lines if not line.startswith(_SALT)))
    return identity, check_secret("WINDMILL_SALT", salts[0]) if salts else None


VERBS: Mapping[str, Callable[[Place, Namespace, Settings], int]] = {
    "serve": _serve,
    "now": _now,
    "dump": _dump,
    "list": _list,
    "verify": _verify,
    "healthy": _healthy,
    "restore": _restore,
    "drill": _drill,
    "customer": _customer,
}


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except PlatformError as error:
        answers.complain(error)
        raise SystemExit(error.exit_code) from None
