"""Copies carried off a host and back to one, between the real programs of both ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from platform_cli.backups import fetching
from platform_cli.backups.fetching import Fetched, Shelves, fetch
from platform_core.errors import HostUnreachable
from tests.support.backup_desks import BackupDesk, tree_of

COPY = "backups/copies/20260301T031000Z-daily.tar.zst.age"
LOG = "backups/wal/7341/00000001000000000000000A-20260301T0400Z-ab12.zst.age"
BUNDLE = "bundles/secrets-20260301T000000Z.tar.age"
HELD = {
    COPY: bytes(range(256)) * 4000,
    "backups/copies/20260301T031000Z-daily.json": b'{"name": "x"}',
    LOG: b"a part of the log" * 500,
    "backups/customers/d_0a/20260301T0500Z.dump.zst.age": b"",
    "backups/drill.json": b'{"ok": true}',
    BUNDLE: b"sealed",
}
COPIES = {path: content for path, content in HELD.items() if path != BUNDLE}
"""What comes where no place for bundles is named."""


@pytest.fixture
def desk(tmp_path: Path) -> BackupDesk:
    """A host with copies of every kind, and one that is being written."""
    made = BackupDesk.furnished(tmp_path)
    for path, content in HELD.items():
        made.holds(path, content)
    made.holds("backups/copies/.20260302T031000Z-daily.tar.zst.age", b"half")
    made.holds("backups/copies/20260302T031000Z-daily.tar.zst.age.part", b"half")
    return made


def test_everything_whole_is_carried_off_and_a_repeat_brings_nothing(
    desk: BackupDesk, tmp_path: Path
) -> None:
    """But small files that may be other ones by then."""
    to = tmp_path / "off"
    first = desk.say("fetch", "--to", str(to))
    asked = len(desk.asked("backup bytes"))
    second = desk.say("fetch", "--to", str(to))

    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert tree_of(to) == COPIES
    assert "5 files came, 1.0 MB; 0 were here" in first.err
    assert "2 files came, 25 B; 3 were here" in second.err
    assert (asked, len(desk.asked("backup bytes"))) == (1, 2)


def test_bundles_of_secrets_come_only_to_a_place_of_their_own(desk: BackupDesk, tmp_path: Path) -> None:
    """They hold the salt, which whoever finds the copies must not have."""
    off, apart = tmp_path / "off", tmp_path / "apart"
    without = desk.say("fetch", "--to", str(off))
    alone = desk.say("fetch", "--bundles-to", str(apart))
    both = desk.say("fetch", "--to", str(off), "--bundles-to", str(apart))

    assert [one.code for one in (without, alone, both)] == [0, 0, 0], (without, alone, both)
    assert "1 bundles of secrets stay on prod: they are kept apart" in without.err
    assert "stay on prod" not in alone.err + both.err
    assert (tree_of(off), tree_of(apart)) == (COPIES, {BUNDLE.removeprefix("bundles/"): b"sealed"})


@pytest.mark.parametrize("apart", ["off", "off/bundles", "off/../off", "."])
def test_one_folder_for_copies_and_bundles_is_refused(desk: BackupDesk, tmp_path: Path, apart: str) -> None:
    """Also one in the other. The host is not even asked."""
    said = desk.say("fetch", "--to", str(tmp_path / "off"), "--bundles-to", str(tmp_path / apart))
    none = desk.say("fetch")

    assert (said.code, "are not apart" in said.err) == (2, True), said
    assert (none.code, "Nothing is fetched" in none.err) == (2, True), none
    assert desk.asked("backup") == []


def test_what_is_new_is_fetched_and_nothing_here_is_deleted_with_it(desk: BackupDesk, tmp_path: Path) -> None:
    """The host forgets its oldest copies; the other machine keeps them."""
    to = tmp_path / "off"
    desk.say("fetch", "--to", str(to))
    (desk.host / LOG).unlink()
    newer = desk.holds("backups/wal/7341/00000001000000000000000B-20260301T0500Z-cd34.zst.age", b"more")
    done = desk.say("fetch", "--to", str(to))

    assert done.code == 0, done.err
    assert tree_of(to) == {**COPIES, newer.relative_to(desk.host).as_posix(): b"more"}


@pytest.mark.parametrize("cut", [1, 4_000, 1_000_000])
def test_a_cut_connection_goes_on_at_the_byte(desk: BackupDesk, tmp_path: Path, cut: int) -> None:
    """In the middle of the first file, or later."""
    (desk.folder / "cut").write_text(str(cut))
    with pytest.MonkeyPatch.context() as shell:
        shell.setenv("PATH", desk.path)
        done = fetch(desk.connection(), Shelves(tmp_path / "off", tmp_path / "apart"), pause_s=0)

    assert tree_of(tmp_path / "off") == COPIES
    assert tree_of(tmp_path / "apart") == {BUNDLE.removeprefix("bundles/"): HELD[BUNDLE]}
    assert done == Fetched(6, sum(map(len, HELD.values())), 0)


def test_a_fetch_that_was_killed_goes_on_from_what_it_left(desk: BackupDesk, tmp_path: Path) -> None:
    """What stands beside its place is the beginning of the file."""
    part = tmp_path / "off" / COPY
    part.parent.mkdir(parents=True)
    part.with_name(f".part-{part.name}").write_bytes(HELD[COPY][:1000])
    done = desk.say("fetch", "--to", str(tmp_path / "off"))

    assert done.code == 0, done.err
    assert tree_of(tmp_path / "off") == COPIES


def test_a_beginning_of_another_file_is_found_by_its_checksum_and_fetched_anew(
    desk: BackupDesk, tmp_path: Path
) -> None:
    """It never gets the name; the next run brings all of it."""
    part = tmp_path / "off" / COPY
    part.parent.mkdir(parents=True)
    part.with_name(f".part-{part.name}").write_bytes(b"x" * 1000)
    bad = desk.say("fetch", "--to", str(tmp_path / "off"))
    there = part.exists()
    good = desk.say("fetch", "--to", str(tmp_path / "off"))

    assert (bad.code, there, good.code) == (5, False, 0)
    assert "arrived other than it stands on prod" in bad.err
    assert tree_of(tmp_path / "off") == COPIES


@pytest.mark.parametrize(
    "line",
    [
        "9 ../escaped",
        "9 /etc/passwd",
        "9 backups/../../x",
        "9 backups/.ssh/x",
        "x backups/y",
        "9 other/y",
        "9",
    ],
)
def test_a_host_that_names_a_place_outside_the_folder_is_not_believed(
    desk: BackupDesk, tmp_path: Path, line: str
) -> None:
    """Whoever holds the host must not write on the machine that fetches."""
    desk.program("ssh", ["#!/bin/sh", f"echo '{line}'"])
    done = desk.say("fetch", "--to", str(tmp_path / "off"))

    assert done.code == 5
    assert "names a file that is none" in done.err
    assert not (tmp_path / "off").exists()


@pytest.mark.parametrize(
    "line",
    [
        "../x 0 1",
        "backups/../state/deploy.lock 0 1",
        "/etc/passwd 0 1",
        "backups/copies/x y z",
        "bundles 0 1",
    ],
)
def test_a_deploy_key_reads_copies_and_nothing_else(desk: BackupDesk, line: str) -> None:
    """Whatever it asks the host for."""
    with pytest.MonkeyPatch.context() as shell, fetching.as_file(f"{line}\n".encode()) as given:
        shell.setenv("PATH", desk.path)
        said = desk.connection().ask("backup", "bytes", given=given)

    assert (said.code, said.out) == (64, "")


def test_a_host_that_sends_more_than_was_asked_for_is_not_believed(
    desk: BackupDesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream has no room for what nobody named."""
    desk.program(
        "ssh",
        [
            "#!/bin/sh",
            'case "$*" in *"backup files"*) echo "3 backups/copies/x.age" ;; *) echo more than three ;; esac',
        ],
    )
    monkeypatch.setenv("PATH", desk.path)
    with pytest.raises(HostUnreachable, match="more than it was asked"):
        fetch(desk.connection(), Shelves(tmp_path / "off", None), pause_s=0)


