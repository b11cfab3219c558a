"""Which contacts are one person: rows here may name a contact that was merged into another since."""

from __future__ import annotations

from platform_core.db import Tx
from platform_core.messaging import contacts


def people_of(tx: Tx, contact_id: int) -> list[int]:
    """Every contact id that stands for the person a contact is. Raises: NotFound."""
    return contacts.list_merged(tx, contacts.get_contact(tx, contact_id).id)
