"""The classes of the day: who came, who did not, and what nobody knows.

One class is watched by a reader that lives, the other by a reader that died without a word.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from platform_core.attendance import results
from platform_core.attendance.contracts import session_ref
from platform_core.db import Tx
from platform_core.errors import PlatformError

if TYPE_CHECKING:
    from platform_cli.local.day import Day

FORGED = f"rdr_{'0' * 32}"
"""A forger's guess at the readers' secret."""

_OPEN_FOR_S = 5
"""How long the classes are still settling when the scene begins."""

_LENGTH, _EVERY = timedelta(hours=1), timedelta(minutes=5)
WATCHED, UNWATCHED = "demo/robotica", "demo/ajedrez"
_STUDENTS = """referencia;nombre;teléfono;curso;desde
118;Sofía;+56900000011;Robótica;01-03-2026
119;Mateo;+56900000012;Robótica;01-03-2026
120;Isidora;+56900000013;Robótica;01-03-2026
121;Vicente;+56900000014;Robótica;01-03-2026
122;Emilia;+56900000015;Robótica;01-03-2026
123;Lucas;+56900000016;Ajedrez;01-03-2026
124;Antonia;+56900000017;Ajedrez;01-03-2026
"""
_CAME = ("118", "119", "120")

ENDING: Mapping[str, tuple[str, str]] = {
    WATCHED: ("complete", "118 present, 119 present, 120 present, 121 present, 122 absent_excused"),
    UNWATCHED: ("undetermined", "123 undetermined, 124 undetermined"),
}
"""The verdict and the students of each class, when the day is over."""


@dataclass(frozen=True, slots=True)
class _Hours:
    """When both classes take place."""

    starts: datetime
    ends: datetime
    zone: ZoneInfo
    settled: datetime


def a_class_ends(day: Day) -> None:
    """The office's sheets, two readers of which one is dead, an absence that was none, and an apology."""
    day.tell.scene("A class ends")
    hours = _hours_of(day)
    _enter(day, "student", _STUDENTS, "enters the students from a sheet")
    _deliver(day, hours)
    # Before there is a class to compute: on a slow machine too, what a reader delivered is taken in first.
    day.work("takes in what the reader delivered")
    _enter(day, "session", _classes(hours), "enters today's classes")
    names = {name: session_ref(number) for name, (number, _, _) in _look(day).items()}
    day.command("carla", "hears that Emilia is ill", "attendance", "excuse", names[WATCHED], "--as", "carla",
                "--student", "122", "--reason", "enferma, avisó la madre")  # fmt: skip
    day.tell.waiting("both classes settle: check-ins that are on their way still count")
    time.sleep(max(0.0, (hours.settled - datetime.now(hours.settled.tzinfo)).total_seconds()) + 0.2)
    day.work("computes both classes and tells Vicente's family")
    found = _look(day)
    absent = ENDING[WATCHED][1].replace("121 present", "121 absent_unexcused")
    day.expect(that=found[WATCHED][1:] == ("complete", absent), what=f"robotics is {found[WATCHED][1:]}")
    day.expect(that=found[UNWATCHED][1:] == ENDING[UNWATCHED], what=f"chess is {found[UNWATCHED][1:]}")
    day.tell.line("platform", "robotics: three came, one is excused, one did not come", "1 message")
    day.tell.line(
        "platform", "chess: its reader was silent, so nobody is called absent", "undetermined, 0 messages"
    )
    day.command("bruno", "saw Vicente in class; the reader missed his card", "attendance", "correct",
                names[WATCHED], "--as", "bruno", "--student", "121", "--status", "present",
                "--reason", "entró con el grupo")  # fmt: skip
    day.work("apologises to Vicente's family, once")


def told_of(tx: Tx) -> dict[str, tuple[str, str]]:
    """The verdict and the students of each class, by its reference."""
    return {name: found[1:] for name, found in _look_in(tx).items()}


def _hours_of(day: Day) -> _Hours:
    rules = day.stage.policy.attendance
    if rules is None:
        raise PlatformError("The policy says nothing about attendance")
    zone = ZoneInfo(day.stage.policy.customer.timezone)
    with day.stage.app() as app:
        now = app.clock.now().replace(microsecond=0)
    settled = now + timedelta(seconds=_OPEN_FOR_S)
    ends = settled - timedelta(minutes=rules.settle_minutes)
    return _Hours((ends - _LENGTH).astimezone(zone), ends.astimezone(zone), zone, settled)


def _classes(hours: _Hours) -> str:
    wall = f"{hours.starts:%d-%m-%Y};{hours.starts:%H:%M:%S};{hours.ends:%H:%M:%S};{_which(hours)}"
    return (
        "referencia;curso;lector;fecha;inicio;fin;vez\n"
        f"{WATCHED};Robótica;door-1;{wall}\n"
        f"{UNWATCHED};Ajedrez;door-2;{wall}\n"
    )


def _enter(day: Day, noun: str, text: str, what: str) -> None:
    """One of the office's sheets, as Excel saves it."""
    with tempfile.TemporaryDirectory() as folder:
        sheet = Path(folder) / f"{noun}.csv"
        sheet.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
        day.command("office", what, noun, "import", str(sheet), "--as", "bruno")


def _which(hours: _Hours) -> str:
    """Which of two equal hours, in the one night of the year in which that is a question."""
    doubled = any(
        one.replace(fold=0).utcoffset() != one.replace(fold=1).utcoffset()
        for one in (hours.starts, hours.ends)
    )
    return str(1 + max(hours.starts.fold, hours.ends.fold)) if doubled else ""


def _deliver(day: Day, hours: _Hours) -> None:
    """The reader of robotics delivers, twice; a stranger tries; the one of chess is dead."""
    reader = day.stage.reader("door-1")
    for minute, student in enumerate(_CAME):
        reader.sees(student, at=hours.starts + timedelta(minutes=minute))
    reader.lives_through(hours.starts, hours.ends, every=_EVERY)
    (delivered,) = reader.deliver()
    again = reader.post(delivered.body)
    forged = reader.post(delivered.body.replace(b'"118"', b'"121"'), secret=FORGED)
    statuses = (delivered.status, again, forged)
    day.expect(that=statuses == (200, 200, 401), what=f"the reader's deliveries are answered {statuses}")
    day.tell.line("door-1", "delivers three check-ins, and that it watched the whole hour", "HTTP 200")
    day.tell.line("door-1", "delivers the same batch again", "HTTP 200")
    day.tell.line("stranger", "posts a check-in with a forged signature", "HTTP 401")
    day.tell.line("door-2", "has been dead since the morning", "nothing")


def _look(day: Day) -> dict[str, tuple[int, str, str]]:
    with day.stage.app() as app, app.tx() as tx:
        return _look_in(tx)


def _look_in(tx: Tx) -> dict[str, tuple[int, str, str]]:
    found = {}
    for one in results.list_sessions(tx):
        students = [] if one.result_id is None else results.list_students(tx, one.result_id)
        told = ", ".join(f"{s.reference} {s.status}" for s in sorted(students, key=lambda s: s.reference))
        found[one.reference] = (one.id, one.verdict or "", told)
    return found
