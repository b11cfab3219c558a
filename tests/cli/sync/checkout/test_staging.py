"""Files move into a folder all at once: after an interruption none of them is there, or soon all are."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from platform_cli.sync.checkout import staging
from platform_core.errors import UnreadableFile
from tests.support.folders import contents

OLD = {f"config/v{number}.variable.yaml": "value: old\n" for number in range(40)}
NEW = dict.fromkeys(OLD, "value: new\n")


def _put(folder: Path, files: Mapping[str, str | None]) -> None:
    staging.put(folder, {name: text if text is None else text.encode() for name, text in files.items()})


def test_files_are_written_and_removed_and_nothing_is_left_beside_them(tmp_path: Path) -> None:
    """The folder of a flow goes with its last file, that of the kind stays; a repeat changes nothing."""
    _put(tmp_path, {**OLD, "flows/deep/x__flow/flow.yaml": "a: 1\n"})
    assert contents(tmp_path) == {**OLD, "flows/deep/x__flow/flow.yaml": "a: 1\n"}

    for _ in range(2):
        _put(tmp_path, {**NEW, "flows/deep/x__flow/flow.yaml": None})

        assert contents(tmp_path) == NEW
        assert sorted(path.name for path in tmp_path.iterdir()) == ["config", "flows"]
        assert not list((tmp_path / "flows").iterdir())


def test_a_file_keeps_its_rights(tmp_path: Path) -> None:
    """An executable one stays so."""
    _put(tmp_path, OLD)
    file = tmp_path / next(iter(OLD))
    file.chmod(0o750)

    _put(tmp_path, NEW)

    assert file.stat().st_mode & 0o777 == 0o750


def test_what_was_prepared_and_not_put_down_is_thrown_away(tmp_path: Path) -> None:
    """A program that died before its list was whole changed nothing."""
    _put(tmp_path, OLD)
    place = tmp_path / staging.PLACE
    place.mkdir()
    (place / "0").write_text("value: new\n")
    (place / "moves.new").write_text('{"config/v0')

    staging.finish(tmp_path)

    assert contents(tmp_path) == OLD


@pytest.mark.parametrize("done", [0, 1, 20, 40])
def test_what_was_put_down_is_finished_by_whoever_comes_next(done: int, tmp_path: Path) -> None:
    """However much of it had moved."""
    _put(tmp_path, {**OLD, **dict(list(NEW.items())[:done])})
    place = tmp_path / staging.PLACE
    place.mkdir()
    names = list(NEW)
    for number, name in list(enumerate(names))[done:]:
        (place / str(number)).write_text(NEW[name])
    (place / "moves.json").write_text(json.dumps({name: str(number) for number, name in enumerate(names)}))

    staging.finish(tmp_path)

    assert contents(tmp_path) == NEW


def test_a_folder_that_may_not_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    """And the refusal names it."""
    (tmp_path / "config").write_text("in the way")

    with pytest.raises(UnreadableFile, match="cannot be written"):
        _put(tmp_path / "config", OLD)

    assert contents(tmp_path) == {"config": "in the way"}


_WRITER = """\
import sys
from pathlib import Path
from platform_cli.sync.checkout import staging
from tests.cli.sync.checkout.test_staging import NEW, OLD
print("ready", flush=True)
while True:
    for files in (NEW, OLD):
        staging.put(Path(sys.argv[1]), {name: text.encode() for name, text in files.items()})
"""


@pytest.mark.parametrize("after_ms", [3, 7, 12, 20])
def test_a_program_that_is_killed_leaves_all_files_old_or_all_new(after_ms: int, tmp_path: Path) -> None:
    """Once the next one has looked, which may write at once."""
    _put(tmp_path, OLD)
    with subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        with suppress(subprocess.TimeoutExpired):
            writer.wait(after_ms / 1000)
        os.kill(writer.pid, signal.SIGKILL)

    staging.finish(tmp_path)

    assert contents(tmp_path) in (OLD, NEW)
    _put(tmp_path, NEW)
    assert contents(tmp_path) == NEW
