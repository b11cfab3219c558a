"""The always-on door learns a customer's webhook secrets together with Windmill: both judge by the same."""

from __future__ import annotations

import json
from collections.abc import Iterable

from psycopg.conninfo import conninfo_to_dict

from platform_cli.customers.accounts import SecretNeed, find_endpoint
from platform_cli.customers.profile import Profile
from platform_cli.hosts.doorway import is_of_this_machine
from platform_cli.site import Site, door_folder
from platform_core.ingest.files import DatabaseFile, set_endpoint


def tell_door(site: Site, profile: Profile, need: SecretNeed, value: str) -> bool:
    """Put the secrets of an endpoint into the door's file of the customer; false for any other secret.

    Raises: UnreadableFile, ConfigurationError, SecretRejected.
    """
    endpoint = find_endpoint(need)
    if endpoint is None:
        return False
    site.prepare_door()
    host, port = _server(site)
    database = DatabaseFile(host=host, port=port, dbname=site.tenant(profile.name).database_name)
    source, name = endpoint
    folder = door_folder(site.settings, site.state)
    set_endpoint(folder, profile.name, database, source=source, endpoint=name, secrets=json.loads(value))
    return True


def lines_for_hosts(site: Site, customer: str, hosts: Iterable[str]) -> list[str]:
    """What gives each host's door what this installation keeps of a customer, a line a host.

    A host's door is another than this installation's: it goes on with what it was given last. There are no
    lines where the database is of this machine, which no host's door could reach.
    """
    if is_of_this_machine(_server(site)[0]):
        return []
    return [f"wmctl host door {customer} --host {host} --admin-key FILE" for host in sorted(hosts)]


def _server(site: Site) -> tuple[str, int]:
    facts = conninfo_to_dict(site.admin_dsn)
    return str(facts.get("host") or "127.0.0.1"), int(str(facts.get("port") or 5432))
