"""`python -m platform_core.ingest`: the door on a machine of its own, which knows no administrator.

The door's image starts this; at a desk there is `wmctl ingest serve`, which also finds an embedded server.
"""

from __future__ import annotations

import os
from argparse import ArgumentParser

from platform_core.errors import ConfigurationError, PlatformError
from platform_core.ingest.serving import Serving, serve
from platform_core.ingest.store import DoorLogin
from platform_core.ingest.waking import waker_of
from platform_core.observability import logs
from platform_core.settings import load_settings
from platform_core.tenancy.door import LOGIN


def main() -> None:
    """Serve until SIGTERM. Raises: ConfigurationError, SecretRejected, UnreadableFile."""
    parser = ArgumentParser(prog="platform_core.ingest")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8787)
    told = parser.parse_args()
    settings = load_settings(os.environ)
    if settings.ingest_folder is None or settings.ingest_database_password is None:
        raise ConfigurationError(
            "The door is told neither where its customers' files are nor its password",
            next_step="Set PLATFORM_INGEST_FOLDER and PLATFORM_INGEST_DATABASE_PASSWORD.",
        )
    logs.configure("ingest", level=settings.log_level, key=settings.log_key)
    serve(
        Serving(
            settings.ingest_folder,
            DoorLogin(LOGIN, settings.ingest_database_password),
            lambda: waker_of(settings),
            host=told.host,
            port=told.port,
        )
    )


if __name__ == "__main__":
    try:
        main()
    except PlatformError as error:
        raise SystemExit(error.one_line()) from None
