"""Charts as inline SVG with everything they show in words and in a table. Pure, and without a script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from platform_core.dashboards.markup import Html, el
from platform_core.dashboards.voice import Voice

_WIDTH, _HEIGHT = 600, 120
_GAP = 0.22  # of a column


@dataclass(frozen=True, slots=True)
class Series:
    """One part of each column. `tone` 1 is what is well, 2 is beside it, 3 is what is not."""

    name: str
    tone: int
    values: Sequence[int]

    @property
    def total(self) -> int:
        """All of it."""
        return sum(self.values)


def columns(
    voice: Voice,
    key: str,
    title: str,
    labels: Sequence[str],
    series: Sequence[Series],
    *,
    edges: Sequence[str],
) -> Html:
    """Stacked columns, one a label, with a sentence and a table that say the same.

    `edges` are written under the first and the last column. `key` tells charts of one page apart.
    """
    totals = [sum(one.values[index] for one in series) for index in range(len(labels))]
    if not any(totals):
        nothing = el("p", voice.say("chart.nothing"), class_="quiet")
        return el("figure", el("figcaption", title), nothing, class_="chart block")
    top = max(totals)
    drawn = [
        _column(
            voice, index, label, [(one.name, one.tone, one.values[index]) for one in series], top, len(labels)
        )
        for index, label in enumerate(labels)
        if totals[index]
    ]
    picture = el(
        "svg",
        el("title", title, id=f"{key}-t"),
        el("desc", _sentence(voice, labels, totals, series), id=f"{key}-d"),
        drawn,
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_labelledby=f"{key}-t {key}-d",
    )
    return el(
        "figure",
        el("figcaption", title),
        el("ul", [_legend(voice, one) for one in series], class_="legend"),
        el(
            "div",
            picture,
            el("div", [el("span", edge) for edge in edges], class_="axis", aria_hidden="true"),
            class_="plot",
        ),
        _table(voice, title, labels, series),
        class_="chart block",
    )


def _column(
    voice: Voice, index: int, label: str, parts: Sequence[tuple[str, int, int]], top: int, count: int
) -> Html:
    wide = _WIDTH / count
    said = ", ".join(f"{voice.number(value)} {name.lower()}" for name, _, value in parts if value)
    foot, boxes = float(_HEIGHT), []
    for _, tone, value in parts:
        if not value:
            continue
        height = max(1.5, _HEIGHT * value / top)
        foot -= height
        boxes.append(
            el(
                "rect",
                class_=f"b{tone}",
                x=index * wide + wide * _GAP / 2,
                y=max(0.0, foot),
                width=wide * (1 - _GAP),
                height=height,
            )
        )
    return el("g", el("title", f"{label}: {said}"), boxes)


def _legend(voice: Voice, one: Series) -> Html:
    box = el(
        "svg", el("rect", class_=f"b{one.tone}", width=12, height=12), viewBox="0 0 12 12", aria_hidden="true"
    )
    return el("li", box, f"{one.name}: {voice.number(one.total)}")


def _sentence(voice: Voice, labels: Sequence[str], totals: Sequence[int], series: Sequence[Series]) -> str:
    highest = max(range(len(totals)), key=totals.__getitem__)
    parts = ", ".join(f"{one.name.lower()} {voice.number(one.total)}" for one in series)
    return voice.say("chart.said", parts=parts, most=voice.number(totals[highest]), label=labels[highest])


def _table(voice: Voice, title: str, labels: Sequence[str], series: Sequence[Series]) -> Html:
    head = el(
        "tr",
        el("th", voice.say("chart.when"), scope="col"),
        [el("th", one.name, scope="col", class_="n") for one in series],
    )
    rows = [
        el(
            "tr",
            el("th", label, scope="row"),
            [el("td", voice.number(value), class_="n") for value in values],
        )
        for label, *values in zip(labels, *(one.values for one in series), strict=True)
        if any(values)
    ]
    table = el("table", el("caption", title, class_="hush"), el("thead", head), el("tbody", rows))
    return el("details", el("summary", voice.say("chart.table")), el("div", table, class_="scroll"))


def change(voice: Voice, now: int, before: int) -> str:
    """How a number stands to the one of the time before, in words and with a sign."""
    if before == 0:
        return ""
    moved = Decimal(100 * (now - before)) / before
    percent = voice.number(abs(round(moved)))
    if round(moved) == 0:
        return voice.say("change.same")
    return voice.say("change.more" if moved > 0 else "change.less", percent=percent)
