"""YAML 1.2 as the official CLI of Windmill reads and writes it, both ways: `load`, `read` and `dump`.

`scalars` holds the schema, `reading` parses with lines, `writing` sets the official style, and `order` is the
order of names in it.
"""

from platform_cli.sync.yaml12.order import name_order
from platform_cli.sync.yaml12.reading import Document, Place, load, read
from platform_cli.sync.yaml12.writing import block, dump, pair

__all__ = ["Document", "Place", "block", "dump", "load", "name_order", "pair", "read"]
