"""The pure part: boundaries, every row of what must fail, and properties over made-up evidence."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_core.attendance.compute import (
    CheckIn,
    Correction,
    Evidence,
    Heartbeat,
    Kind,
    Rate,
    Session,
    SessionResult,
    Student,
    compute,
)
from platform_core.attendance.lifecycle import Quarantine, Reason, SessionState, Status, Verdict
from platform_core.errors import NotApplicable, NotYet, PolicyInvalid, SessionInvalid
from platform_core.tenancy.attendance import COUNTED_STATUSES, Attendance, Counts
from platform_core.tenancy.policy import load_policy
from tests.support.attendance import ENDS, SETTLED, STARTS
from tests.support.policies import FILE

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
SESSION = Session(4, "rob/1", "Robótica", "door-1", "America/Santiago", STARTS, ENDS, SessionState.SCHEDULED)
ROSTER = tuple(Student(number, f"s{number}") for number in range(1, 6))
ALIVE = tuple(Heartbeat(STARTS + minutes * MINUTE, STARTS + minutes * MINUTE) for minutes in range(0, 65, 5))
EVERYBODY_ELSE = tuple(
    CheckIn(100 + number, f"s{number}", "", "in", STARTS, STARTS) for number in range(2, 6)
)
NOTHING = Evidence(ROSTER, (), frozenset(), ALIVE, {})


def rules(**changed: object) -> Attendance:
    """The rules of Einstein Kids, with some changed: grace 10, absent after 40, empty from 4."""
    found = load_policy(FILE).attendance
    assert found is not None
    return Attendance.model_validate(found.model_dump() | changed)


RULES = rules()


def seen(after: timedelta, *, kind: Kind = "in", student: str = "s1", number: int = 1) -> CheckIn:
    """Somebody seen so long after the start."""
    return CheckIn(number, student, "", kind, STARTS + after, STARTS + after)


def of(*checkins: CheckIn, **changed: Any) -> Evidence:
    """The first student seen so, everybody else in time."""
    return replace(NOTHING, checkins=(*EVERYBODY_ELSE, *checkins), **changed)


def run(
    evidence: Evidence, *, session: Session = SESSION, policy: Attendance | None = RULES
) -> SessionResult:
    """The result when everything has settled."""
    return compute(session, evidence, policy=policy, now=SETTLED)


def first(evidence: Evidence, policy: Attendance = RULES) -> tuple[Status, int | None]:
    """What is said of the first student."""
    student = run(evidence, policy=policy).students[0]
    return student.status, student.late_minutes


def unsure(result: SessionResult) -> set[Reason | None]:
    """Why students without a status have none."""
    return {one.reason for one in result.students if one.status is Status.UNDETERMINED}


# --- Boundaries -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (-30 * MINUTE - SECOND, (Status.ABSENT_UNEXCUSED, None)),
        (-30 * MINUTE, (Status.PRESENT, None)),
        (10 * MINUTE - SECOND, (Status.PRESENT, None)),
        (10 * MINUTE, (Status.PRESENT, None)),
        (10 * MINUTE + SECOND, (Status.LATE, 10)),
        (40 * MINUTE, (Status.LATE, 40)),
        (40 * MINUTE + SECOND, (Status.ABSENT_UNEXCUSED, None)),
        (60 * MINUTE, (Status.ABSENT_UNEXCUSED, None)),
        (60 * MINUTE + SECOND, (Status.ABSENT_UNEXCUSED, None)),
    ],
)
def test_late_begins_one_second_after_the_grace(
    after: timedelta, expected: tuple[Status, int | None]
) -> None:
    """And absent one second after its limit; the window is closed at both ends."""
    assert first(of(seen(after))) == expected


def test_who_comes_very_late_is_what_the_policy_says() -> None:
    """Absent or late."""
    assert first(of(seen(50 * MINUTE))) == (Status.ABSENT_UNEXCUSED, None)
    assert first(of(seen(50 * MINUTE)), rules(beyond="late")) == (Status.LATE, 50)


@pytest.mark.parametrize(
    ("leaves", "returns", "expected"),
    [
        (45 * MINUTE - SECOND, None, Status.LEFT_EARLY),
        (45 * MINUTE, None, Status.PRESENT),
        (30 * MINUTE, 35 * MINUTE, Status.PRESENT),
        (70 * MINUTE, None, Status.PRESENT),
    ],
)
def test_who_leaves_early_and_does_not_return_left_early(
    leaves: timedelta, returns: timedelta | None, expected: Status
) -> None:
    """To the second; leaving after the end is going home."""
    back = () if returns is None else (seen(returns, number=3),)

    assert first(of(seen(MINUTE), seen(leaves, kind="out", number=2), *back))[0] is expected


def test_several_check_ins_are_one_presence_and_the_earliest_counts() -> None:
    """Evidence, not presences."""
    result = run(of(seen(20 * MINUTE, number=1), seen(MINUTE, number=2), seen(30 * MINUTE, number=3)))

    assert (result.students[0].status, result.rate) == (Status.PRESENT, Rate(5, 5))


def test_the_counts_come_from_the_policy() -> None:
    """Rate, absence and tardy are decided by the customer, not by the name of a status."""
    counts = {status: Counts(rate="attended") for status in COUNTED_STATUSES} | {
        "late": Counts(rate="missed", absence=True, tardy=True),
        "absent_unexcused": Counts(rate="missed", absence=True),
        "absent_excused": Counts(rate="missed"),
    }
    late = run(of(seen(20 * MINUTE)), policy=rules(counts=counts))
    usual = run(of(seen(20 * MINUTE)))

    assert (late.rate, late.students[0].absence, late.students[0].tardy) == (Rate(4, 5), True, True)
    assert (usual.rate, usual.students[0].absence, usual.students[0].tardy) == (Rate(5, 5), False, True)


def test_an_excuse_turns_an_absence_into_an_excused_one_and_nothing_else() -> None:
    """Who came came; excused ones are out of the rate by this policy."""
    away = run(of(excuses=frozenset({1})))
    came = run(of(seen(MINUTE), excuses=frozenset({1})))

    assert (away.students[0].status, away.rate) == (Status.ABSENT_EXCUSED, Rate(4, 4))
    assert (came.students[0].status, came.rate) == (Status.PRESENT, Rate(5, 5))


def test_a_correction_outweighs_every_reader() -> None:
    """Also silence."""
    said = {1: Correction(Status.LATE, 12)}
    dead = run(replace(NOTHING, heartbeats=(), corrections=said))

    assert (dead.students[0].status, dead.students[0].late_minutes) == (Status.LATE, 12)
    assert dead.students[0].corrected
    assert dead.verdict is Verdict.UNDETERMINED


# --- What must fail instead of succeeding -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("session", "says"),
    [
        (replace(SESSION, timezone=""), "no time zone"),
        (replace(SESSION, ends_at=STARTS), "ends before it begins"),
        (replace(SESSION, ends_at=STARTS - SECOND), "ends before it begins"),
    ],
)
def test_a_session_without_a_zone_or_length_is_invalid(session: Session, says: str) -> None:
    """`SessionInvalid`, with what is wrong; unknown and duplicate ids are in test_sessions.py."""
    with pytest.raises(SessionInvalid, match=says):
        run(NOTHING, session=session)


def test_a_session_that_is_not_finished_is_not_yet() -> None:
    """Until the end and the time to settle; the error says how long to wait."""
    with pytest.raises(NotYet) as raised:
        compute(SESSION, NOTHING, policy=RULES, now=SETTLED - SECOND)

    assert raised.value.facts["after"] == SECOND
    assert (raised.value.code, raised.value.retryable) == ("not_yet", True)
    assert compute(SESSION, of(), policy=RULES, now=SETTLED).verdict is Verdict.COMPLETE


def test_a_cancelled_session_is_not_applicable() -> None:
    """Also one that is not over."""
    with pytest.raises(NotApplicable, match="was cancelled"):
        compute(replace(SESSION, state=SessionState.CANCELLED), of(), policy=RULES, now=STARTS)


@pytest.mark.parametrize(
    "heartbeats",
    [
        (),
        ALIVE[1:],  # not yet alive at the start
        ALIVE[:-1],  # dead before the end
        (*ALIVE[:4], *ALIVE[7:]),  # silent for more than ten minutes in the middle
        tuple(replace(beat, synced_until=ENDS - SECOND) for beat in ALIVE),  # its last good sync is too old
    ],
    ids=["none", "late", "early", "gap", "not synced"],
)
def test_a_feed_that_does_not_cover_the_session_makes_nobody_absent(
    heartbeats: tuple[Heartbeat, ...],
) -> None:
    """Who was seen was there; everybody else is undetermined, excused or not, and there is no rate."""
    result = run(of(heartbeats=heartbeats, excuses=frozenset({1})))

    assert [one.status for one in result.students] == [Status.UNDETERMINED] + [Status.PRESENT] * 4
    assert (unsure(result), result.verdict, result.rate) == ({Reason.FEED_GAP}, Verdict.UNDETERMINED, None)


def test_a_student_seen_only_very_late_is_undetermined_without_a_feed() -> None:
    """An earlier arrival may have been lost."""
    result = run(of(seen(50 * MINUTE), heartbeats=()))

    assert (result.students[0].status, result.students[0].reason) == (Status.UNDETERMINED, Reason.FEED_GAP)


def test_a_healthy_feed_without_one_check_in_is_suspicious() -> None:
    """From the policy's number of students on; below it silence is believed."""
    whole, small = run(NOTHING), run(replace(NOTHING, roster=ROSTER[:3]))

    assert (whole.verdict, unsure(whole), whole.rate) == (
        Verdict.SUSPICIOUS_EMPTY,
        {Reason.SUSPICIOUS_EMPTY},
        None,
    )
    assert (small.verdict, small.rate) == (Verdict.COMPLETE, Rate(0, 3))