# --- Back to a host -----------------------------------------------------------------------------------------


def test_copies_come_back_to_a_new_host_and_bundles_stay_at_the_desk(
    desk: BackupDesk, tmp_path: Path
) -> None:
    """The new host's own drill is another matter; a repeat sends nothing."""
    to = tmp_path / "off"
    desk.say("fetch", "--to", str(to))
    new = BackupDesk.furnished(tmp_path / "new")
    first = new.say("send", "--from", str(to))
    second = new.say("send", "--from", str(to))
    brought = {path: content for path, content in HELD.items() if path.startswith("backups/c") or path == LOG}

    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert {path: content for path, content in tree_of(new.host).items() if "state" not in path} == brought


def test_a_copy_that_is_another_one_there_stays(desk: BackupDesk, tmp_path: Path) -> None:
    """What a restore would read is never replaced from outside."""
    to = tmp_path / "off"
    desk.say("fetch", "--to", str(to))
    new = BackupDesk.furnished(tmp_path / "new")
    new.holds(COPY, b"another")
    done = new.say("send", "--from", str(to))

    assert done.code == 5
    assert "with other content; it stays" in done.err
    assert (new.host / COPY).read_bytes() == b"another"


def test_only_root_brings_copies(desk: BackupDesk, tmp_path: Path) -> None:
    """A deploy key that leaked could otherwise place what a restore would read."""
    to = tmp_path / "off"
    desk.say("fetch", "--to", str(to))
    done = desk.say("send", "--from", str(to), "--as", "platform-deploy")

    assert done.code == 5
    assert "a deploy key cannot say 'backup take'" in done.err
