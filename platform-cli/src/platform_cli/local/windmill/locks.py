"""What a script's lock asks for, compared with what is installed here."""

from __future__ import annotations

import importlib.metadata
import re

_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.!+_-]+)", re.ASCII)


def missing_requirement(lock: str) -> str:
    """The first line of a lock that this installation does not satisfy; empty when it satisfies all."""
    for line in lock.splitlines():
        requirement = line.strip()
        if not requirement or requirement.startswith(("#", "-")):
            continue
        found = _REQUIREMENT.fullmatch(requirement)
        if found is None or _installed(found.group(1)) != found.group(2):
            return requirement
    return ""


def _installed(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