def test_a_confirmed_empty_session_has_absences_but_only_under_a_living_feed() -> None:
    """A person may vouch for silence, not for a dead reader."""
    confirmed = run(replace(NOTHING, confirmed=True))
    dead = run(replace(NOTHING, confirmed=True, heartbeats=()))

    assert {one.status for one in confirmed.students} == {Status.ABSENT_UNEXCUSED}
    assert (confirmed.verdict, confirmed.rate) == (Verdict.COMPLETE, Rate(0, 5))
    assert unsure(dead) == {Reason.FEED_GAP}


@pytest.mark.parametrize(
    ("checkin", "reason"),
    [
        (seen(MINUTE, student="s99"), Quarantine.UNKNOWN_STUDENT),
        (replace(seen(MINUTE), session="rob/2"), Quarantine.OTHER_SESSION),
        (replace(seen(MINUTE), received_at=STARTS - 2 * MINUTE), Quarantine.FUTURE),
        (replace(seen(MINUTE), device_at=STARTS + 4 * MINUTE), Quarantine.CLOCK_SKEW),
        (seen(-31 * MINUTE), Quarantine.OUT_OF_WINDOW),
        (seen(61 * MINUTE), Quarantine.OUT_OF_WINDOW),
    ],
)
def test_a_check_in_that_cannot_be_believed_is_quarantined(checkin: CheckIn, reason: Quarantine) -> None:
    """With the reason; it makes nobody present."""
    result = run(of(checkin))

    assert result.quarantined == ((1, reason),)
    assert result.students[0].status is not Status.PRESENT


