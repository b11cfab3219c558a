"""Connections, named queries and migrations. The only package that opens a connection."""

from platform_core.db.connect import Tx, open_connection
from platform_core.db.queries import Queries, load_queries

__all__ = ["Queries", "Tx", "load_queries", "open_connection"]
