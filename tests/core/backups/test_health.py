"""Whether copies can be relied on: judged from files alone, and each complaint in words."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from platform_core.backups.health import complaints
from platform_core.backups.place import Copy, Dump, Place, dump_stem, dump_suffix
from platform_core.backups.segments import said

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)


class _Noon:
    """A clock that stands."""

    def now(self) -> datetime:
        """Always the same."""
        return NOW


def _ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An installation in which all is well."""
    found = Place(
        tmp_path / "b", tmp_path / "s", tmp_path / "d", tmp_path / "x", tmp_path / "p", "host=x", time(3, 10)
    )
    found.prepare()
    _copy(found, _ago(hours=9))
    _dump(found, _ago(hours=9))
    _state(found)
    _drill(found)
    return found


def _copy(place: Place, at: datetime) -> None:
    name = f"{at:%Y%m%dT%H%M%SZ}-daily"
    copy = Copy(name, "daily", at, at, 1, "7", 3, 1, 1, "0" * 64, 170006)
    place.sealed_copy(copy).touch()
    (place.copies / f"{name}.json").write_text(json.dumps(copy.as_json()), encoding="ascii")


def _dump(place: Place, at: datetime) -> None:
    dump, folder = Dump("d_1", at, 1, "0" * 64), place.customers / "d_1"
    folder.mkdir(exist_ok=True)
    (folder / f"{dump_stem(dump)}{dump_suffix('d_1')}").touch()
    (folder / f"{dump_stem(dump)}.json").write_text(json.dumps(dump.as_json()), encoding="ascii")


def _state(place: Place, **changed: object) -> None:
    told = {"at": said(_ago(seconds=5)), "log_connected_at": said(_ago(seconds=5)), "failed": {}} | changed
    place.state.write_text(json.dumps(told), encoding="ascii")


def _drill(place: Place, **changed: object) -> None:
    place.drill.write_text(json.dumps({"at": said(_ago(days=3)), "ok": True} | changed), encoding="ascii")


def test_all_is_well(place: Place) -> None:
    """Nothing is said."""
    assert complaints(place, _Noon()) == []


def test_each_thing_that_is_wrong_is_said(place: Place) -> None:
    """One at a time, and put right again."""
    _state(place, at=said(_ago(minutes=2)))
    silent = complaints(place, _Noon())
    _state(place, log_connected_at=said(_ago(minutes=3)))
    cut_off = complaints(place, _Noon())
    _state(place, failed={"copy": "The disk of the copies is full"})
    failed = complaints(place, _Noon())
    _state(place)
    _drill(place, ok=False)
    bad_drill = complaints(place, _Noon())
    _drill(place, at=said(_ago(days=9)))
    old_drill = complaints(place, _Noon())

    assert silent == ["the service does not run"]
    assert cut_off == ["the log is not followed since 2026-03-20T11:57:00Z"]
    assert failed == ["the last attempt at copy failed: The disk of the copies is full"]
    assert bad_drill == ["the drill of 2026-03-17T12:00:00Z failed"]
    assert old_drill == ["the last drill was on 2026-03-11T12:00:00Z"]


def test_copies_and_dumps_grow_old(place: Place) -> None:
    """A day and two hours, for a copy that takes long."""
    later = dataclasses.replace(place)
    for path in (*later.copies.iterdir(), *later.customers.glob("*/*")):
        path.unlink()
    assert complaints(later, _Noon()) == ["there is no copy", "there are no dumps"]

    _copy(later, _ago(hours=27))
    _dump(later, _ago(hours=27))
    assert complaints(later, _Noon()) == [
        "the newest copy is of 2026-03-19T09:00:00Z",
        "the newest dumps is of 2026-03-19T09:00:00Z",
    ]


def test_a_new_host_has_eight_days_for_its_first_drill(place: Place) -> None:
    """After that, nobody tried the copies."""
    place.drill.unlink()
    assert complaints(place, _Noon()) == []

    _copy(place, _ago(days=9))
    assert complaints(place, _Noon()) == ["no drill since the first copy, of 2026-03-11T12:00:00Z"]


def test_a_copy_without_its_facts_or_its_file_is_none(place: Place) -> None:
    """What an interrupted run left is not counted, and goes with the next one."""
    (place.copies / "20260320T110000Z-daily.tar.zst.age").touch()
    (place.copies / ".part").touch()
    (place.copies / "20260320T113000Z-daily.json").write_text("{}", encoding="ascii")
    assert [copy.name for copy in place.list_copies()] == ["20260320T030000Z-daily"]

    place.sweep_copies()
    assert {path.name for path in place.copies.iterdir() if path.suffix != ".json"} == {
        "20260320T030000Z-daily.tar.zst.age"
    }
