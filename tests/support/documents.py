"""A page as a browser reads it: its elements, its text, and whether what was opened was closed."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = frozenset({"meta", "input", "img", "br", "hr"})


@dataclass(slots=True)
class Element:
    """One element with its attributes and all text inside it."""

    tag: str
    attributes: dict[str, str]
    text: str = ""


@dataclass(slots=True)
class Document:
    """What a page holds, in order. `crooked` says what was closed that was not open."""

    elements: list[Element] = field(default_factory=list)
    crooked: list[str] = field(default_factory=list)

    def find(self, tag: str, **attributes: str) -> list[Element]:
        """The elements of a kind, with such attributes (`class_` is `class`)."""
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        return [one for one in self.elements if one.tag == tag and wanted.items() <= one.attributes.items()]

    @property
    def shape(self) -> list[str]:
        """The elements' names."""
        return [one.tag for one in self.elements]

    @property
    def said(self) -> str:
        """All text of the page's body, in one line."""
        return " ".join(self.find("body")[0].text.split())

    def forms(self) -> list[dict[str, str]]:
        """Each form's fields as a browser would send them, with `action`; a button that is one counts."""
        return self._forms

    _forms: list[dict[str, str]] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found = Document()
        self.open: list[Element] = []
        self.form: dict[str, str] | None = None
        self.select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.found.elements.append(element)
        self._field(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1].tag != tag:
            self.found.crooked.append(tag)
            return
        element = self.open.pop()
        if tag == "form":
            self.form = None
        if tag == "textarea" and self.form is not None:
            self.form[element.attributes["name"]] = element.text

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.text += data

    def _field(self, element: Element) -> None:
        given = element.attributes
        if element.tag == "form":
            self.form = {"@": given["action"]}
            self.found.forms().append(self.form)
        elif self.form is None:
            return
        elif element.tag == "input":
            self.form[given["name"]] = given.get("value", "")
        elif element.tag == "select":
            self.select = given["name"]
        elif element.tag == "option" and ("selected" in given or self.select not in self.form):
            self.form[self.select] = given["value"]


def read(page: str) -> Document:
    """The page as a browser reads it."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    reader.found.crooked += [element.tag for element in reader.open]
    return reader.found
