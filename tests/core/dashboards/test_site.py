"""The panel over real rows: looking; deciding, twice, too late, about nothing, and without the right."""

from __future__ import annotations

from datetime import timedelta

import pytest

from platform_core import audit
from platform_core.dashboards import site
from platform_core.errors import InvalidInput, NotFound, PermissionDenied
from platform_core.payments.lifecycle import Action, ClaimState
from platform_core.tenancy.members import Role
from platform_core.values import Actor
from tests.support.attendance import School
from tests.support.databases import TenantDatabase
from tests.support.payments import BRUNO, Treasury, clp
from tests.support.visitors import BASE, Visitor

PATHS = (
    "",
    "claims",
    "claims?state=asked",
    "claims?state=settled",
    "attendance",
    "messages",
    "runs",
    "errors",
    "use",
)


@pytest.fixture
def ana(treasury: Treasury) -> Visitor:
    """The owner, before a claim that waits and a debt it may pay."""
    treasury.owe(clp(45_000))
    return Visitor(treasury)


def state_of(treasury: Treasury, claim: int) -> str:
    """Where a claim stands."""
    return str(treasury.claim(claim).state)


# --- looking ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["es", "en"])
def test_every_page_is_there_before_anything_happened_and_after(treasury: Treasury, language: str) -> None:
    """With no numbers at all, and with those of a day."""
    visitor = Visitor(treasury, language=language)  # type: ignore[arg-type]  # one of two
    before = [visitor.open(path).crooked or visitor.page.status for path in PATHS]
    for state in ClaimState:
        treasury.claim_in(state)
    visitor.refresh()
    after = [visitor.open(path).crooked or visitor.page.status for path in PATHS]
    claims = treasury.rows("SELECT id FROM payments.claim ORDER BY id")
    sheets = [visitor.open(f"claims/C{row['id']}").crooked or visitor.page.status for row in claims]

    assert (set(before), set(after), set(sheets)) == ({200}, {200}, {200})
    assert len(sheets) >= len(ClaimState)


def test_the_first_page_counts_what_waits_and_leads_to_it(ana: Visitor, treasury: Treasury) -> None:
    """What was decided a moment ago is gone from it, though the numbers of the day are older."""
    claims = [treasury.receipt_from() for _ in range(3)]
    ana.refresh()
    said = ana.open("").said
    treasury.decide(treasury.request(Action.REJECT, claims[0]), by=BRUNO)
    found = ana.open("")

    assert "3 pagos esperan su decisión." in said
    assert "2 pagos esperan su decisión." in found.said
    assert [one.attributes["href"] for one in found.find("a", class_="row")] == [
        f"{BASE}/claims/C{claim}" for claim in claims[1:]
    ]


def test_a_list_goes_on_where_the_page_before_ended(ana: Visitor, treasury: Treasury) -> None:
    """Twenty a page, each claim once, also when one of them is decided meanwhile."""
    claims = [treasury.at_the_desk(clp(1_000 + number)) for number in range(45)]
    seen: list[str] = []
    path: str | None = "claims"
    while path is not None:
        found = ana.open(path)
        seen += [one.attributes["href"].rpartition("/C")[2] for one in found.find("a", class_="row")]
        if len(seen) == 20:
            treasury.decide(treasury.request(Action.REJECT, claims[19]), by=Actor("user", "carla"))
        following = [one.attributes["href"] for one in found.find("a") if one.text == "Siguientes →"]
        path = following[0].removeprefix(f"{BASE}/") if following else None

    assert [int(claim) for claim in seen] == claims


@pytest.mark.parametrize("path", ["nowhere", "claims/C1/decide", "claims/C1/x/y", "language", "../claims"])
def test_a_path_that_is_none_is_not_found(ana: Visitor, path: str) -> None:
    """Also that of a form, when it is only looked at."""
    with pytest.raises(NotFound):
        ana.open(path)


def test_what_is_no_claim_is_not_found_or_no_name(ana: Visitor) -> None:
    """A number nobody has, and no number at all."""
    with pytest.raises(NotFound):
        ana.open("claims/C999")
    with pytest.raises(InvalidInput):
        ana.open("claims/C1;drop")


@pytest.mark.parametrize(
    "query", ["state=<script>", "before=zzz", "before=C99999999999999999", "done=<b>", "receipt=M9"]
)
def test_what_a_query_says_is_matched_and_never_shown(ana: Visitor, treasury: Treasury, query: str) -> None:
    """A value from an address may hold anything."""
    claim = treasury.receipt_from()
    for path in ("claims", "attendance", "messages", "runs", f"claims/C{claim}"):
        found = ana.open(f"{path}?{query}")
        assert query.partition("=")[2] not in found.said
        assert found.crooked == []