def test_a_student_seen_at_an_impossible_time_is_not_called_absent() -> None:
    """The reader saw somebody, and its clock is wrong."""
    result = run(of(replace(seen(MINUTE), device_at=STARTS + 4 * MINUTE)))

    assert unsure(result) == {Reason.QUARANTINED}


def test_a_student_seen_leaving_only_is_undetermined() -> None:
    """Somebody who goes home was there; when they came nobody knows."""
    assert unsure(run(of(seen(59 * MINUTE, kind="out")))) == {Reason.NO_ARRIVAL}


def test_an_empty_roster_and_a_session_where_all_are_excused_say_so() -> None:
    """Neither is 0 % or 100 %: the rate is None, also where excused ones count as missed."""
    counts = RULES.model_dump()["counts"] | {"absent_excused": {"rate": "missed"}}
    everybody = frozenset(student.id for student in ROSTER)
    empty = run(replace(NOTHING, roster=()))
    excused = run(replace(NOTHING, excuses=everybody), policy=rules(counts=counts))

    assert (empty.verdict, empty.rate, empty.students) == (Verdict.EMPTY_ROSTER, None, ())
    assert (excused.verdict, excused.rate) == (Verdict.ALL_EXCUSED, None)


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        (None, "says nothing about attendance"),
        (rules(grace_minutes=61, absent_after_minutes=90), "grace_minutes is longer than the session"),
        (rules(left_early_minutes=61), "left_early_minutes is longer than the session"),
    ],
)
def test_a_missing_or_contradictory_policy_is_invalid(policy: Attendance | None, says: str) -> None:
    """`PolicyInvalid`: nothing is guessed."""
    with pytest.raises(PolicyInvalid, match=says):
        run(NOTHING, policy=policy)


