"""Every page: with nothing, with a day's data and with the worst; in both languages, small and whole."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_core.dashboards import claim_lists, claim_sheet
from platform_core.dashboards.contracts import Language
from platform_core.dashboards.frame import ROOMS, style_sheet
from platform_core.dashboards.home import Status, decide_status
from platform_core.dashboards.offers import decide_offers
from platform_core.dashboards.readings import ClaimCounts
from platform_core.dashboards.voice import LANGUAGES, load_words
from platform_core.panel.rights import may
from platform_core.payments.lifecycle import ClaimState
from platform_core.tenancy.members import Role
from tests.support.documents import Document, read
from tests.support.panel import (
    BASE,
    EMPTY,
    NONCE,
    NOW,
    TYPICAL,
    WORST,
    Sample,
    alert_rows,
    claim_rows,
    frame,
    heaviest_picture,
    sample_pages,
    sheet_of,
    viewer,
)

MAX_BYTES = 100_000
SAMPLES = {"nothing": EMPTY, "a day": TYPICAL, "the worst": WORST}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("sample", SAMPLES.values(), ids=list(SAMPLES))
def test_every_page_is_whole_small_and_of_one_piece(sample: Sample, language: Language) -> None:
    """What is opened is closed, under 100 KB, nothing from elsewhere, nothing that runs, one h1, ids once."""
    for name, page in sample_pages(sample, language).items():
        found, ids = read(page.html), re.findall(r' id="([^"]+)"', page.html)

        assert found.crooked == [], name
        assert len(page.html.encode()) < MAX_BYTES, name
        assert found.find("html")[0].attributes["lang"] == language, name
        assert len(found.find("h1")) == 1, name
        assert len(found.find("main")) == 1, name
        assert sorted(ids) == sorted(set(ids)), name
        assert not {"script", "link", "iframe", "object", "base"} & set(found.shape), name
        assert [one.attributes["nonce"] for one in found.find("style")] == [NONCE], name
        assert leads_inside(found), name
        assert not [one for one in found.elements if "style" in one.attributes], name


def leads_inside(found: Document) -> bool:
    """Whether every link, form and picture of a page stays in the panel."""
    targets = [
        one.attributes[key] for one in found.elements for key in ("href", "action") if key in one.attributes
    ]
    pictures = [one.attributes["src"] for one in found.elements if "src" in one.attributes]
    return all(target == "#main" or target.startswith(BASE) for target in targets) and all(
        picture.startswith("data:image/webp;base64,") for picture in pictures
    )


@pytest.mark.parametrize("role", [Role.OWNER, Role.OPS, Role.VIEWER])
def test_every_form_carries_its_csrf_value_first_and_every_field_its_name(role: Role) -> None:
    """But for the way in, where nobody is inside yet."""
    for name, page in sample_pages(TYPICAL, role=role).items():
        found = read(page.html)
        for form in found.forms():
            assert list(form)[:2] == ["@", "csrf" if name != "entrance" else "token"], name
        for field in [*found.find("textarea"), *found.find("select"), *found.find("input")]:
            hidden = field.attributes.get("type") == "hidden"
            assert hidden or found.find("label", for_=field.attributes["id"]), (name, field)
            described = field.attributes.get("aria-describedby")
            assert described is None or f'id="{described}"' in page.html, (name, described)


def test_every_chart_says_in_words_and_in_a_table_what_it_shows() -> None:
    """For whoever does not see it, on paper, and where colours mean nothing."""
    for name in ("home", "runs", "messages", "attendance"):
        found = read(sample_pages(TYPICAL)[name].html)
        charts = found.find("svg", role="img")
        assert charts, name
        for chart in charts:
            title, desc = chart.attributes["aria-labelledby"].split()
            assert found.find("title", id=title)[0].text, name
            assert re.search(r"\d", found.find("desc", id=desc)[0].text), name
        assert len(found.find("table")) >= len(charts), name


def test_a_page_in_one_language_has_no_word_of_the_other() -> None:
    """Beyond what people wrote: no key shows through, and what is said is said in one language."""
    spanish = {text for text in load_words("es").values() if isinstance(text, str) and "{" not in text}
    english = {text for text in load_words("en").values() if isinstance(text, str) and "{" not in text}
    only_spanish = {text for text in spanish - english if len(text) > 12}
    keys = {key for key in load_words("es") if "_" in key}

    for name, page in sample_pages(TYPICAL, "en").items():
        said = read(page.html).said
        assert [text for text in only_spanish if text in said] == [], name
        assert [key for key in keys if key in said] == [], name
    assert any(text in read(sample_pages(TYPICAL, "es")["claim"].html).said for text in only_spanish)


@settings(max_examples=60, deadline=None)
@given(name=st.text(st.characters(), max_size=250), words=st.text(st.characters(), max_size=400))
def test_nothing_that_people_are_called_or_write_changes_what_a_page_is(name: str, words: str) -> None:
    """The same elements with the same attributes but for their text, whatever stands in the rows."""
    plain, theirs = Sample(names=("Camila",), words="Hola"), Sample(names=(name,), words=words)
    for draw in (_list_page, _claim_page):
        expected, found = read(draw(plain)), read(draw(theirs))

        assert found.crooked == []
        assert shape_without_words(found) == shape_without_words(expected)


def shape_without_words(found: Document) -> list[tuple[str, tuple[str, ...]]]:
    """Every element with the names of its attributes, but for those around what people said."""
    return [
        (one.tag, tuple(sorted(one.attributes)))
        for one in found.elements
        if one.tag != "bdi" and "words" not in one.attributes.get("class", "")
    ]


def _list_page(sample: Sample) -> str:
    rows = [
        replace(row, name=row.name or "x")
        for row in claim_rows(sample, 3, states=(ClaimState.PENDING_REVIEW,))
    ]
    data = claim_lists.ClaimList("to_decide", rows, ClaimCounts(3, 0))
    return claim_lists.page(frame(path="claims"), data).html


def _claim_page(sample: Sample) -> str:
    data = sheet_of(
        ClaimState.PENDING_REVIEW, replace(sample, names=tuple(name or "x" for name in sample.names))
    )
    receipts = tuple(replace(one, filename=one.filename or "x") for one in data.detail.receipts)
    data = replace(data, detail=replace(data.detail, receipts=receipts), shown=receipts[0])
    page = claim_sheet.page(frame(path="claims/C123"), data).html
    # What differs from form to form by itself.
    return re.sub(r"panel:[0-9a-f]{24}", "panel:x", page)


def test_the_heaviest_claim_there_can_be_stays_small() -> None:
    """The largest picture, the longest words, every form open to be shown."""
    data = sheet_of(sample=WORST, drawn=heaviest_picture())
    page = claim_sheet.page(frame(path="claims/C123"), data)

    assert len(page.html.encode()) < MAX_BYTES
    assert "página 1 de 3" in read(page.html).said


# --- who sees what ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [Role.OWNER, Role.OPS, Role.VIEWER])
def test_the_way_around_leads_where_the_role_may_go_and_nowhere_else(role: Role) -> None:
    """Every link to a room, on every page."""
    allowed = {f"{BASE}/{room}" if room else BASE for room, right in ROOMS if may(role, right)}
    for name in ("home", "claims", "attendance"):
        found = read(sample_pages(TYPICAL, role=role)[name].html)
        rooms = {one.attributes["href"].partition("?")[0] for one in found.find("a")} - {"#main"}
        rooms = {href for href in rooms if href.count("/") <= BASE.count("/") + 1}

        assert rooms <= allowed, name


def test_who_only_looks_sees_neither_picture_nor_words_nor_forms_of_a_claim() -> None:
    """Pictures of receipts show families' bank accounts; deciding is not for everybody."""
    looking = read(sample_pages(TYPICAL, role=Role.VIEWER)["claim"].html)
    deciding = read(sample_pages(TYPICAL, role=Role.OPS)["claim"].html)

    assert (len(looking.find("img")), len(deciding.find("img"))) == (0, 1)
    assert not [form for form in looking.forms() if form["@"].endswith("/decide")]
    assert len([form for form in deciding.forms() if form["@"].endswith("/decide")]) == 5