@pytest.mark.parametrize(
    ("role", "path"),
    [(Role.VIEWER, "messages"), (Role.VIEWER, "runs"), (Role.VIEWER, "errors"), (Role.OPS, "use")],
)
def test_a_page_that_a_role_may_not_see_is_denied(treasury: Treasury, role: Role, path: str) -> None:
    """Here too, and not only at the edge."""
    with pytest.raises(PermissionDenied):
        Visitor(treasury, role=role).open(path)


def test_a_customer_without_attendance_is_told_so(treasury: Treasury) -> None:
    """And sees no empty lists."""
    treasury.policy = treasury.policy.model_copy(update={"attendance": None})

    assert "La asistencia no está en uso." in Visitor(treasury).open("attendance").said


# --- deciding ---------------------------------------------------------------------------------------------


def test_an_approval_is_asked_about_and_then_done_once(ana: Visitor, treasury: Treasury) -> None:
    """The amount as people write it here; the question says what it was read as and what follows."""
    claim = treasury.receipt_from()
    ana.open(f"claims/C{claim}")
    question = ana.send(ana.form("approve", amount="$ 45.000", bank_reference="TRX 9"))
    waiting = state_of(treasury, claim)
    done = ana.send(ana.form())
    decision = treasury.detail(claim).decisions[0]

    assert (waiting, state_of(treasury, claim)) == ("pending_review", "approved")
    assert "¿Confirmar el pago?" in question.said
    assert "$45.000" in question.said
    assert "Listo: el pago quedó confirmado." in done.said
    assert (decision.actor_id, decision.verified_minor, decision.method, decision.bank_reference) == (
        "ana", 45_000, "bank_app", "TRX 9",
    )  # fmt: skip
    with treasury.tx() as tx:
        (entry,) = audit.list_entries(tx, action="claim.approved")
    assert (entry.action, entry.actor.id, entry.actor.via) == ("claim.approved", "ana", "panel:L1")


def test_a_form_sent_twice_decides_once_and_says_so(ana: Visitor, treasury: Treasury) -> None:
    """A double press, a slow network, the button back: one decision, one message."""
    claim = treasury.receipt_from()
    ana.open(f"claims/C{claim}")
    ana.send(ana.form("approve", amount="45000"))
    form = ana.form()
    ana.send(form)
    counts = treasury.counts()
    again = ana.send(form)

    assert "no cambió nada" in again.said
    assert treasury.counts() == counts


def test_a_decision_after_somebody_elses_says_who_and_when_and_changes_nothing(
    ana: Visitor, treasury: Treasury
) -> None:
    """At the question, and when the question was already open."""
    claim = treasury.receipt_from()
    ana.open(f"claims/C{claim}")
    first = ana.form("reject", reason="no llegó")
    ana.send(first)
    second = ana.form()
    treasury.approve(claim, clp(45_000), by=BRUNO)
    counts = treasury.counts()
    pages = [(ana.send(form).said, ana.page.status) for form in (first, second)]

    assert [status for _, status in pages] == [409, 409]
    for said, _ in pages:
        assert "Alguien lo decidió antes." in said
        assert "bruno" in said
        assert "Confirmado" in said
    assert treasury.counts() == counts


def test_a_form_of_an_older_version_decides_nothing(ana: Visitor, treasury: Treasury) -> None:
    """The claim moved and came back: what was looked at is not what is there."""
    claim = treasury.receipt_from()
    ana.open(f"claims/C{claim}")
    form = ana.form("reject", reason="no llegó") | {"confirm": "1"}
    treasury.decide(treasury.request(Action.NEEDS_INFO, claim), by=BRUNO)
    carla = Visitor(treasury, member="carla", role=Role.OPS)
    carla.open(f"claims/C{claim}")
    carla.send(carla.form("resume"))
    carla.send(carla.form())

    assert ana.send(form).find("h1")[0].text == "Alguien lo decidió antes."
    assert state_of(treasury, claim) == "pending_review"


def test_a_decision_id_used_for_something_else_is_a_conflict_page(ana: Visitor, treasury: Treasury) -> None:
    """Going back, changing the reason and sending again is not a second decision."""
    claim = treasury.receipt_from()
    ana.open(f"claims/C{claim}")
    form = ana.form("reject", reason="no llegó") | {"confirm": "1"}
    ana.send(form)
    said = ana.send(form | {"reason": "otro motivo"}).said

    assert "Usted ya lo había decidido." in said
    assert treasury.claim(claim).reason == "no llegó"


