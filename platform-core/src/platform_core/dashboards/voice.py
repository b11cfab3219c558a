"""How the panel speaks to one person: their language, their customer's country, zone and currency.

Words stand in `es.toml` and `en.toml`, the same keys in both. A key with forms is chosen by the language's
own plural rule. Placeholders are plain names; what fills them is text and is escaped like all text.
"""

from __future__ import annotations

import string
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from platform_core.dashboards import figures
from platform_core.dashboards.contracts import Language
from platform_core.dashboards.figures import Numerals, numerals_of
from platform_core.errors import ConfigurationError
from platform_core.values import Money

LANGUAGES: tuple[Language, ...] = ("es", "en")

_MILLION = 1_000_000
_SECOND_MS, _MINUTE_MS, _HOUR_MS, _DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000

Entry = str | Mapping[str, str]


@cache
def load_words(language: Language) -> Mapping[str, Entry]:
    """The words of a language by dotted key. Raises: ConfigurationError."""
    try:
        raw = tomllib.loads(Path(__file__).with_name(f"{language}.toml").read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"The words of {language!r} cannot be read: {error}") from error
    return dict(_flat(raw, ""))


def plural_of(language: Language, number: int) -> str:
    """The form that a number takes (CLDR): `one`, `many` (a million of something, in Spanish) or `other`."""
    if number == 1:
        return "one"
    if language == "es" and number and number % _MILLION == 0:
        return "many"
    return "other"


@dataclass(frozen=True, slots=True)
class Voice:
    """Says things to one person. `country` is an ISO code, `now` when they look."""

    language: Language
    country: str
    currency: str
    zone: ZoneInfo
    now: datetime
    numerals: Numerals = field(init=False)
    words: Mapping[str, Entry] = field(init=False)

    def __post_init__(self) -> None:
        """Load the words and the numerals."""
        object.__setattr__(self, "numerals", numerals_of(self.language, self.country))
        object.__setattr__(self, "words", load_words(self.language))

    def say(self, key: str, **values: str | int) -> str:
        """The words of a key, filled. Raises: ConfigurationError when there are none."""
        entry = self._entry(key)
        if not isinstance(entry, str):
            raise ConfigurationError(f"{key} has forms: say how many")
        return self._filled(entry, values)

    def count(self, key: str, number: int, **values: str | int) -> str:
        """The words of a key in the form that the number takes; the number fills `{n}`."""
        entry = self._entry(key)
        if isinstance(entry, str):
            raise ConfigurationError(f"{key} has no forms")
        form = plural_of(self.language, number)
        return self._filled(entry.get(form, entry["other"]), {"n": number, **values})

    def knows(self, key: str) -> bool:
        """Whether there are words for a key: kinds of jobs and alerts may be newer than the words."""
        return key in self.words

    def say_kind(self, noun: str, kind: str) -> str:
        """The words for a kind of something; for one that has none, the noun's words for the rest."""
        key = f"{noun}.{kind.replace('.', '_')}"
        return self.say(key) if self.knows(key) else self.say(f"{noun}.other", kind=kind)

    # --- figures ------------------------------------------------------------------------------------------

    def number(self, value: int | Decimal, *, decimals: int = 0) -> str:
        """A number."""
        return figures.to_number(value, self.numerals, decimals=decimals)

    def money(self, money: Money) -> str:
        """An amount."""
        return figures.to_money(money, self.numerals)

    def percent(self, part: int, whole: int) -> str:
        """A share."""
        return figures.to_percent(part, whole, self.numerals)

    def duration(self, ms: float | None) -> str:
        """How long, in the unit that people would use."""
        if ms is None:
            return "–"
        for unit, size in (
            ("day", _DAY_MS),
            ("hour", _HOUR_MS),
            ("minute", _MINUTE_MS),
            ("second", _SECOND_MS),
        ):
            if ms >= size:
                amount = Decimal(str(ms)) / size
                decimals = 1 if amount < 10 and unit != "minute" else 0  # noqa: PLR2004 - one digit says too little
                return self.say(f"unit.{unit}", n=self.number(amount, decimals=decimals))
        return self.say("unit.millisecond", n=self.number(round(ms)))

    # --- days and times -----------------------------------------------------------------------------------

    def local(self, at: datetime) -> datetime:
        """An instant on the customer's clocks."""
        return at.astimezone(self.zone)

    @property
    def today(self) -> date:
        """The customer's own day."""
        return self.local(self.now).date()

    def day(self, day: date, *, weekday: bool = False) -> str:
        """A day in words; the year only where it is another than now."""
        year = "" if day.year == self.today.year else "_year"
        kind = "weekday" if weekday else "day"
        return self._date(f"date.{kind}{year}", day)

    def short_day(self, day: date) -> str:
        """A day in the least room."""
        return self._date("date.short", day)

    def month(self, day: date) -> str:
        """A month and its year."""
        return self._date("date.month", day)

    def clock(self, at: datetime) -> str:
        """The time of day on the customer's clocks."""
        local = self.local(at)
        if self.language == "es":
            return f"{local:%H:%M}"
        return f"{local.hour % 12 or 12}:{local.minute:02}{figures.NBSP}{'AM' if local.hour < 12 else 'PM'}"  # noqa: PLR2004 - noon

    def moment(self, at: datetime) -> str:
        """An instant: the time alone on the same day, else the day too."""
        local = self.local(at).date()
        if local == self.today:
            return self.say("date.today_at", clock=self.clock(at))
        return self.say("date.moment", day=self.day(local), clock=self.clock(at))

    def ago(self, at: datetime) -> str:
        """How long ago, roughly."""
        passed = self.now - at
        if passed < timedelta(minutes=1):
            return self.say("ago.now")
        if passed < timedelta(hours=1):
            return self.count("ago.minutes", int(passed.total_seconds() // 60))
        if passed < timedelta(days=2):
            return self.count("ago.hours", int(passed.total_seconds() // 3600))
        return self.count("ago.days", passed.days)

    # --- words --------------------------------------------------------------------------------------------

    def _date(self, key: str, day: date) -> str:
        return self.say(
            key,
            day=str(day.day),
            month=self.say(f"month.{day.month}"),
            short=self.say(f"month_short.{day.month}"),
            weekday=self.say(f"weekday.{day.isoweekday()}"),
            year=str(day.year),
        )

    def _entry(self, key: str) -> Entry:
        try:
            return self.words[key]
        except KeyError:
            raise ConfigurationError(f"{self.language}.toml has no words for {key!r}") from None

    def _filled(self, text: str, values: Mapping[str, str | int]) -> str:
        said = {key: self.number(value) if isinstance(value, int) else value for key, value in values.items()}
        return text.format_map(said)


def placeholders_of(text: str) -> frozenset[str]:
    """The names that fill a text."""
    return frozenset(name for _, name, _, _ in string.Formatter().parse(text) if name)


_FORMS = frozenset({"one", "many", "other"})


def _flat(table: Mapping[str, object], prefix: str) -> Iterator[tuple[str, Entry]]:
    for key, value in table.items():
        if isinstance(value, str):
            yield f"{prefix}{key}", value
        elif isinstance(value, Mapping) and set(value) <= _FORMS and "other" in value:
            yield f"{prefix}{key}", {form: str(text) for form, text in value.items()}
        elif isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            raise ConfigurationError(f"{prefix}{key} is no text")