def test_the_same_input_has_the_same_hash_and_other_input_another() -> None:
    """In any order and at any time; more heartbeats of a living reader are nothing new."""
    evidence = of(seen(MINUTE), seen(2 * MINUTE, number=2))
    shuffled = replace(
        evidence, checkins=evidence.checkins[::-1], roster=ROSTER[::-1], heartbeats=(*ALIVE[::-1], ALIVE[0])
    )
    later = compute(SESSION, shuffled, policy=RULES, now=SETTLED + timedelta(days=1))
    others = [
        run(of(seen(MINUTE))),
        run(replace(evidence, excuses=frozenset({1}))),
        run(replace(evidence, heartbeats=())),
        run(replace(evidence, confirmed=True)),
        run(replace(evidence, corrections={1: Correction(Status.PRESENT)})),
        run(evidence, policy=rules(grace_minutes=9)),
        run(evidence, session=replace(SESSION, ends_at=ENDS - MINUTE)),
    ]

    assert later == run(evidence)
    assert len({later.input_sha256, *(one.input_sha256 for one in others)}) == len(others) + 1


# --- Properties -------------------------------------------------------------------------------------------

_CHECKINS = st.builds(
    CheckIn,
    id=st.integers(1, 10_000),
    student=st.sampled_from(["s1", "s2", "s3", "s4", "s5", "s9"]),
    session=st.sampled_from(["", "rob/1", "rob/2"]),
    kind=st.sampled_from(["in", "in", "out"]),
    at=st.integers(-60, 90).map(lambda minute: STARTS + minute * MINUTE),
    received_at=st.integers(-60, 95).map(lambda minute: STARTS + minute * MINUTE),
    device_at=st.none() | st.integers(-60, 95).map(lambda minute: STARTS + minute * MINUTE),
)
_LISTS = st.lists(_CHECKINS, max_size=12, unique_by=lambda one: one.id)
_EVIDENCE = st.builds(
    Evidence,
    roster=st.integers(0, 5).map(lambda count: ROSTER[:count]),
    checkins=_LISTS,
    excuses=st.frozensets(st.integers(1, 5)),
    heartbeats=st.sampled_from([ALIVE, ALIVE, (), ALIVE[3:]]),
    corrections=st.just({}),
    confirmed=st.booleans(),
)
_PRESENCES = frozenset({Status.PRESENT, Status.LATE, Status.LEFT_EARLY})
_ABSENCES = frozenset({Status.ABSENT_UNEXCUSED, Status.ABSENT_EXCUSED})


@given(evidence=_EVIDENCE, data=st.data())
def test_the_order_of_check_ins_changes_nothing(evidence: Evidence, data: st.DataObject) -> None:
    """Any permutation is the same result, hash and all."""
    shuffled = data.draw(st.permutations(list(evidence.checkins)))

    assert run(replace(evidence, checkins=shuffled)) == run(evidence)


@given(evidence=_EVIDENCE, more=_CHECKINS)
def test_one_more_check_in_never_turns_present_into_absent(evidence: Evidence, more: CheckIn) -> None:
    """Late and left early are presences too."""
    before = {one.student_id: one.status for one in run(evidence).students}
    after = run(replace(evidence, checkins=[*evidence.checkins, replace(more, id=20_000)])).students

    assert not [one for one in after if one.status in _ABSENCES and before[one.student_id] in _PRESENCES]


@given(evidence=_EVIDENCE)
def test_without_a_living_feed_nobody_is_absent(evidence: Evidence) -> None:
    """Whatever else is known, confirmed or not."""
    result = run(replace(evidence, heartbeats=()))

    assert not [one for one in result.students if one.status in _ABSENCES]


@given(evidence=_EVIDENCE)
def test_an_unexcused_absence_needs_somebody_seen_or_somebody_who_vouches(evidence: Evidence) -> None:
    """From the policy's number of students on."""
    result = run(evidence)
    absent = [one for one in result.students if one.status is Status.ABSENT_UNEXCUSED]
    counted = len(evidence.checkins) - len(result.quarantined)

    assert not absent or evidence.confirmed or counted or len(evidence.roster) < RULES.suspicious_from


@given(evidence=_EVIDENCE)
def test_a_rate_is_a_fraction_between_nothing_and_all_or_none(evidence: Evidence) -> None:
    """None exactly when somebody is unknown or there is nobody to count."""
    result = run(evidence)
    unknown = any(one.status is Status.UNDETERMINED for one in result.students)

    if result.rate is None:
        assert unknown or all(one.rate == "excluded" for one in result.students)
    else:
        assert not unknown
        assert 0 <= result.rate.attended <= result.rate.counted
        assert 0 < result.rate.counted <= len(evidence.roster)