@pytest.mark.parametrize(
    ("action", "filled", "said"),
    [
        ("approve", {"amount": ""}, "Escriba el monto que llegó, mayor que cero."),
        ("approve", {"amount": "0"}, "Escriba el monto que llegó, mayor que cero."),
        ("approve", {"amount": "45,000"}, "Escríbalo así: $45.000."),
        ("approve", {"amount": "cuarenta"}, "Escríbalo así: $45.000."),
        ("approve", {"amount": "45000", "method": "dream"}, "Elija dónde lo vio."),
        ("approve", {"amount": "45000", "bank_reference": "x" * 61}, "caben 60 letras"),
        ("reject", {"reason": "  "}, "Escriba el motivo en una frase."),
        ("reject", {"reason": "x" * 501}, "caben 500 letras"),
        ("needs_info", {}, "Escriba el motivo en una frase."),
        ("duplicate", {"duplicate_of": ""}, "Nombre otro pago que exista"),
        ("duplicate", {"duplicate_of": "C999", "confirm": "1"}, "Nombre otro pago que exista"),
    ],
)
def test_what_is_wrong_with_a_form_is_said_and_nothing_is_done(
    ana: Visitor, treasury: Treasury, action: str, filled: dict[str, str], said: str
) -> None:
    """Beside its field, with what was typed, in the person's language."""
    claim = treasury.receipt_from()
    ana.open(f"claims/C{claim}")
    counts = treasury.counts()
    found = ana.send(ana.form(action, **filled))

    assert ana.page.status == 422
    assert said in found.said
    assert found.crooked == []
    assert treasury.counts() == counts


def test_a_large_amount_needs_a_second_person_who_sees_who_was_first(
    ana: Visitor, treasury: Treasury
) -> None:
    """The first is told that another must; the second must have seen the same amount."""
    claim = treasury.receipt_from()
    ana.open(f"claims/C{claim}")
    ana.send(ana.form("approve", amount="400.000"))
    first = ana.send(ana.form())
    bruno = Visitor(treasury, member="bruno", role=Role.OPS)
    offered = bruno.open(f"claims/C{claim}").find("input", id="approve-amount")[0].attributes["value"]
    other = bruno.send(bruno.form("approve", amount="399.000")).said
    bruno.open(f"claims/C{claim}")
    bruno.send(bruno.form("approve"))
    done = bruno.send(bruno.form())

    assert "falta que apruebe otra persona" in first.said
    assert "ana ya dio la primera aprobación; la segunda debe darla otra persona." in first.said
    assert offered == "$400.000"
    assert "ana vio $400.000" in other
    assert "Listo: el pago quedó confirmado." in done.said
    assert state_of(treasury, claim) == "approved"


def test_an_approval_is_undone_by_another_person_only(ana: Visitor, treasury: Treasury) -> None:
    """Who approved sees that another must; the other can, with a reason."""
    claim = treasury.receipt_from()
    treasury.approve(claim, clp(45_000))
    own = ana.open(f"claims/C{claim}")
    carla = Visitor(treasury, member="carla", role=Role.OPS)
    carla.open(f"claims/C{claim}")
    carla.send(carla.form("reverse", reason="era de otra familia"))
    undone = carla.send(carla.form())

    assert "ana lo aprobó; puede anularlo otra persona del equipo." in own.said
    assert [form["action"] for form in own.forms() if "action" in form] == ["reconcile"]
    assert "la confirmación quedó anulada" in undone.said
    assert state_of(treasury, claim) == "reversed"


def test_a_question_to_a_family_can_be_taken_back(ana: Visitor, treasury: Treasury) -> None:
    """They answered by telephone: the claim is to be decided again, and asking twice says so."""
    claim = treasury.claim_in(ClaimState.NEEDS_INFO)
    ana.open(f"claims/C{claim}")
    ana.send(ana.form("resume"))
    form = ana.form()
    done = ana.send(form)
    again = ana.send(form)

    assert "vuelve a estar por decidir" in done.said
    assert again.find("h1")[0].text == "Usted ya lo había decidido."
    assert state_of(treasury, claim) == "pending_review"


def test_who_may_not_decide_is_denied_whatever_form_they_send(ana: Visitor, treasury: Treasury) -> None:
    """By the table of the panel; and by the verb when the role was taken away meanwhile."""
    claim = treasury.receipt_from()
    ana.open(f"claims/C{claim}")
    form = ana.form("reject", reason="no llegó") | {"confirm": "1"}
    diego = Visitor(treasury, member="diego", role=Role.VIEWER)
    with pytest.raises(PermissionDenied):
        diego.send(form)
    with pytest.raises(PermissionDenied) as denied:
        Visitor(treasury, member="diego", role=Role.OPS).send(form)

    assert "permission" in denied.value.facts
    assert state_of(treasury, claim) == "pending_review"


def test_a_decision_about_nothing_or_by_a_form_of_nobodys_is_refused(
    ana: Visitor, treasury: Treasury
) -> None:
    """A claim that is not there, an act that is none."""
    claim = treasury.receipt_from()
    ana.open(f"claims/C{claim}")
    form = ana.form("reject", reason="no llegó")
    with pytest.raises(NotFound):
        ana.send(form | {"@": f"{BASE}/claims/C999/decide"})
    with pytest.raises(InvalidInput):
        ana.send(form | {"action": "destroy"})
    with pytest.raises(InvalidInput):
        ana.send(form | {"decision_id": ""})
    with pytest.raises(NotFound):
        ana.send(form | {"@": f"{BASE}/nowhere"})


