"""What a browser asks of a panel, read from a route's event without believing any of it.

Windmill replaces a text that is `$var:...` or `$res:...` as a whole by the customer's secret before our code
runs: in every header, in `params`, in the values of `query` and in the fields of `body`. Therefore

- the page comes from `path`, which begins with the customer's name, so that it is never replaced, and not
  from `params`;
- a form comes from `raw_string`, which begins with a field's name; not from `body`;
- of `query` only names and shapes of a closed table go on, and pages compare them with their own words;
- headers are compared or verified, and none is ever shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal
from urllib.parse import parse_qsl

from platform_core.db.text import is_storable
from platform_core.errors import ConfigurationError, InvalidInput, NotFound
from platform_core.panel.links import ENTRANCE
from platform_core.panel.tokens import MAX_TOKEN_CHARS

MAX_FORM_CHARS = 64 * 1024
MAX_FIELDS = 100
MAX_COOKIE_CHARS = 8 * 1024

QUERY: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        "done": re.compile(r"[a-z_]{1,32}", re.ASCII),
        "state": re.compile(r"[a-z_]{1,32}", re.ASCII),
        "since": re.compile(r"[a-z0-9_]{1,16}", re.ASCII),
        "day": re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII),
        "page": re.compile(r"[1-9][0-9]{0,3}", re.ASCII),
        "before": re.compile(r"[A-Z]?[1-9][0-9]{0,17}", re.ASCII),
        "receipt": re.compile(r"M[1-9][0-9]{0,17}", re.ASCII),
    }
)
"""What may follow a `?`. Everything else is dropped: it may be a secret that Windmill put there."""

_PATH = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9_-]{0,39}(?:/[A-Za-z0-9][A-Za-z0-9_-]{0,39}){0,3})?", re.ASCII)
_TARGET = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9_/-]{0,160})?(?:\?[A-Za-z0-9_=&-]{0,200})?", re.ASCII)

Method = Literal["get", "post"]


@dataclass(frozen=True, slots=True)
class Asking:
    """One request. `path` is inside the panel, without slashes at its ends; `token` is an entrance's."""

    method: Method
    path: str
    query: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    raw: str = field(repr=False)
    token: str = field(repr=False, default="")

    @property
    def language(self) -> Literal["es", "en"]:
        """What the browser asks for: English when that comes first, else Spanish."""
        return "en" if self.headers.get("accept-language", "").lower().startswith("en") else "es"

    def cookie(self, name: str) -> str:
        """The value of one cookie, or an empty text.

        Split by hand: other applications of the host may set names that make a strict parser drop them all.
        """
        header = self.headers.get("cookie", "")
        pairs = (part.strip().partition("=") for part in header[:MAX_COOKIE_CHARS].split(";"))
        return next((value for found, _, value in pairs if found == name), "")

    def form(self) -> Mapping[str, str]:
        """The fields of the form. Raises: InvalidInput when it is too large, or says one thing twice."""
        if len(self.raw) > MAX_FORM_CHARS:
            raise InvalidInput("The form is too large", next_step="Write less, and send it again.")
        try:
            pairs = parse_qsl(self.raw, keep_blank_values=True, max_num_fields=MAX_FIELDS)
        except ValueError:
            raise InvalidInput("The form has too many fields") from None
        fields = dict(pairs)
        if len(fields) != len(pairs):
            raise InvalidInput("The form says one thing twice", next_step="Load the page again.")
        if not all(is_storable(name + value) for name, value in pairs):
            raise InvalidInput(
                "The form holds characters nothing can store", next_step="Type the text again."
            )
        return fields


def read_asking(event: object) -> Asking:
    """Read the event of the panel's route.

    Raises: ConfigurationError when the route is not as it must be, NotFound for an address no page has.
    """
    fields = event if isinstance(event, Mapping) else {}
    route, path, raw = fields.get("route"), fields.get("path"), fields.get("raw_string")
    if not (isinstance(route, str) and isinstance(path, str) and isinstance(raw, str)):
        raise ConfigurationError(
            "The route passes no path or no raw body",
            next_step="Set `raw_string: true` on the HTTP triggers.",
        )
    prefix = route.partition("/*")[0]
    inside = path.removeprefix(prefix).strip("/") if path.startswith(prefix) else None
    method = fields.get("method")
    if inside is None or method not in ("get", "post"):
        raise NotFound("There is no such page")
    page, token = _split(inside)
    headers = _texts(fields.get("headers"))
    return Asking(
        "post" if method == "post" else "get", page, _query(fields.get("query")), headers, raw, token
    )


def _split(inside: str) -> tuple[str, str]:
    if inside.startswith(f"{ENTRANCE}/"):
        return ENTRANCE, inside.removeprefix(f"{ENTRANCE}/")[: MAX_TOKEN_CHARS + 1]
    if not _PATH.fullmatch(inside):
        raise NotFound("There is no such page")
    return inside, ""


def _query(given: object) -> Mapping[str, str]:
    return {
        name: value for name, value in _texts(given).items() if name in QUERY and QUERY[name].fullmatch(value)
    }


def _texts(given: object) -> dict[str, str]:
    pairs = given.items() if isinstance(given, Mapping) else ()
    return {str(name): value for name, value in pairs if isinstance(value, str)}


def parse_target(text: str) -> str:
    """A place inside the panel to go to, or its home for anything that is none: never another site."""
    return text if _TARGET.fullmatch(text) else ""
