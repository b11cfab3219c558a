"""The commands about hosts: a line for one called `prod`, and what each refuses before it enters any."""

from __future__ import annotations

from collections.abc import Mapping

from tests.cli.commands.row import Row

_OTHER = (({"host": "other"}, 3, "There is no host 'other'"),)

ROWS_OF_HOSTS: Mapping[str, Row] = {
    "host add": Row(
        {"name": "prod", "address": "vps.invalid", "identity": "README.md", "fingerprint": ""},
        "",
        spoilt=(
            ({"fingerprint": ""}, 2, "none is trusted unseen"),
            ({"host_key": "README.md"}, 2, "no public key of a host"),
            ({"host_key": "nowhere.pub"}, 2, "cannot be read"),
        ),
    ),
    "secret bundle": Row({"file": "nowhere.tar.age", "host": "prod"}, "", spoilt=_OTHER),
    "secret unbundle": Row(
        {"file": "README.md", "identity": "README.md", "host": "prod"},
        "",
        spoilt=(
            ({"file": "README.md"}, 2, "is no bundle"),
            ({"file": "nowhere.tar.age"}, 2, "nowhere.tar.age cannot be read"),
        ),
    ),
    "backup list": Row({"host": "prod"}, "", "copies covered dumps drill bundles aside", spoilt=_OTHER),
    "backup now": Row({"host": "prod"}, "", spoilt=_OTHER),
    "backup drill": Row({"identity": "nowhere.identity", "host": "prod"}, "", spoilt=_OTHER),
    "backup fetch": Row({"to": "nowhere", "host": "prod"}, "", spoilt=_OTHER),
    "backup send": Row({"source": "nowhere", "host": "prod"}, "", spoilt=_OTHER),
    "backup restore": Row(
        {"to": "2026-01-31T03:10:00Z", "identity": "nowhere.identity", "host": "prod"},
        "",
        spoilt=(
            *_OTHER,
            ({"to": "yesterday"}, 2, "'yesterday' is no instant with its zone"),
            ({"copy": "20260131T031000Z-daily"}, 2, "A restore goes back to one thing"),
        ),
    ),
    "backup forget": Row({"host": "prod"}, "", spoilt=_OTHER),
    "host list": Row({}, "", "name address port identity keys"),
    "host remove": Row({"name": "prod"}, "", spoilt=(({"name": "other"}, 3, "There is no host 'other'"),)),
    "host bootstrap": Row({"host": "prod"}, "", spoilt=_OTHER),
    "host doctor": Row({"host": "prod"}, "", spoilt=_OTHER),
    "host deploy": Row(
        {"bundle": "platform-1.4.2.tar.gz", "host": "prod"},
        "",
        spoilt=(
            ({"bundle": "nowhere.tar.gz"}, 2, "There is no bundle nowhere.tar.gz"),
            ({"bundle": "README.md"}, 2, "is not the bundle of a release"),
        ),
    ),
    "host rollback": Row({"host": "prod"}, "", spoilt=_OTHER),
    "host resume": Row({"host": "prod"}, "", spoilt=_OTHER),
    "host follow": Row({"run": "20260301T101500Z-812-deploy", "host": "prod"}, "", spoilt=_OTHER),
    "host tunnel": Row({"host": "prod"}, "", spoilt=_OTHER),
    "host door": Row({"customers": "acme", "host": "prod"}, "", spoilt=_OTHER),
    "host status": Row(
        {"host": "prod"},
        "",
        "deployed deploying restoring lock releases health services disk_free_mb audit workspace",
        spoilt=_OTHER,
    ),
    "host logs": Row({"service": "caddy", "host": "prod"}, "", spoilt=_OTHER),
    "host prune": Row({"host": "prod"}, "", spoilt=_OTHER),
}
