"""The tar of a workspace, however it is packed: read directly where all is simple, else as any tar."""

from __future__ import annotations

import io
import json
import tarfile

import pytest

from platform_cli.sync.official.export import read_export
from platform_core.errors import InvalidInput

VARIABLE = json.dumps({"value": "one", "is_secret": False, "description": ""}).encode()
PLAIN = {f"f/acme/{name}.variable.json": VARIABLE for name in ("first", "second")}
LONG = {**PLAIN, f"f/acme/{'x' * 120}.variable.json": VARIABLE}


def _tar(members: dict[str, bytes], form: int) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=form) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
@pytest.mark.parametrize("members", [PLAIN, LONG], ids=["short names", "a long name"])
def test_every_form_of_tar_gives_the_same_items(members: dict[str, bytes], form: int) -> None:
    """Long names stand in records of their own, or in a second field; some forms have no room for them."""
    if form == tarfile.USTAR_FORMAT:
        members = {name: content for name, content in members.items() if len(name) < 100}

    read = read_export(_tar(members, form))

    assert {
        f"{key.path}.variable.json": item.value["value"] for key, item in read.items.items()
    } == dict.fromkeys(members, "one")


@pytest.mark.parametrize("place", [0, 130, 150], ids=["its name", "its size", "its sum"])
def test_a_tar_with_a_damaged_header_is_refused(place: int) -> None:
    """A header has a sum of itself."""
    whole = bytearray(_tar(PLAIN, tarfile.GNU_FORMAT))
    whole[place] ^= 1

    with pytest.raises(InvalidInput, match="the export is not a tar"):
        read_export(bytes(whole))


def test_a_tar_that_ends_in_the_middle_is_refused() -> None:
    """An answer that was cut must not look as if the rest had been deleted; `tarfile` would say nothing."""
    whole = _tar(PLAIN, tarfile.GNU_FORMAT)

    with pytest.raises(InvalidInput, match="the export is not a tar"):
        read_export(whole[: 2 * 512 + 20])
