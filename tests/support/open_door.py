"""The door with limits that the command line does not offer: `python -m tests.support.open_door '<JSON>'`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from platform_core.ingest.limits import Limits
from platform_core.ingest.serving import Serving, serve
from platform_core.ingest.store import DoorLogin
from platform_core.ingest.waking import Waker, WindmillWaker
from platform_core.observability import logs
from platform_core.settings import load_settings
from platform_core.tenancy import door


def main(limits: str) -> None:
    """Serve as `wmctl ingest serve` does."""
    settings = load_settings(os.environ)
    logs.configure("ingest")

    def waker() -> Waker | None:
        if settings.ingest_windmill_url is None or settings.ingest_windmill_token is None:
            return None
        return WindmillWaker(settings.ingest_windmill_url, "prod", settings.ingest_windmill_token)

    assert settings.ingest_database_password is not None
    login = DoorLogin(door.LOGIN, settings.ingest_database_password)
    folder = settings.ingest_folder or Path()
    serve(Serving(folder, login, waker, port=0, limits=Limits(**json.loads(limits))))


if __name__ == "__main__":
    main(sys.argv[1])
