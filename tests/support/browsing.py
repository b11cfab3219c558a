"""A real browser for tests and pictures: the system's Chromium, watched for everything a page must not do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import axe_playwright_python
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response, Route, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
WCAG = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
ORIGIN = "http://panel.test"
"""Where the pages stand that no server serves; the name leads nowhere."""


class BrowserMissing(Exception):
    """There is no Chromium on this machine. Install it: apt-get install chromium."""


@dataclass(frozen=True, slots=True)
class Screen:
    """A screen people hold or sit before, in CSS pixels; `sharpness` is how many dots one has a side."""

    name: str
    width: int
    height: int
    touch: bool = False
    sharpness: int = 1


NARROW = Screen("narrow", 320, 640, touch=True)
PHONE = Screen("phone", 390, 844, touch=True)
DESKTOP = Screen("desktop", 1280, 800)


@dataclass  # without slots: playwright notes on the object that it listens
class Visit:
    """One person's look at a site. `complaints` is what the browser said against its pages, in order."""

    page: Page
    origin: str
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    weights: dict[str, int] = field(default_factory=dict)

    def open(self, path: str) -> Response:
        """Go to a path of the site. What is answered may be any status."""
        answer = self.page.goto(f"{self.origin}{path}")
        assert answer is not None
        return answer

    def use_keyboard(self, key: str, times: int = 1) -> None:
        """Press a key as often."""
        for _ in range(times):
            self.page.keyboard.press(key)

    # --- what the browser is watched for ------------------------------------------------------------------

    def watch(self) -> None:
        """Write down every request, error, refusal and weight from now on."""
        self.page.on("request", self._asked)
        self.page.on("requestfailed", self._failed)
        self.page.on("response", self._weighed)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("dialog", self._dialog)

    def _asked(self, request: Request) -> None:
        self.asked.append(request.url)
        own = request.url.startswith((f"{self.origin}/", "data:"))
        if not own:
            self.complaints.append(f"asks for {request.url}")

    def _failed(self, request: Request) -> None:
        if request.url.startswith(f"{self.origin}/") and request.failure != "net::ERR_ABORTED":
            self.complaints.append(f"did not get {request.url}: {request.failure}")

    def _weighed(self, response: Response) -> None:
        length = response.headers.get("content-length", "")
        if response.request.resource_type == "document" and length.isdecimal():
            self.weights[response.url] = int(length)

    def _said(self, message: ConsoleMessage) -> None:
        # The browser reports each answer that is an error; a refused page is one and is asked for on purpose.
        if message.type in ("error", "warning") and not message.text.startswith("Failed to load resource"):
            self.complaints.append(f"{message.type}: {message.text}")

    def _dialog(self, dialog: object) -> None:
        self.complaints.append("opens a dialog")
        dialog.dismiss()  # type: ignore[attr-defined]  # playwright's Dialog


def find_program() -> str:
    """The system's Chromium. Raises: BrowserMissing."""
    for name in PROGRAMS:
        found = shutil.which(name)
        if found:
            return found
    raise BrowserMissing(f"None of {', '.join(PROGRAMS)} is installed. Run: apt-get install chromium")


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A browser without a window, gone at the end."""
    options = ["--disable-gpu", "--font-render-hinting=none", "--disable-lcd-text", "--hide-scrollbars"]
    if os.geteuid() == 0:
        options.append("--no-sandbox")  # Chromium's own cannot be used by root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_program(), args=options)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visit(  # noqa: PLR0913 - each one is a trait of the person who looks, and named
    browser: Browser,
    origin: str = ORIGIN,
    *,
    screen: Screen = PHONE,
    dark: bool = False,
    scripts: bool = True,
    calm: bool = False,
    pages: Mapping[str, tuple[str, Mapping[str, str]]] | None = None,
) -> Iterator[Visit]:
    """Look at a site as somebody: their screen, dark or light, with scripts or without; calm if motion hurts.

    `pages` are answered in place of a server: path to document and headers. A request to another place is
    refused and complained about.
    """
    context = browser.new_context(
        viewport={"width": screen.width, "height": screen.height},
        device_scale_factor=screen.sharpness,
        has_touch=screen.touch,
        is_mobile=screen.touch,
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce" if calm else "no-preference",
        java_script_enabled=scripts,
        locale="es-CL",
        timezone_id="America/Santiago",
        service_workers="block",
    )
    context.set_default_timeout(20_000)
    try:
        found = Visit(context.new_page(), origin)
        found.watch()
        context.route("**/*", lambda route: _answer(route, origin, pages))
        yield found
    finally:
        context.close()


def _answer(route: Route, origin: str, pages: Mapping[str, tuple[str, Mapping[str, str]]] | None) -> None:
    url = urlsplit(route.request.url)
    if f"{url.scheme}://{url.netloc}" != origin:
        route.abort()
    elif pages is None:
        route.continue_()
    elif url.path in pages:
        html, headers = pages[url.path]
        body = html.encode()
        length = {"content-length": str(len(body)), "content-type": "text/html; charset=utf-8"}
        route.fulfill(status=200, body=body, headers={**length, **headers})
    else:
        route.fulfill(status=404, body="")


# --- What a page is asked ---------------------------------------------------------------------------------


@cache
def _axe() -> str:
    return (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


def barriers(page: Page) -> list[str]:
    """What axe finds against WCAG 2.2 AA, one line for each kind and place. Needs scripts in the page."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(_axe())  # by the debugger, which a page's content policy does not bind
    found = page.evaluate(
        """async tags => {
            const result = await axe.run({runOnly: {type: 'tag', values: tags}, resultTypes: ['violations']})
            const why = node => node.failureSummary.split('\\n')[1] || ''
            return result.violations.flatMap(
                one => one.nodes.map(node => `${one.id}: ${node.target.join(' ')}: ${why(node)}`))
        }""",
        list(WCAG),
    )
    return [str(one).strip() for one in found]


