"""Every page of the panel in a real browser: in both languages, light and dark, on a phone and at a desk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import get_args

import pytest
from playwright.sync_api import Browser

from platform_core.dashboards.contracts import Language, Page
from tests.support import browsing, panel
from tests.support.browsing import DESKTOP, NARROW, ORIGIN, PHONE, Screen, Visit, visit
from tests.support.panel import EMPTY, NONCE, TYPICAL, WORST, Sample, sample_pages

MAX_WEIGHT = 100 * 1000
POLICY = {
    "content-security-policy": f"default-src 'none'; style-src 'nonce-{NONCE}'; script-src 'nonce-{NONCE}'; "
    "img-src data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
}
SAMPLES: Mapping[str, Sample] = {"typical": TYPICAL, "empty": EMPTY, "worst": WORST}
_CUT = """() => {
  const link = document.activeElement, row = link.closest("nav.main");
  if (!row) return "";
  const seen = link.getBoundingClientRect(), room = row.getBoundingClientRect();
  return seen.left < room.left - 0.5 || seen.right > room.right + 0.5 ? link.textContent : "";
}"""
"""The text of the focused link of the navigation when part of it is outside of its row."""
NAMES = sorted(sample_pages(TYPICAL, "es"))
LANGUAGES: tuple[Language, ...] = get_args(Language)


@cache
def _pages(sample: str, language: Language) -> Mapping[str, Page]:
    return sample_pages(SAMPLES[sample], language)


@cache
def _served() -> Mapping[str, tuple[str, Mapping[str, str]]]:
    """Every page of every sample at a path of its own, with the headers of the panel's route."""
    return {
        f"/{sample}/{language}/{name}": (page.html, POLICY)
        for sample in SAMPLES
        for language in LANGUAGES
        for name, page in _pages(sample, language).items()
    }


@pytest.fixture(scope="module")
def visitor(browser: Browser) -> Iterator[Visit]:
    """Somebody with a phone, whom motion hurts, who looks at one page after another."""
    with visit(browser, screen=PHONE, calm=True, pages=_served()) as found:
        yield found


@pytest.fixture(scope="module")
def unscripted(browser: Browser) -> Iterator[Visit]:
    """The same, with scripts switched off."""
    with visit(browser, screen=PHONE, pages=_served(), scripts=False) as found:
        yield found


def _open(visitor: Visit, path: str, *, screen: Screen = PHONE, dark: bool = False) -> None:
    visitor.complaints.clear()
    visitor.asked.clear()
    visitor.page.set_viewport_size({"width": screen.width, "height": screen.height})
    visitor.page.emulate_media(color_scheme="dark" if dark else "light")
    assert visitor.open(path).ok


def _too_wide(visitor: Visit) -> list[str]:
    found = []
    for screen in (NARROW, PHONE, DESKTOP):
        visitor.page.set_viewport_size({"width": screen.width, "height": screen.height})
        found += [f"{screen.name}: {one}" for one in browsing.overflow(visitor.page)]
    return found


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_no_barrier_light_or_dark(visitor: Visit, name: str, language: Language) -> None:
    """WCAG 2.2 AA by axe, with the page's own content policy in force."""
    _open(visitor, f"/typical/{language}/{name}")
    light = browsing.barriers(visitor.page)
    visitor.page.emulate_media(color_scheme="dark")
    dark = browsing.barriers(visitor.page)

    assert (light, dark, visitor.complaints) == ([], [], [])


