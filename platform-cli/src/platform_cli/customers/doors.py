"""The always-on door learns a customer's webhook secrets together with Windmill: both judge by the same."""

from __future__ import annotations

import json

from psycopg.conninfo import conninfo_to_dict

from platform_cli.customers.accounts import SecretNeed, find_endpoint
from platform_cli.customers.profile import Profile
from platform_cli.site import Site, door_folder
from platform_core.ingest.files import DatabaseFile, set_endpoint


def tell_door(site: Site, profile: Profile, need: SecretNeed, value: str) -> bool:
    """Put the secrets of an endpoint into the door's file of the customer; false for any other secret.

    Raises: UnreadableFile, ConfigurationError, SecretRejected.
    """
    endpoint = find_endpoint(need)
    if endpoint is None:
        return False
    facts = conninfo_to_dict(site.admin_dsn)
    database = DatabaseFile(
        host=str(facts.get("host") or "127.0.0.1"),
        port=int(str(facts.get("port") or 5432)),
        dbname=site.tenant(profile.name).database_name,
    )
    site.prepare_door()
    source, name = endpoint
    folder = door_folder(site.settings, site.state)
    set_endpoint(folder, profile.name, database, source=source, endpoint=name, secrets=json.loads(value))
    return True