def test_a_refused_decision_leaves_no_trace_of_itself(ana: Visitor, treasury: Treasury) -> None:
    """Also not the sign that the verb raises before it refuses: it ran inside a savepoint."""
    other, claim = treasury.receipt_from(), treasury.at_the_desk(clp(45_000))
    treasury.approve(other, clp(45_000), by=Actor("user", "carla"))
    bruno = Visitor(treasury, member="bruno", role=Role.OPS)
    ana.open(f"claims/C{claim}")
    form = ana.form("approve", amount="45000", bank_reference=f"TRX-{other}") | {"confirm": "1"}
    counts = treasury.counts()
    refused = bruno.send(form)

    assert bruno.page.status == 422
    assert "Esta decisión la debe tomar otra persona del equipo." in refused.said
    assert treasury.counts() == counts


def test_after_a_decision_the_numbers_are_asked_for(ana: Visitor, treasury: Treasury) -> None:
    """So that who decided sees the effect; once a decision."""
    claim = treasury.receipt_from()
    ana.open(f"claims/C{claim}")
    form = ana.form("reject", reason="no llegó") | {"confirm": "1"}
    for _ in range(2):
        ana.send(form)

    assert treasury.rows("SELECT count(*) AS jobs FROM jobs.job WHERE kind = 'dashboard.refresh'") == [
        {"jobs": 1}
    ]


# --- attendance -------------------------------------------------------------------------------------------


@pytest.fixture
def empty_class(tenant_db: TenantDatabase, treasury: Treasury) -> tuple[School, int]:
    """A class of five that nobody was seen in."""
    del treasury  # its policy is in force
    school = School(tenant_db, tenant_db.connect())
    school.roster()
    session = school.session()
    school.lives()
    school.ended()
    school.compute(session)
    return school, session


def test_that_nobody_came_is_asked_about_and_confirmed_once(empty_class: tuple[School, int]) -> None:
    """Families are written to once, however often the form is sent."""
    school, session = empty_class
    ana = Visitor(school)
    shown = ana.open("attendance")
    question = ana.send(ana.form())
    form = ana.form()
    done = ana.send(form)
    messages = len(school.messages())
    again = ana.send(form)

    assert "No se vio a nadie" in shown.said
    assert "5 alumnos quedarán ausentes" in question.said
    assert "se avisó a las familias" in done.said
    assert "no cambió nada" in again.said
    assert len(school.messages()) == messages > 0
    assert set(school.statuses(session).values()) == {"absent_unexcused"}
    school.connection.close()


def test_a_class_that_moved_on_is_not_confirmed(empty_class: tuple[School, int]) -> None:
    """A reader delivered late while somebody was asked."""
    school, session = empty_class
    ana = Visitor(school)
    ana.open("attendance")
    first = ana.form()
    ana.send(first)
    second = ana.form()
    school.arrives("s1")
    school.compute(session)
    pages = [(ana.send(form).find("h1")[0].text, ana.page.status) for form in (first, second)]

    assert pages == [("La clase ya cambió.", 409)] * 2
    assert not [one for one in school.messages() if one[0] == "attendance.absent" and one[1] != "queued"]
    school.connection.close()


def test_who_only_looks_sees_the_class_and_no_button(empty_class: tuple[School, int]) -> None:
    """And may send no form."""
    school, session = empty_class
    diego = Visitor(school, member="diego", role=Role.VIEWER)
    found = diego.open("attendance")

    assert "No se vio a nadie" in found.said
    assert not [form for form in found.forms() if form["@"].endswith("/confirm")]
    with pytest.raises(PermissionDenied):
        diego.send({"@": f"{BASE}/attendance/L{session}/confirm", "version": "1", "confirm": "1"})
    school.connection.close()


# --- outside ----------------------------------------------------------------------------------------------


def test_errors_say_what_to_do_and_never_what_engineers_read() -> None:
    """Under the error's own status, in the person's language."""
    error = NotFound("There is no claim C9", next_step="See `wmctl claim list`.")
    page = site.error_page(error, "es", "n", BASE)

    assert page.status == 404
    assert "Eso no está aquí." in page.html
    assert "wmctl" not in page.html
    assert "C9" not in page.html


def test_numbers_that_are_old_are_called_old(ana: Visitor, treasury: Treasury) -> None:
    """When no refresh happened for a while."""
    ana.refresh()
    treasury.clock.move(timedelta(hours=3))

    assert "Estos números no están al día." in ana.open("").said