def overflow(page: Page) -> list[str]:
    """What reaches over the right edge, so that the page must be pushed sideways. A box that scrolls may."""
    found = page.evaluate(
        """() => {
            const root = document.documentElement
            if (root.scrollWidth <= root.clientWidth) return []
            const scrolls = node => getComputedStyle(node).overflowX !== 'visible'
            const inside = ({parentElement: up}) => up && (scrolls(up) || inside(up))
            const over = node => node.getBoundingClientRect().right > root.clientWidth + 1 && !inside(node)
            const told = node => `${node.tagName} ${node.className} ${node.textContent.slice(0, 40)}`
            const found = [...document.body.querySelectorAll('*')].filter(over).slice(0, 5).map(told)
            return [`the page is ${root.scrollWidth} wide`, ...found]
        }"""
    )
    return [str(one) for one in found]


@dataclass(frozen=True, slots=True)
class Stop:
    """Where the keyboard's focus stood: its place among what can be focused, and what it says.

    `marked` is false when nothing shows that it is there, `covered` is true when nothing of it is seen.
    """

    place: int
    name: str
    marked: bool
    covered: bool


_FOCUSABLE = (
    "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]:not([tabindex='-1'])"
)


def tab_stops(page: Page, most: int = 200) -> list[Stop]:
    """Every stop of the Tab key from the top of the page, once around."""
    # Begin at the top, wherever the page itself put the focus.
    page.evaluate("() => { const top = document.body; top.tabIndex = -1; top.focus(); top.tabIndex = null }")
    page.evaluate("() => { document.body.removeAttribute('tabindex'); window.scrollTo(0, 0) }")
    found: list[Stop] = []
    for _ in range(most):
        page.keyboard.press("Tab")
        stop = page.evaluate(
            """async focusable => {
                for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame)  // it may have to scroll
                const node = document.activeElement
                if (!node || node === document.body || node === document.documentElement) return null
                const style = getComputedStyle(node)
                const line = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2
                const box = node.getClientRects()[0] || node.getBoundingClientRect()
                const shown = [0.1, 0.5, 0.9].some(part => {
                    const top = document.elementFromPoint(box.x + box.width * part, box.y + box.height / 2)
                    return top && (node.contains(top) || top.closest('label')?.control === node)
                })
                return [[...document.querySelectorAll(focusable)].indexOf(node),
                    (node.textContent || node.name || '').trim().slice(0, 40),
                    line || style.boxShadow !== 'none', !shown]
            }""",
            _FOCUSABLE,
        )
        if stop is None or (found and stop[0] == found[0].place):
            break
        found.append(Stop(*stop))
    return found


def reachable(page: Page) -> list[int]:
    """The places in the document that the Tab key must reach, in the order they are read.

    Of a group of radio buttons it reaches one: the chosen, or the first.
    """
    found = page.evaluate(
        """focusable => {
            const all = [...document.querySelectorAll(focusable)]
            const radios = new Set()
            return all.map((node, place) => [node, place]).filter(([node]) => {
                if (node.disabled || !node.checkVisibility({visibilityProperty: true})) return false
                if (node.type !== 'radio') return true
                const group = all.filter(one => one.type === 'radio' && one.name === node.name)
                const chosen = group.find(one => one.checked) || group[0]
                return node === chosen
            }).map(([, place]) => place)
        }""",
        _FOCUSABLE,
    )
    return [int(one) for one in found]


def motions(page: Page) -> list[str]:
    """What moves by itself, or would when something changes."""
    found = page.evaluate(
        """() => document.getAnimations().map(one => `animation ${one.animationName || ''}`).concat(
            [...document.querySelectorAll('*')]
                .filter(node => getComputedStyle(node).transitionDuration.split(',')
                    .some(part => parseFloat(part) > 0.01))
                .slice(0, 5).map(node => `transition of ${node.tagName} ${node.className}`))"""
    )
    return [str(one) for one in found]
