"""A newer template meets a customer with edits of its own: both stand, or a person is asked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from platform_cli.customers.placing import place_folder
from platform_cli.customers.profile import read_written
from platform_cli.customers.template import read_template, render
from platform_cli.customers.updating import Act, apply_update, plan_update
from platform_core.errors import InvalidInput, NotFound
from tests.support.customers import a_profile, files_of, git

OLD = {
    "config/hours.schedule.yaml": (
        "summary: Every hour\nschedule: 0 0 * * * *\ntimezone: <<zone>>\nenabled: true\n"
    ),
    "config/limits.toml": 'first = 1\nsecond = 2\nthird = 3\nfourth = "<<currency>>"\n',
    "scripts/a.py": '"""One."""\n\nCUSTOMER = "<<customer>>"\n\n\ndef main() -> int:\n    return 1\n',
    "scripts/gone.py": "x = 1\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with version 1 of a template and a customer rendered from it."""
    git(tmp_path, "init", "-b", "main")
    write_template(tmp_path, 1, OLD)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "version 1")
    profile = a_profile()
    place_folder(tmp_path / "customers" / profile.name, render(read_template(tmp_path), profile))
    return tmp_path


def write_template(root: Path, version: int, files: Mapping[str, str]) -> None:
    """The template of this checkout, not committed."""
    for path, text in {**files, "template.toml": f"version = {version}\n"}.items():
        (root / "customers/_template" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "customers/_template" / path).write_text(text, encoding="utf-8")
    for path in OLD.keys() - files.keys():
        (root / "customers/_template" / path).unlink()


def edit(root: Path, path: str, old: str, new: str) -> None:
    """The customer's own edit."""
    file = root / "customers/vet_lapacho" / path
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def acts(root: Path) -> dict[str, Act]:
    """What the update would do, by file."""
    return {change.path: change.act for change in plan_update(root, "vet_lapacho").changes}


SCHEDULE, LIMITS, SCRIPT, GONE = OLD


def test_what_nobody_touched_follows_the_template_and_the_version_moves(root: Path) -> None:
    """New files come, old ones go, values of the customer are filled in."""
    write_template(
        root,
        2,
        {
            SCHEDULE: OLD[SCHEDULE],
            LIMITS: OLD[LIMITS].replace("1", "10"),
            SCRIPT: OLD[SCRIPT],
            "b.py": "y = 1\n",
        },
    )

    assert acts(root) == {"b.py": Act.ADDED, LIMITS: Act.UPDATED, GONE: Act.REMOVED}
    apply_update(plan_update(root, "vet_lapacho"))
    folder = root / "customers/vet_lapacho"
    assert files_of(folder) == {
        **{
            path: text
            for path, text in render(read_template(root), a_profile()).items()
            if path != "customer.toml"
        },
        "customer.toml": a_profile().as_toml(2).encode(),
    }
    assert acts(root) == {}


def test_edits_of_both_sides_stand(root: Path) -> None:
    """In a script by lines; in settings by keys, also when the lines are neighbours."""
    edit(root, SCRIPT, '"""One."""', '"""Ours."""')
    edit(root, LIMITS, "second = 2", "second = 20  # ours")
    edit(root, SCHEDULE, "0 0 * * * *", "0 30 * * * *")
    write_template(
        root,
        2,
        {
            **OLD,
            SCRIPT: OLD[SCRIPT].replace("return 1", "return 2"),
            LIMITS: OLD[LIMITS].replace("first = 1", "first = 10").replace("third = 3", "third = 30"),
            SCHEDULE: OLD[SCHEDULE].replace("Every hour", "Hourly"),
        },
    )

    assert acts(root) == {SCHEDULE: Act.MERGED, LIMITS: Act.MERGED, SCRIPT: Act.MERGED}
    apply_update(plan_update(root, "vet_lapacho"))
    found = files_of(root / "customers/vet_lapacho")
    assert found[SCRIPT].decode().splitlines()[0::6] == ['"""Ours."""', "    return 2"]
    assert found[LIMITS].decode() == 'first = 10\nsecond = 20  # ours\nthird = 30\nfourth = "PYG"\n'
    assert found[SCHEDULE].decode() == (
        "summary: Hourly\nschedule: 0 30 * * * *\ntimezone: America/Asuncion\nenabled: true\n"
    )


