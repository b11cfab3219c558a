"""For whom the platform is, and which journey plays their day. Who renames one sees it here.

| Person or system | Journey |
|---|---|
| Ops engineer | edits flows and scripts at work; a broken edit stops alone; a killed flow goes on |
| Onboarding engineer | a second customer of another trade, country and currency, by values alone |
| Staff of the customer | decide on a phone, in their panel or in the flow; classes and trial classes |
| Parents | a receipt, its repetitions, reminders, hostile files, absences |
| YCloud, Calendly | forged, repeated, late and lost deliveries at both doors |
| Cron | overlapping, late, killed; the flows that schedules start |
| On-call | an outage, its alert, its runbook |
| The agency's owner | everything people did is on record |
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
ROWS = {
    "Ops engineer": (
        "journeys/test_ops_edits.py::test_the_next_run_does_what_the_edited_flow_and_script_say",
        "journeys/test_ops_edits.py::test_a_broken_edit_is_refused_alone_with_its_line_until_it_is_put_back",
        (
            "journeys/test_flow_killed_anywhere.py"
            "::test_a_runtime_killed_at_any_move_of_a_flow_loses_and_doubles_nothing"
        ),
    ),
    "Onboarding engineer": (
        "journeys/test_second_customer.py::test_a_veterinary_clinic_in_paraguay_lives_by_values_alone",
    ),
    "Staff of the customer": (
        "browser/test_journey.py::test_a_receipt_is_approved_on_a_phone_and_the_parent_is_told",
        "browser/test_journey.py::test_a_receipt_without_a_picture_is_decided_with_the_reason_in_its_place",
        "journeys/test_review_flow.py::test_staff_decide_in_their_panel_and_the_flow_does_not_hang",
        (
            "journeys/test_classes.py"
            "::test_an_empty_class_is_told_to_families_only_after_somebody_vouches_for_it"
        ),
    ),
    "Parents": (
        "journeys/test_day.py::test_the_whole_day_ends_as_it_must",
        (
            "journeys/test_hostile_receipts.py"
            "::test_a_parent_whose_file_attacks_hears_what_to_send_and_nobody_is_harmed"
        ),
        "journeys/test_trial_classes.py::test_a_trial_class_is_booked_moved_and_leads_to_an_enrolment",
        (
            "journeys/test_classes.py"
            "::test_a_reader_that_was_cut_off_is_believed_when_it_delivers_and_not_before"
        ),
    ),
    "YCloud, Calendly": (
        "journeys/test_deliveries.py::test_every_event_is_stored_once_whatever_the_doors_go_through",
        "journeys/test_trial_classes.py::test_a_booking_that_comes_through_both_doors_is_taken_in_once",
    ),
    "Cron": (
        "journeys/test_scheduled_flows.py::test_what_is_long_overdue_is_reminded_of_once",
        "journeys/test_scheduled_flows.py::test_a_class_that_waits_for_a_person_is_asked_about_again",
        "journeys/test_scheduled_flows.py::test_staff_are_asked_what_came_of_a_trial_class_that_is_over",
        "journeys/test_late_cron.py::test_ticks_that_come_late_and_all_at_once_do_each_thing_once",
        "journeys/test_killed_anywhere.py::test_a_day_killed_at_random_ends_like_any_other",
        "journeys/test_classes.py::test_cron_that_is_killed_and_comes_twice_tells_one_family_once",
    ),
    "On-call": (
        (
            "journeys/test_outage.py"
            "::test_a_refused_key_is_mended_by_the_runbook_and_every_message_goes_out_once"
        ),
    ),
    "The agency's owner": ("journeys/test_on_record.py::test_a_day_of_people_is_on_record_and_proves_whole",),
}


@pytest.mark.parametrize("who", ROWS)
def test_every_row_has_the_journeys_that_are_named_for_it(who: str) -> None:
    """A test that is gone leaves somebody without a day."""
    gone = [one for one in ROWS[who] if one not in _tests()]

    assert (bool(ROWS[who]), gone) == (True, [])


def test_every_person_of_the_table_above_has_a_row() -> None:
    """And nobody else."""
    told = [line.split("|")[1].strip() for line in (__doc__ or "").splitlines() if line.startswith("| ")]

    assert told[1:] == list(ROWS)


def test_every_file_of_journeys_plays_somebodys_day() -> None:
    """A journey that nobody is named for is nobody's."""
    files = {path.name for path in (TESTS / "journeys").glob("test_*.py")} - {Path(__file__).name}
    named = {one.partition("::")[0].rpartition("/")[2] for row in ROWS.values() for one in row}

    assert files - named == set()


def _tests() -> set[str]:
    """Every test of the folders that hold journeys, as pytest names it."""
    return {
        f"{folder}/{path.name}::{node.name}"
        for folder in ("journeys", "browser")
        for path in (TESTS / folder).glob("test_*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
