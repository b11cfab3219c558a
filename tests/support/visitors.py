"""A member at the panel, without a browser: reads pages, fills their forms, and follows where posts lead."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from platform_core.dashboards import site
from platform_core.dashboards.contracts import Language, Moved, Page, Viewer
from platform_core.dashboards.refresh import refresh
from platform_core.tenancy.members import Role
from tests.support.documents import Document, read
from tests.support.messaging import Desk

BASE = "/api/r/einstein_kids/panel"
ZONE = "America/Santiago"


@dataclass(slots=True)
class Visitor:
    """One member over a desk's database. `page` is what they look at, `path` where."""

    desk: Desk
    member: str = "ana"
    role: Role = Role.OWNER
    language: Language = "es"
    page: Page = field(default_factory=lambda: Page(0, ""))
    path: str = ""

    @property
    def viewer(self) -> Viewer:
        """As the edge hands them over."""
        return Viewer("test", self.member, self.role, self.language, csrf="c", link="L1")

    @property
    def seen(self) -> Document:
        """What they look at, as a browser reads it."""
        return read(self.page.html)

    def refresh(self) -> None:
        """Let the numbers be up to date."""
        with self.desk.tx() as tx:
            refresh(tx, timezone=ZONE, now=self.desk.clock.now())

    def open(self, path: str) -> Document:
        """Go to a path of the panel, with its query, and read what is there."""
        self.look(path)
        return self.seen

    def look(self, path: str) -> None:
        """Go to a path of the panel, with its query."""
        self.path, _, query = path.partition("?")
        with self.desk.tx() as tx:
            self.page = site.show(
                tx, self.viewer, self.path, dict(parse_qsl(query)),
                policy=self.desk.policy, now=self.desk.clock.now(), nonce="n", base=BASE,
            )  # fmt: skip

    def form(self, action: str = "", **filled: str) -> dict[str, str]:
        """The form of an act on the page, filled in; without an act, the only one that is not in the foot."""
        forms = [
            form
            for form in self.seen.forms()
            if form["@"].endswith(("/decide", "/confirm")) and (not action or form.get("action") == action)
        ]
        assert len(forms) == 1, forms
        return forms[0] | filled

    def send(self, form: dict[str, str]) -> Document:
        """Post a form and follow where it leads."""
        fields = dict(form)
        path = fields.pop("@").removeprefix(f"{BASE}/")
        with self.desk.tx() as tx:
            answer = site.post(
                tx, self.viewer, path, fields,
                policy=self.desk.policy, now=self.desk.clock.now(), nonce="n", base=BASE,
            )  # fmt: skip
        if isinstance(answer, Moved):
            return self.open(answer.to)
        self.page = answer
        return self.seen