@pytest.mark.parametrize("sample", ["empty", "worst"])
@pytest.mark.parametrize("name", NAMES)
def test_a_page_without_data_or_with_hostile_data_has_no_barrier(
    visitor: Visit, name: str, sample: str
) -> None:
    """The first day of a customer, and the worst that strangers write."""
    _open(visitor, f"/{sample}/es/{name}", screen=DESKTOP)

    assert (browsing.barriers(visitor.page), visitor.complaints) == ([], [])


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("name", NAMES)
def test_a_page_fits_every_screen_and_asks_nobody(visitor: Visit, name: str, sample: str) -> None:
    """No push sideways at 320, 390 and 1280 pixels; one request, the page; nothing said against it."""
    for language in LANGUAGES:
        path = f"/{sample}/{language}/{name}"
        _open(visitor, path)

        assert (_too_wide(visitor), visitor.complaints, visitor.asked) == ([], [], [f"{ORIGIN}{path}"])


@pytest.mark.parametrize("name", NAMES)
def test_a_page_says_the_same_without_scripts(visitor: Visit, unscripted: Visit, name: str) -> None:
    """Reading and deciding need none: the same words, the same forms."""
    said = []
    for one in (visitor, unscripted):
        _open(one, f"/typical/es/{name}")
        said.append((one.page.inner_text("body"), one.page.locator("button, input, a").count()))

    assert said[0] == said[1]


@pytest.mark.parametrize("screen", [PHONE, DESKTOP], ids=lambda screen: screen.name)
@pytest.mark.parametrize("name", NAMES)
def test_the_keyboard_reaches_everything_in_the_order_it_is_read(
    visitor: Visit, name: str, screen: Screen
) -> None:
    """Each stop is marked and lies under nothing."""
    _open(visitor, f"/typical/es/{name}", screen=screen)
    stops = browsing.tab_stops(visitor.page)

    assert [stop.place for stop in stops] == browsing.reachable(visitor.page)
    assert [stop for stop in stops if stop.covered or not stop.marked] == []


@pytest.mark.parametrize("name", NAMES)
def test_nothing_moves_for_those_whom_motion_hurts(visitor: Visit, name: str) -> None:
    """Neither by itself nor when something changes."""
    _open(visitor, f"/typical/es/{name}")

    assert browsing.motions(visitor.page) == []


@pytest.mark.parametrize("chosen", ["light", "dark"])
def test_a_chosen_look_holds_against_the_systems(browser: Browser, chosen: str) -> None:
    """The panel in the dark at noon, or light at night, because the person said so; and readable so."""
    html = sample_pages(TYPICAL, "es", theme="dark" if chosen == "dark" else "light")["claim"].html
    with visit(browser, dark=chosen == "light", calm=True, pages={"/": (html, POLICY)}) as found:
        found.open("/")
        shade = found.page.evaluate(
            "() => getComputedStyle(document.body).backgroundColor.match(/[0-9.]+/g).slice(0, 3)"
            ".reduce((sum, part) => sum + Number(part), 0)"
        )

        assert (shade < 200) is (chosen == "dark")
        assert browsing.barriers(found.page) == []


@pytest.mark.parametrize("sample", SAMPLES)
def test_no_page_is_heavier_than_a_cheap_phone_bears(sample: str) -> None:
    """In bytes as they travel, with the heaviest picture there can be."""
    weights = {
        f"{language} {name}": len(page.html.encode("utf-8", "replace"))
        for language in LANGUAGES
        for name, page in _pages(sample, language).items()
    }

    assert {name: weight for name, weight in weights.items() if weight > MAX_WEIGHT} == {}
    assert len(panel.heaviest_picture().content) > len(panel.picture().content)


@pytest.mark.parametrize("screen", [NARROW, PHONE], ids=lambda screen: screen.name)
def test_a_link_of_the_navigation_is_whole_once_it_has_the_focus(visitor: Visit, screen: Screen) -> None:
    """Forwards and back; the row scrolls, and shows where the keyboard is."""
    _open(visitor, "/typical/es/home", screen=screen)
    count = visitor.page.locator("nav.main a").count()
    cut = []
    for key in ["Tab"] * (count + 1) + ["Shift+Tab"] * (count - 1):
        visitor.use_keyboard(key)
        cut.append(visitor.page.evaluate(_CUT))

    assert (count, set(cut)) == (7, {""})
