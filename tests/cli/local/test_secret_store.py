"""Secrets in files: whole or absent, readable by their owner only, refused by one line."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from platform_cli.local.secret_store import MAX_SECRET_BYTES, FileSecretStore
from platform_core.errors import InvalidInput, SecretRejected, UnreadableFile

NAME = "tenant/acme/database_password"


def test_a_secret_is_kept_and_replaced(tmp_path: Path) -> None:
    """The last one put is the one got; one never put is None."""
    store = FileSecretStore(tmp_path / "secrets")
    assert store.get(NAME) is None
    store.put(NAME, "first-made-up-value")
    store.put(NAME, "ñandú-made-up-value")

    assert store.get(NAME) == "ñandú-made-up-value"
    assert [path.name for path in (tmp_path / "secrets").rglob("*") if path.is_file()] == [
        "database_password"
    ]


def test_files_and_folders_are_their_owners_alone(tmp_path: Path) -> None:
    """Whatever the umask is."""
    before = os.umask(0)
    try:
        FileSecretStore(tmp_path / "secrets").put(NAME, "made-up")
    finally:
        os.umask(before)

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "secrets").rglob("*")}
    assert modes == {"tenant": 0o700, "acme": 0o700, "database_password": 0o600}
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700


def test_a_secret_others_may_read_is_refused(tmp_path: Path) -> None:
    """A copied folder with wide modes is noticed, with the way to mend it."""
    store = FileSecretStore(tmp_path)
    store.put(NAME, "made-up")
    (tmp_path / NAME).chmod(0o640)

    with pytest.raises(SecretRejected, match="may be read by others") as refusal:
        store.get(NAME)
    assert "chmod 600" in refusal.value.next_step


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../outside", "a//b", "a/../b", "A", "a b", "a/b/c/d/e/f/g", ".hidden"]
)
def test_a_name_that_could_leave_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    """Names are lower-case words with / between them."""
    store = FileSecretStore(tmp_path)

    with pytest.raises(InvalidInput):
        store.get(name)
    with pytest.raises(InvalidInput):
        store.put(name, "made-up")


@pytest.mark.parametrize("value", ["", "x" * (MAX_SECRET_BYTES + 1)])
def test_an_empty_or_huge_secret_is_refused(tmp_path: Path, value: str) -> None:
    """An empty secret would pass for one."""
    with pytest.raises(InvalidInput, match="empty or larger"):
        FileSecretStore(tmp_path).put(NAME, value)


def test_what_cannot_be_read_or_stored_is_named_without_its_value(tmp_path: Path) -> None:
    """A folder in the secret's place, a file in the folder's place, bytes that are no text."""
    store = FileSecretStore(tmp_path)
    (tmp_path / "tenant").mkdir()
    (tmp_path / "tenant" / "acme").mkdir()
    (tmp_path / NAME).mkdir()
    (tmp_path / "file").write_text("x", encoding="utf-8")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    (tmp_path / "bytes").chmod(0o600)

    complaints = []
    for name in (NAME, "bytes"):
        with pytest.raises(UnreadableFile) as refusal:
            store.get(name)
        complaints.append(refusal.value.one_line())
    for name in (NAME, "file/below"):
        with pytest.raises(UnreadableFile) as refusal:
            store.put(name, "made-up-value")
        complaints.append(refusal.value.one_line())

    assert not any("made-up-value" in complaint or "\n" in complaint for complaint in complaints)
