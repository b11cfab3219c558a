"""What an office's spreadsheet says. Pure: bytes go in, rows and what is wrong with them come out.

Offices save from Excel: with a byte order mark or without, with semicolons where the comma is decimal, with a
line `sep=;`, dates day first, spaces that do not break. All of that is read. What would have to be guessed is
not: a file in another encoding than UTF-8, a phone number without its country, a column nobody knows.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from typing import TypeVar

from platform_core.errors import InvalidInput

MAX_SHEET_BYTES = 2 * 1024 * 1024
MAX_ROWS = 5000
MAX_TEXT_CHARS = 120
_YEARS = range(2000, 2200)
_DELIMITERS = (";", ",", "\t")
_SEPARATOR_LINE = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)
_ISO_DAY = re.compile(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})", re.ASCII)
_DAY_FIRST = re.compile(r"([0-9]{1,2})[-/.]([0-9]{1,2})[-/.]([0-9]{4})", re.ASCII)
_HOUR = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?", re.ASCII)
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_IN_PHONES = re.compile(r"[ ().-]")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a sheet: its name here, the names an office may write, and whether it must be there."""

    name: str
    spanish: tuple[str, ...]
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong in a sheet, for the person who wrote it. It never quotes the cell."""

    line: int
    column: str
    reason: str


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a sheet; its cells by column name, "" where a column or a cell is missing."""

    line: int
    cells: Mapping[str, str]


class NoSuchCell(ValueError):
    """A cell does not hold what its column asks for; the message says what that is."""


STUDENTS = (
    Column("reference", ("referencia",)),
    Column("name", ("nombre", "alumno", "alumna")),
    Column("phone", ("telefono", "celular", "whatsapp")),
    Column("course", ("curso",), needed=False),
    Column("from", ("desde",), needed=False),
    Column("until", ("hasta",), needed=False),
)
SESSIONS = (
    Column("reference", ("referencia",)),
    Column("course", ("curso",)),
    Column("reader", ("lector",)),
    Column("day", ("dia", "fecha")),
    Column("starts", ("inicio", "desde")),
    Column("ends", ("fin", "termino", "hasta")),
    Column("zone", ("zona",), needed=False),
    Column("which", ("vez",), needed=False),
    Column("makes_up_for", ("recupera",), needed=False),
)


def read_sheet(content: bytes, columns: Sequence[Column]) -> tuple[list[Row], list[Fault]]:
    """The rows of a sheet, and what is wrong with its form. Empty lines are left out.

    Raises: InvalidInput when it is no sheet at all: too large, not UTF-8, without a header.
    """
    text = _decode(content)
    found = _SEPARATOR_LINE.match(text)
    delimiter = found[1] if found else _find_delimiter(text)
    lines = list(_lines(text, delimiter))
    if found:
        lines = lines[1:]
    if not lines:
        raise InvalidInput("The sheet is empty", next_step=_columns_wanted(columns))
    (first, header), body = lines[0], lines[1:]
    if len(body) > MAX_ROWS:
        raise InvalidInput(
            f"The sheet has {len(body)} rows", next_step=f"Split it: {MAX_ROWS} at most at once."
        )
    names, faults = _read_header(first, header, columns)
    if faults:
        return [], faults
    rows = []
    for line, cells in body:
        if len(cells) > len(names) and any(cells[len(names) :]):
            faults.append(Fault(line, "", f"has {len(cells)} cells under {len(names)} columns"))
        else:
            padded = dict(zip(names, [*cells, *[""] * len(names)], strict=False))
            rows.append(Row(line, {column.name: padded.get(column.name, "") for column in columns}))
    return rows, faults


def cell(row: Row, column: str, read: Callable[[str], T], faults: list[Fault]) -> T | None:
    """The cell as `read` understands it; None, and a fault, when it does not."""
    try:
        return read(row.cells[column])
    except NoSuchCell as error:
        faults.append(Fault(row.line, column, str(error)))
        return None


# --- What cells hold --------------------------------------------------------------------------------------


def read_text(text: str) -> str:
    """A text of 1 to 120 characters."""
    if not text:
        raise NoSuchCell("is empty")
    if len(text) > MAX_TEXT_CHARS or not text.isprintable():
        raise NoSuchCell(f"is longer than {MAX_TEXT_CHARS} characters, or has one that cannot be printed")
    return text