@pytest.mark.parametrize("state", list(ClaimState))
@pytest.mark.parametrize("role", [Role.OWNER, Role.OPS, Role.VIEWER])
def test_a_claim_in_any_state_shows_a_form_for_each_act_that_is_offered(
    state: ClaimState, role: Role
) -> None:
    """And one for no other."""
    data, who = sheet_of(state), viewer(role=role)
    found = read(claim_sheet.page(frame(who, path="claims/C123"), data).html)
    forms = [form["action"] for form in found.forms() if form["@"] == f"{BASE}/claims/C123/decide"]
    offers = decide_offers(data.standing, member="ana", role=role)

    assert forms == [offer.act.value for offer in offers if not offer.barred]


def test_every_form_of_a_page_has_an_id_of_its_own() -> None:
    """Two decisions are never one."""
    found = read(sample_pages(TYPICAL)["claim"].html)
    ids = [form["decision_id"] for form in found.forms() if "decision_id" in form]

    assert len(ids) == len(set(ids)) == 5


# --- designed states --------------------------------------------------------------------------------------


def test_the_gravest_thing_speaks_first() -> None:
    """An alert for now, then numbers that are old, then that all is well."""
    urgent = [replace(alert, severity="P1") for alert in alert_rows(TYPICAL)]

    assert [
        decide_status(alerts=urgent, as_of=NOW, is_stale=True),
        decide_status(alerts=[], as_of=None, is_stale=False),
        decide_status(alerts=[], as_of=NOW, is_stale=True),
        decide_status(alerts=alert_rows(TYPICAL), as_of=NOW, is_stale=False),
    ] == [Status("bad", "urgent"), Status("good", "new"), Status("wait", "stale"), Status("good", "fine")]


