"""What a customer says of itself: name, country, currency, zone, language, connectors, owner, number.

The values stand in the folder's customer.toml, so that a newer template can be rendered for the same customer
later, and so that making a customer again asks nothing twice.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from zoneinfo import available_timezones

from platform_cli.customers.countries import COUNTRIES
from platform_core.errors import InvalidInput, UnreadableFile
from platform_core.tenancy.members import HANDLE
from platform_core.tenancy.provision import MAX_DISPLAY_NAME
from platform_core.values import CURRENCY_EXPONENTS, TenantSlug, parse_tenant_slug

CUSTOMER_FILE = "customer.toml"
LANGUAGES = ("es", "en")
PROVIDER = "ycloud"
"""The connector that carries messages: every customer has it."""
CONNECTORS = (PROVIDER, "calendly", "reader")

_PHONE = re.compile(r"\+[1-9][0-9]{7,14}")
_UNITS = {0: "whole {}", 2: "hundredths of {}", 4: "ten-thousandths of {}"}
_TEMPLATE_FIELDS = ("country", "currency", "zone", "language", "owner", "sender_phone")


@dataclass(frozen=True, slots=True)
class Profile:
    """One customer, checked. `connectors` begin with the messaging provider; `sender_phone` has its plus."""

    name: TenantSlug
    display_name: str
    country: str
    currency: str
    zone: str
    language: str
    connectors: tuple[str, ...]
    owner: str
    sender_phone: str

    @property
    def words(self) -> frozenset[str]:
        """What a block of the template may ask for: the connectors and the language."""
        return frozenset({*self.connectors, self.language})

    def placeholders(self) -> dict[str, str]:
        """The values that a template may name."""
        unit = _UNITS[CURRENCY_EXPONENTS[self.currency]]
        return {
            "customer": self.name,
            "display_name": self.display_name,
            "country": self.country,
            "currency": self.currency,
            "minor_unit": unit.format(self.currency),
            "zone": self.zone,
            "language": self.language,
            "phone_code": COUNTRIES[self.country].phone_code,
            "owner": self.owner,
            "sender_phone": self.sender_phone,
        }

    def as_toml(self, template_version: int) -> str:
        """The customer's customer.toml."""
        facts = {name: getattr(self, name) for name in _TEMPLATE_FIELDS}
        lines = [f"{name} = {_quoted(value)}" for name, value in facts.items()]
        connectors = ", ".join(_quoted(name) for name in self.connectors)
        lines.insert(4, f"connectors = [{connectors}]")
        return (
            "# Who this folder belongs to. Everything the customer decides is in config/policy.toml.\n"
            f"name = {_quoted(self.name)}\n"
            f"display_name = {_quoted(self.display_name)}\n"
            f"template_version = {template_version}\n"
            "\n# What the template was rendered with; `wmctl customer update` renders a newer one with it.\n"
            "[template]\n" + "\n".join(lines) + "\n"
        )


def _quoted(text: str) -> str:
    """A TOML basic string. JSON's escapes are TOML's."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def parse_profile(name: str, said: Mapping[str, object]) -> Profile:
    """Judge what was said of a customer, and add what goes without saying in its country.

    `said` has the fields of a Profile but its name; currency, zone, language and connectors may be missing.
    Raises: InvalidInput naming the field, the reason and what to write.
    """
    slug = parse_tenant_slug(name)
    code = str(said.get("country", "")).upper()
    if code not in COUNTRIES:
        raise InvalidInput(
            f"{code[:20]!r} is no country that is known here",
            next_step=f"Use one of {', '.join(COUNTRIES)}, or add it to customers/countries.py.",
        )
    country = COUNTRIES[code]
    profile = Profile(
        name=slug,
        display_name=str(said.get("display_name", "")).strip(),
        country=code,
        currency=str(said.get("currency") or country.currency).upper(),
        zone=str(said.get("zone") or country.zone),
        language=str(said.get("language") or country.language),
        connectors=_connectors(said.get("connectors") or ()),
        owner=str(said.get("owner", "")),
        sender_phone=str(said.get("sender_phone", "")),
    )
    _check(profile)
    return profile


def _connectors(said: object) -> tuple[str, ...]:
    given = said.split(",") if isinstance(said, str) else list(said) if isinstance(said, list | tuple) else []
    names = {str(name).strip() for name in given} - {""}
    for name in sorted(names - set(CONNECTORS)):
        raise InvalidInput(
            f"{name[:40]!r} is no connector that the template knows",
            next_step=f"Use {', '.join(CONNECTORS)}, with commas between them.",
        )
    return tuple(name for name in CONNECTORS if name in names or name == PROVIDER)


def _check(profile: Profile) -> None:
    name = profile.display_name
    if not name or len(name) > MAX_DISPLAY_NAME or not name.isprintable():
        raise InvalidInput(
            f"The display name of {profile.name} is not 1 to {MAX_DISPLAY_NAME} characters",
            next_step="Write the name people know.",
        )
    if profile.currency not in CURRENCY_EXPONENTS:
        raise InvalidInput(
            f"{profile.currency[:8]!r} is not a known currency",
            next_step=f"Use one of {', '.join(CURRENCY_EXPONENTS)}.",
        )
    if profile.zone not in available_timezones():
        raise InvalidInput(
            f"{profile.zone[:60]!r} is not a time zone", next_step="Use an IANA name such as America/Lima."
        )
    if profile.language not in LANGUAGES:
        raise InvalidInput(
            f"The template does not speak {profile.language[:8]!r}", next_step="Choose es or en."
        )
    if not HANDLE.fullmatch(profile.owner):
        raise InvalidInput(
            f"{profile.owner[:40]!r} is no handle of a member",
            next_step="Use 1 to 40 of a-z, 0-9, dot, _ and -, starting with a letter, such as ana.",
        )
    if not _PHONE.fullmatch(profile.sender_phone):
        raise InvalidInput(
            "The number that the customer writes from is no phone number",
            next_step=f"Write it with its country, such as {COUNTRIES[profile.country].phone_code}…",
        )


@dataclass(frozen=True, slots=True)
class Written:
    """What a folder's customer.toml says: the profile, and the template's version it was rendered from."""

    profile: Profile
    template_version: int


def read_written(folder: Path) -> Written:
    """The profile that a customer's folder was rendered with.

    Raises: UnreadableFile, InvalidInput naming the file and the field.
    """
    file = folder / CUSTOMER_FILE
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnreadableFile(
            f"{file} cannot be read: {error.strerror}",
            next_step="Make the customer with `wmctl customer new`.",
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(f"{file} is not TOML: {error}") from None
    said, version = found.get("template"), found.get("template_version")
    if not isinstance(said, dict) or not isinstance(version, int) or isinstance(version, bool):
        raise InvalidInput(
            f"{file} does not say what its folder was rendered with",
            next_step="Add template_version and the table [template], as `wmctl customer new` writes them.",
        )
    try:
        profile = parse_profile(
            str(found.get("name", "")), {"display_name": found.get("display_name"), **said}
        )
    except InvalidInput as error:
        raise InvalidInput(f"{file}: {error.message}", next_step=error.next_step) from None
    if profile.name != folder.name:
        raise InvalidInput(
            f"{file} is that of {profile.name}", next_step=f"Name the customer {folder.name} in it."
        )
    return Written(profile, version)


def differing(one: Profile, other: Profile) -> tuple[str, ...]:
    """The names of the fields in which two profiles differ."""
    return tuple(
        field.name for field in fields(Profile) if getattr(one, field.name) != getattr(other, field.name)
    )
