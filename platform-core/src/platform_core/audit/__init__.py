"""Who did what to what: an append-only trail whose entries are chained by hash."""

from platform_core.audit.chain import Broken, Flaw, Head, StoredEntry, Verdict, Verified, verify_independently
from platform_core.audit.trail import Entry, list_entries, read_entries, read_head, record, verify

__all__ = [
    "Broken",
    "Entry",
    "Flaw",
    "Head",
    "StoredEntry",
    "Verdict",
    "Verified",
    "list_entries",
    "read_entries",
    "read_head",
    "record",
    "verify",
    "verify_independently",
]