def test_the_first_sentence_says_whether_it_works_and_how_many_alerts_there_are() -> None:
    """The whole answer in one line."""
    headings = [
        read(sample_pages(TYPICAL, language)["home"].html).find("h1")[0].text for language in LANGUAGES
    ]

    assert headings == ["Todo funciona. 2 avisos.", "Everything works. 2 alerts."]


def test_old_numbers_are_called_old_on_every_page() -> None:
    """With the time they are of; fresh ones only say up to when they are complete."""
    old = frame(as_of=NOW - timedelta(hours=5), path="claims")
    data = claim_lists.ClaimList("to_decide", [], ClaimCounts(0, 0))
    said = read(claim_lists.page(old, data).html).said

    assert "Estos números no están al día." in said
    assert "Son de hoy a las 07:12 (hace 5 horas)." in said
    assert "no están al día" not in read(claim_lists.page(frame(path="claims"), data).html).said


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("home", "No hay pagos por decidir."),
        ("claims", "No hay pagos por decidir."),
        ("claims-settled", "Todavía no se decidió ningún pago."),
        ("attendance", "Ninguna clase espera una respuesta."),
        ("messages", "Todavía no se escribió a nadie."),
        ("runs", "Todavía no se hizo nada."),
        ("errors", "No hay avisos."),
        ("use", "Su plan no tiene límites de uso en vigor"),
        ("home", "Todo listo para empezar."),
    ],
)
def test_a_page_with_nothing_on_it_says_what_that_means(name: str, said: str) -> None:
    """And what will be there."""
    assert said in read(sample_pages(EMPTY)[name].html).said


def test_what_is_wrong_with_a_form_is_said_beside_its_field_and_what_was_typed_stays() -> None:
    """Nobody types twice."""
    found = read(sample_pages(TYPICAL)["claim-problem"].html)
    (amount,) = found.find("input", id="approve-amount")

    assert amount.attributes["value"] == TYPICAL.name(0)
    assert amount.attributes["aria-invalid"] == "true"
    assert (
        found.find("span", id="approve-amount-w")[0].text
        == "No se entiende el monto. Escríbalo así: $45.000."
    )
    assert found.find("div", role="alert")


@pytest.mark.parametrize("theme", ["auto", "light", "dark"])
def test_the_chosen_light_is_the_pages_and_its_switch_is_pressed(theme: str) -> None:
    """Automatic leaves it to the device."""
    found = read(sample_pages(TYPICAL, theme=theme)["home"].html)  # type: ignore[arg-type]  # one of the three
    pressed = [one.attributes["value"] for one in found.find("button", aria_pressed="true", name="theme")]

    assert found.find("html")[0].attributes.get("data-theme", "auto") == theme
    assert pressed == [theme]


# --- contrast ---------------------------------------------------------------------------------------------

_PALETTE = re.compile(r"--([a-z-]+):(#[0-9a-f]{3,6})")
PAIRS = (
    ("ink", "paper"), ("soft", "paper"), ("brand", "paper"), ("wait", "paper"), ("bad", "paper"),
    ("ink", "brand-wash"), ("ink", "wait-wash"), ("ink", "bad-wash"), ("on-brand", "brand"), ("ink", "sheet"),
)  # fmt: skip
SHAPES = (
    ("edge", "paper"),
    ("bar", "paper"),
    ("bar-bad", "paper"),
    ("focus", "paper"),
    ("wait", "wait-wash"),
)


def palettes() -> dict[str, dict[str, str]]:
    """The colours by light and dark, as the style sheet says them."""
    sheet = style_sheet()
    light = dict(_PALETTE.findall(sheet.split("}")[0]))
    dark = dict(_PALETTE.findall(sheet.split(":root[data-theme=dark]")[1].split("}")[0]))
    return {"light": light, "dark": dark}


def luminance(colour: str) -> float:
    """As WCAG 2.2 defines it."""
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    parts = [int(digits[index : index + 2], 16) / 255 for index in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    """As WCAG 2.2 defines it."""
    darker, lighter = sorted((luminance(first), luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("light", ["light", "dark"])
def test_words_and_shapes_stand_out_enough(light: str) -> None:
    """4.5 to 1 for words, 3 to 1 for what is only a shape."""
    colours = palettes()[light]
    words = {pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in PAIRS}
    shapes = {pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in SHAPES}

    assert {pair: ratio for pair, ratio in words.items() if ratio < 4.5} == {}
    assert {pair: ratio for pair, ratio in shapes.items() if ratio < 3} == {}


def test_the_chosen_and_the_devices_dark_are_the_same() -> None:
    """Two copies in the style sheet, which would drift apart."""
    sheet = style_sheet()
    device = sheet.split("prefers-color-scheme:dark){:root:not([data-theme=light]){")[1].split("}")[0]
    chosen = sheet.split(":root[data-theme=dark]{color-scheme:dark;")[1].split("}")[0]

    assert device == chosen
