"""How a workspace of the stand-in keeps secrets: the same text always gives the same ciphertext.

The server's is AES-256-CBC without an IV, and what matters of it here is its shape: base64 of whole blocks
of sixteen bytes, equal for equal texts, and unlike for unlike ones. Four rounds of HMAC-SHA256 over two
halves give that without a dependency. The key lies beside the ciphertext: keep no real secret in a stand-in.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable

_BLOCK, _ROUNDS = 16, 4


def new_key() -> str:
    """A workspace's key, 64 letters as the server's."""
    return secrets.token_hex(32)


def seal(key: str, text: str) -> str:
    """The ciphertext of a text."""
    plain = text.encode("utf-8", "surrogatepass")
    size = _BLOCK - len(plain) % _BLOCK
    return base64.b64encode(_turn(key, plain + bytes([size]) * size, range(_ROUNDS))).decode()


def unseal(key: str, ciphertext: str) -> str:
    """The text of a ciphertext. Raises: ValueError when it is none of this key."""
    if not looks_sealed(ciphertext):
        raise ValueError("not a ciphertext")
    padded = _turn(key, base64.b64decode(ciphertext), reversed(range(_ROUNDS)))
    size = padded[-1]
    if not 1 <= size <= _BLOCK or padded[-size:] != bytes([size]) * size:
        raise ValueError("not a ciphertext of this workspace")
    return padded[:-size].decode("utf-8", "surrogatepass")


def looks_sealed(value: str) -> bool:
    """Whether this could be a ciphertext: base64 of whole blocks."""
    try:
        found = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return False
    return bool(found) and len(found) % _BLOCK == 0


def _turn(key: str, text: bytes, rounds: Iterable[int]) -> bytes:
    half = len(text) // 2
    sides = [text[:half], text[half:]]
    for number in rounds:
        changed, other = number % 2, 1 - number % 2
        stream = _stream(f"{key}:{number}".encode(), sides[other], half)
        sides[changed] = bytes(a ^ b for a, b in zip(sides[changed], stream, strict=True))
    return b"".join(sides)


def _stream(key: bytes, text: bytes, size: int) -> bytes:
    parts = [hmac.digest(key, at.to_bytes(4, "big") + text, hashlib.sha256) for at in range(0, size, 32)]
    return b"".join(parts)[:size]
