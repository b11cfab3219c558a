"""What is sealed opens with its identity, with the stock tools, and in no other way."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import pytest
from pyrage import x25519

from platform_core.backups import sealing
from platform_core.backups.sealing import Identity, read_recipients, seal, unseal
from platform_core.errors import BackupFailed, ConfigurationError, SecretRejected, StorageFull

PLAIN = b"the whole of it, " * 100_000


def _pair() -> tuple[Identity, x25519.Recipient]:
    secret = x25519.Identity.generate()
    return Identity.parse(f"# made for a test\n{secret}\n"), secret.to_public()


def _opened(path: Path, digest: str, identity: Identity) -> bytes:
    sink = io.BytesIO()
    unseal(path, digest, identity, sink)
    return sink.getvalue()


def test_what_was_sealed_is_given_back(tmp_path: Path) -> None:
    """To each of the recipients."""
    (one, first), (other, second) = _pair(), _pair()
    sealed = seal(io.BytesIO(PLAIN), tmp_path / "x", (first, second))

    assert sealed.plain_bytes == len(PLAIN)
    assert sealed.size_bytes == (tmp_path / "x").stat().st_size < len(PLAIN)
    assert [_opened(tmp_path / "x", sealed.sha256, identity) for identity in (one, other)] == [PLAIN, PLAIN]


def test_the_stock_tools_open_it(tmp_path: Path) -> None:
    """`age --decrypt | zstd --decompress`, where a person has them."""
    age, zstd = shutil.which("age"), shutil.which("zstd")
    secret = x25519.Identity.generate()
    sealed = seal(io.BytesIO(PLAIN), tmp_path / "x", (secret.to_public(),))
    assert sealed.sha256
    if age is None or zstd is None:
        return
    done = subprocess.run(
        ["sh", "-c", f"'{age}' --decrypt --identity - '{tmp_path / 'x'}' | '{zstd}' --decompress"],
        input=f"{secret}\n".encode(),
        capture_output=True,
        check=True,
    )

    assert done.stdout == PLAIN


def test_another_identity_opens_nothing(tmp_path: Path) -> None:
    """And is told so, not that the copy is damaged."""
    (_, recipient), (stranger, _) = _pair(), _pair()
    sealed = seal(io.BytesIO(PLAIN), tmp_path / "x", (recipient,))

    with pytest.raises(SecretRejected, match="This identity does not open x"):
        _opened(tmp_path / "x", sealed.sha256, stranger)


@pytest.mark.parametrize("place", [0, 100, -1])
def test_a_flipped_byte_is_found_with_and_without_the_checksum(tmp_path: Path, place: int) -> None:
    """By its hash where there is no identity; by the encryption where somebody mended the hash."""
    identity, recipient = _pair()
    sealed = seal(io.BytesIO(PLAIN), tmp_path / "x", (recipient,))
    content = bytearray((tmp_path / "x").read_bytes())
    content[place] ^= 1
    (tmp_path / "x").write_bytes(content)

    with pytest.raises(BackupFailed, match="its checksum is another one"):
        sealing.check(tmp_path / "x", sealed.sha256)
    with pytest.raises((BackupFailed, SecretRejected)):
        _opened(tmp_path / "x", sealing.digest_of(tmp_path / "x"), identity)


def test_a_cut_tail_is_found(tmp_path: Path) -> None:
    """At any place: half a file is never taken for a whole one."""
    identity, recipient = _pair()
    seal(io.BytesIO(PLAIN), tmp_path / "x", (recipient,))
    whole = (tmp_path / "x").read_bytes()
    for size in (len(whole) - 1, len(whole) // 2, 300):
        (tmp_path / "x").write_bytes(whole[:size])

        with pytest.raises(BackupFailed, match="not what was written"):
            _opened(tmp_path / "x", sealing.digest_of(tmp_path / "x"), identity)


def test_a_full_disk_is_an_error_also_for_the_last_block(tmp_path: Path) -> None:
    """The library below drops it: measured on pyrage 1.4.0."""
    _, recipient = _pair()
    full = Path("/dev/full")
    if not full.exists():
        pytest.fail("this system has no /dev/full")
    (tmp_path / "x").symlink_to(full)

    with pytest.raises((StorageFull, BackupFailed, OSError)):
        seal(io.BytesIO(b"small"), tmp_path / "x", (recipient,))


def test_a_sink_that_fails_is_told_from_a_damaged_copy(tmp_path: Path) -> None:
    """Another disk is full, and the copy is good."""

    class Full:
        """Takes nothing."""

        def write(self, block: bytes) -> int:
            """Refuse."""
            raise OSError(28, f"No space left on device for {len(block)} bytes")

    identity, recipient = _pair()
    sealed = seal(io.BytesIO(PLAIN), tmp_path / "x", (recipient,))

    with pytest.raises(BackupFailed, match="No room for what x holds"):
        unseal(tmp_path / "x", sealed.sha256, identity, Full())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "No age identity was given"),
        ("# only a remark", "No age identity"),
        ("AGE-nonsense", "is no age identity"),
    ],
)
def test_what_is_no_identity_is_refused_and_not_repeated(text: str, said: str) -> None:
    """It may be another secret, given by mistake."""
    with pytest.raises(SecretRejected, match=said) as refused:
        Identity.parse(text)

    assert "nonsense" not in refused.value.one_line()


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "names no recipient"), ("# desk\nage1nonsense\n", "Line 2 of .*recipients is no age recipient")],
)
def test_without_a_recipient_nothing_is_sealed(tmp_path: Path, text: str, said: str) -> None:
    """A copy that nobody opens is none."""
    (tmp_path / "recipients").write_text(text, encoding="ascii")

    with pytest.raises(ConfigurationError, match=said):
        read_recipients(tmp_path / "recipients")
