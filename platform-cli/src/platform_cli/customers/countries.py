"""What goes without saying in a country: its currency, the zone most live in, the language, the prefix.

Only a start: each value can be said otherwise. A country is here when its currency is one that
`platform_core.values` knows.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Country:
    """A country by its ISO 3166 code. `phone_code` is with its plus, such as `+51`."""

    code: str
    currency: str
    zone: str
    language: str
    phone_code: str


COUNTRIES = {
    one.code: one
    for one in (
        Country("AR", "ARS", "America/Argentina/Buenos_Aires", "es", "+54"),
        Country("BO", "BOB", "America/La_Paz", "es", "+591"),
        Country("CL", "CLP", "America/Santiago", "es", "+56"),
        Country("CO", "COP", "America/Bogota", "es", "+57"),
        Country("CR", "CRC", "America/Costa_Rica", "es", "+506"),
        Country("DO", "DOP", "America/Santo_Domingo", "es", "+1"),
        Country("EC", "USD", "America/Guayaquil", "es", "+593"),
        Country("ES", "EUR", "Europe/Madrid", "es", "+34"),
        Country("GT", "GTQ", "America/Guatemala", "es", "+502"),
        Country("HN", "HNL", "America/Tegucigalpa", "es", "+504"),
        Country("IE", "EUR", "Europe/Dublin", "en", "+353"),
        Country("MX", "MXN", "America/Mexico_City", "es", "+52"),
        Country("NI", "NIO", "America/Managua", "es", "+505"),
        Country("PA", "PAB", "America/Panama", "es", "+507"),
        Country("PE", "PEN", "America/Lima", "es", "+51"),
        Country("PY", "PYG", "America/Asuncion", "es", "+595"),
        Country("SV", "USD", "America/El_Salvador", "es", "+503"),
        Country("US", "USD", "America/New_York", "en", "+1"),
        Country("UY", "UYU", "America/Montevideo", "es", "+598"),
        Country("VE", "VES", "America/Caracas", "es", "+58"),
    )
}