def test_a_conflict_is_named_by_file_and_line_and_nothing_is_written(root: Path) -> None:
    """Not even what does not conflict, and not the version."""
    edit(root, LIMITS, "second = 2", "second = 20")
    edit(root, GONE, "x = 1", "x = 2")
    write_template(
        root,
        2,
        {
            SCHEDULE: OLD[SCHEDULE].replace("true", "false"),
            LIMITS: OLD[LIMITS].replace("second = 2", "second = 200"),
            SCRIPT: OLD[SCRIPT],
        },
    )
    before = files_of(root / "customers/vet_lapacho")

    with pytest.raises(InvalidInput) as refused:
        apply_update(plan_update(root, "vet_lapacho"))

    assert refused.value.message == (
        "2 files conflict: config/limits.toml lines 2; "
        "scripts/gone.py (changed here, and gone from the template)"
    )
    assert files_of(root / "customers/vet_lapacho") == before


def test_markers_are_written_when_they_are_asked_for(root: Path) -> None:
    """And the rest of the update with them."""
    edit(root, LIMITS, "second = 2", "second = 20")
    write_template(root, 2, {**OLD, LIMITS: OLD[LIMITS].replace("second = 2", "second = 200"), "b.py": "y\n"})

    apply_update(plan_update(root, "vet_lapacho"), markers=True)

    found = files_of(root / "customers/vet_lapacho")
    assert found[LIMITS].decode() == (
        "first = 1\n<<<<<<< this customer\nsecond = 20\n=======\nsecond = 200\n>>>>>>> the template\n"
        'third = 3\nfourth = "PYG"\n'
    )
    assert found["b.py"] == b"y\n"
    assert read_written(root / "customers/vet_lapacho").template_version == 2


def test_what_the_customer_took_out_stays_out(root: Path) -> None:
    """It is said, and stops nothing."""
    (root / "customers/vet_lapacho" / SCRIPT).unlink()
    write_template(root, 2, {**OLD, SCRIPT: OLD[SCRIPT].replace("return 1", "return 2")})

    assert acts(root) == {SCRIPT: Act.KEPT}
    apply_update(plan_update(root, "vet_lapacho"))
    assert SCRIPT not in files_of(root / "customers/vet_lapacho")
    assert read_written(root / "customers/vet_lapacho").template_version == 2


def test_the_same_key_added_by_both_is_no_valid_file_and_so_a_conflict(root: Path) -> None:
    """Lines that merge may still say a thing twice."""
    edit(root, LIMITS, "first = 1", "fifth = 5\nfirst = 1")
    write_template(root, 2, {**OLD, LIMITS: OLD[LIMITS] + "fifth = 6\n"})

    assert acts(root) == {LIMITS: Act.CONFLICT}


def test_comments_that_both_changed_conflict_too(root: Path) -> None:
    """What a person wrote is never dropped, though no setting says it."""
    edit(root, LIMITS, "second = 2", "second = 2  # ours")
    write_template(root, 2, {**OLD, LIMITS: OLD[LIMITS].replace("second = 2", "second = 2  # theirs")})

    assert acts(root) == {LIMITS: Act.CONFLICT}


def test_a_history_without_the_version_is_named(root: Path) -> None:
    """Rather than to take another one for it."""
    edit(root, "customer.toml", "template_version = 1", "template_version = 0")
    write_template(root, 2, OLD)

    with pytest.raises(NotFound, match="no template of version 0"):
        plan_update(root, "vet_lapacho")


def test_a_customer_ahead_of_the_checkout_is_left_alone(root: Path) -> None:
    """An old checkout must not take a customer back."""
    edit(root, "customer.toml", "template_version = 1", "template_version = 7")

    with pytest.raises(InvalidInput, match="has version 7 of the template, this checkout 1"):
        plan_update(root, "vet_lapacho")


def test_an_update_that_ends_half_way_goes_on_the_next_time(root: Path) -> None:
    """The version is written last; files that are new already are not conflicts."""
    write_template(
        root, 2, {**OLD, SCRIPT: OLD[SCRIPT].replace("1", "2"), LIMITS: OLD[LIMITS].replace("1", "2")}
    )
    (root / "customers/vet_lapacho" / LIMITS).write_bytes(render(read_template(root), a_profile())[LIMITS])

    assert acts(root) == {SCRIPT: Act.UPDATED}
