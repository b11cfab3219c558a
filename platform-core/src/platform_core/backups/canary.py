"""Windmill's secret variables, as far as proving that a copy and the salt together open them.

Windmill 1.743 encrypts with AES-256-CBC, no IV, under the SHA-256 of the workspace's key and the
installation's SECRET_SALT, one after the other; the key lies in its database, the salt in none.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from platform_core.settings import Secret

_NO_IV = bytes(16)
_BLOCK_BITS = 128


def opens(ciphertext: str, *, workspace_key: str, salt: Secret) -> bool:
    """Whether the two keys open a secret. One that they do not passes by chance once in 250 times."""
    key = hashlib.sha256(f"{workspace_key}{salt.reveal()}".encode()).digest()
    try:
        sealed = base64.b64decode(ciphertext, validate=True)
        turned = Cipher(algorithms.AES256(key), modes.CBC(_NO_IV)).decryptor()
        unpadded = PKCS7(_BLOCK_BITS).unpadder()
        plain = unpadded.update(turned.update(sealed) + turned.finalize()) + unpadded.finalize()
        plain.decode("utf-8")
    except (binascii.Error, ValueError):
        return False
    return True
