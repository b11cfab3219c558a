"""Attachments: which links may be fetched, and whether the bytes are what they claim. Pure."""

from __future__ import annotations

import httpx

from platform_core.errors import ContractDrift, PermanentRefusal

_UNDECLARED = ("", "application/octet-stream", "binary/octet-stream")
_ALIASES = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/heif": "image/heic",
    "application/x-pdf": "application/pdf",
}
_STARTS = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"%PDF-": "application/pdf",
}
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
_RECOGNISED = {*_STARTS.values(), "image/webp", "image/heic"}


def checked_link(link: str, base_url: httpx.URL) -> httpx.URL:
    """The link when it is on the provider's own origin, so that neither we nor the API key go elsewhere.

    The link comes from a webhook body. It is compared as the object that is then requested: two parsers that
    disagree about a link are how such checks are passed. Raises: PermanentRefusal, without the link.
    """
    try:
        url = httpx.URL(link)
    except (httpx.InvalidURL, TypeError, ValueError):
        raise PermanentRefusal("The attachment's link is not a URL", reason="foreign_link") from None
    same_origin = (url.scheme, url.host, url.port) == (base_url.scheme, base_url.host, base_url.port)
    if not same_origin or url.userinfo:
        raise PermanentRefusal(
            f"The attachment's link is not on {base_url.host}",
            reason="foreign_link",
            next_step="Do not fetch it; ask the contact to send the file again.",
        )
    return url


def checked_type(declared: str, content: bytes) -> str:
    """The MIME type that the bytes prove, or the declared one when nothing here can tell.

    Raises: PermanentRefusal when the declaration and the bytes disagree, ContractDrift when the answer is no
    attachment at all (empty, a web page, a JSON answer).
    """
    declared = declared.partition(";")[0].strip().lower()
    declared = _ALIASES.get(declared, declared)
    found = _recognise(content)
    if found and (declared in _UNDECLARED or declared == found):
        return found
    if not found and _is_other_answer(declared, content):
        raise ContractDrift(
            "YCloud answered the download with something that is no attachment", reason="no_attachment"
        )
    if found or declared in _RECOGNISED:
        raise PermanentRefusal(
            f"The attachment says it is {declared[:60]} and its bytes say {found or 'otherwise'}",
            reason="type_mismatch",
            next_step="Ask the contact to send the file again.",
        )
    return declared if declared not in _UNDECLARED else "application/octet-stream"


def _recognise(content: bytes) -> str:
    for start, kind in _STARTS.items():
        if content.startswith(start):
            return kind
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    if content[4:8] == b"ftyp" and content[8:12] in _HEIC_BRANDS:
        return "image/heic"
    return ""


def _is_other_answer(declared: str, content: bytes) -> bool:
    page = content[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype html", b"<html"))
    return not content or page or declared in ("text/html", "application/json")