def read_optional(text: str) -> str:
    """As `read_text`, or empty."""
    return read_text(text) if text else ""


def read_phone(text: str) -> str:
    """A phone number in international form; spaces, dots, dashes and brackets do not matter."""
    number = _IN_PHONES.sub("", text)
    if not _PHONE.fullmatch(number):
        raise NoSuchCell("is no phone number with its country: write +56912345678, and format it as text")
    return number


def read_day(text: str) -> date:
    """A day: 2026-03-02, or day first as 02-03-2026 and 2/3/2026."""
    if found := _ISO_DAY.fullmatch(text):
        year, month, day = (int(part) for part in found.groups())
    elif found := _DAY_FIRST.fullmatch(text):
        day, month, year = (int(part) for part in found.groups())
    else:
        raise NoSuchCell("is no day: write 2026-03-02 or 02-03-2026")
    try:
        found_day = date(year, month, day)
    except ValueError:
        raise NoSuchCell("is a day that no calendar has") from None
    if found_day.year not in _YEARS:
        raise NoSuchCell("is not a day of this century or the next")
    return found_day


def read_optional_day(text: str) -> date | None:
    """As `read_day`, or None."""
    return read_day(text) if text else None


def read_hour(text: str) -> time:
    """An hour on the wall: 15:00, 9:05 or 15:00:30."""
    found = _HOUR.fullmatch(text)
    try:
        if found:
            return time(int(found[1]), int(found[2]), int(found[3] or 0))
    except ValueError:
        pass
    raise NoSuchCell("is no hour: write 15:00")


def read_which(text: str) -> int | None:
    """Which of two, of an hour that happens twice: 1 or 2; empty everywhere else."""
    if text not in ("", "1", "2"):
        raise NoSuchCell("is neither 1 nor 2: it says which of two equal hours is meant")
    return int(text) - 1 if text else None


# --- Form -------------------------------------------------------------------------------------------------


def _decode(content: bytes) -> str:
    if len(content) > MAX_SHEET_BYTES:
        raise InvalidInput("The sheet is larger than 2 MB", next_step="Split it.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInput(
            "The sheet is not UTF-8", next_step="Save it again as «CSV UTF-8 (delimitado por comas)»."
        ) from None
    if "\0" in text:
        raise InvalidInput("The sheet is no text", next_step="Save it as CSV UTF-8, not as a workbook.")
    # One letter, one spelling: a course written on another computer is the same course.
    return unicodedata.normalize("NFC", text)


def _find_delimiter(text: str) -> str:
    """The one that stands most often in the first line that says something."""
    header = next((line for line in text.splitlines() if line.strip()), "")
    return max(_DELIMITERS, key=header.count)


def _lines(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            plain = [" ".join(one.replace("\xa0", " ").split(" ")).strip() for one in cells]
            if any(plain):
                yield reader.line_num, plain
    except csv.Error as error:
        raise InvalidInput(
            f"Line {reader.line_num} of the sheet cannot be read: {error}",
            next_step="Look for a quotation mark that is not closed.",
        ) from None


def _read_header(
    line: int, header: Sequence[str], columns: Sequence[Column]
) -> tuple[list[str], list[Fault]]:
    known = {name: column.name for column in columns for name in (column.name, *column.spanish)}
    names, faults = [], []
    for position, title in enumerate(header, 1):
        name = known.get(_plain(title), "")
        if not name and title:
            faults.append(Fault(line, title[:40], f"is no column that is known. {_columns_wanted(columns)}"))
        elif name in names:
            faults.append(Fault(line, title[:40], "stands there twice"))
        names.append(name or f"#{position}")
    missing = [column.name for column in columns if column.needed and column.name not in names]
    faults += [Fault(line, name, "is missing in the first line") for name in missing]
    return names, faults


def _plain(title: str) -> str:
    letters = unicodedata.normalize("NFD", title.casefold())
    return "".join(one for one in letters if not unicodedata.combining(one)).strip().replace(" ", "_")


def _columns_wanted(columns: Sequence[Column]) -> str:
    needed = ", ".join(column.name for column in columns if column.needed)
    others = ", ".join(column.name for column in columns if not column.needed)
    return f"Its first line names {needed}; it may name {others}."
