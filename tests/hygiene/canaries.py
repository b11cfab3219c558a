"""One made-up secret of each kind, put together at run time so that none stands in this repository.

The random part of each is derived from a fixed seed: the same on every run, and known to nobody's server.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

_ALPHABETS = {
    "alnum": "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
    "hex": "0123456789abcdef",
    "bech32": "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L",
}


def random_text(length: int, alphabet: str = "alnum") -> str:
    """`length` characters that look random, the same on every run."""
    letters = _ALPHABETS[alphabet]
    stream = hashlib.shake_256(f"canary {alphabet}".encode()).digest(length)
    return "".join(letters[byte % len(letters)] for byte in stream)


def _json_web_token() -> str:
    parts = ({"alg": "HS256"}, {"sub": "somebody", "scope": "everything", "jti": random_text(12)})
    encoded = [base64.urlsafe_b64encode(repr(part).replace("'", '"').encode()).decode() for part in parts]
    return ".".join([*(text.rstrip("=") for text in encoded), random_text(43)])


def _private_key() -> str:
    lines = "\n".join(random_text(640)[start : start + 64] for start in range(0, 640, 64))
    return f"-----BEGIN PRIVATE KEY-----\n{lines}\n-----END PRIVATE KEY-----"


TOKEN_32 = random_text(32)
PASSWORD = random_text(9)  # as short and dull as people choose them

# What the file says -> the rule that must stop it. Each kind in the forms people write it.
CANARIES: dict[str, tuple[str, Callable[[], str]]] = {
    "PostgreSQL URL": (
        "postgres-url-password",
        lambda: f"DATABASE_URL=postgresql://app:{PASSWORD}@db.internal:5432/platform",
    ),
    "PostgreSQL URL of a driver": (
        "postgres-url-password",
        lambda: f"url: 'postgresql+psycopg://app:{PASSWORD}@db/platform?sslmode=disable'",
    ),
    "PostgreSQL URL on an example host": (
        "postgres-url-password",
        lambda: f"postgres://app:{PASSWORD}@example.com/platform_core_test",
    ),
    "PostgreSQL DSN": (
        "postgres-dsn-password",
        lambda: f'dsn = "host=db.internal port=5432 user=app password={PASSWORD} dbname=platform"',
    ),
    "PostgreSQL DSN that begins with the password": (
        "postgres-dsn-password",
        lambda: f"password={PASSWORD} host=db.internal",
    ),
    "PostgreSQL DSN that ends with the password": (
        "postgres-dsn-password",
        lambda: f"host=db.internal user=app password='{PASSWORD} x'",
    ),
    "PostgreSQL password as an argument": (
        "postgres-keyword-password",
        lambda: f'connection = psycopg.connect(host="db", user="app", password="{PASSWORD}")',
    ),
    "PostgreSQL password in an environment file": (
        "postgres-environment-password",
        lambda: f"PGPASSWORD={PASSWORD}",
    ),
    "PostgreSQL password in a compose file": (
        "postgres-environment-password",
        lambda: f"      POSTGRES_PASSWORD: {PASSWORD}",
    ),
    "PostgreSQL role password": (
        "postgres-role-password",
        lambda: f"ALTER ROLE app WITH LOGIN PASSWORD '{PASSWORD}';",
    ),
    "password in the URL of a service": ("url-password", lambda: f"redis://:{PASSWORD}@cache:6379/0"),
    "Windmill token in an environment file": ("windmill-token", lambda: f"WM_TOKEN={TOKEN_32}"),
    "Windmill token in YAML": ("windmill-token", lambda: f'windmill_api_token: "{TOKEN_32}"'),
    "Windmill token in JSON": ("windmill-token", lambda: f'{{"windmillToken": "{TOKEN_32}"}}'),
    "Windmill token on a command line": (
        "windmill-token-in-command",
        lambda: f"wmill workspace add prod prod https://windmill.internal --token {TOKEN_32}",
    ),
    "Windmill token in an address": (
        "windmill-token-in-command",
        lambda: f"https://windmill.internal/api/w/prod/jobs/run/p/f/a/b?token={TOKEN_32}",
    ),
    "Windmill job token": ("windmill-job-token", lambda: f"token: jwt_{_json_web_token()}"),
    "Windmill superadmin secret": (
        "windmill-instance-secret",
        lambda: f"SUPERADMIN_SECRET={random_text(24)}",
    ),
    "YCloud key in an environment file": (
        "ycloud-api-key",
        lambda: f"YCLOUD_API_KEY={random_text(32, 'hex')}",
    ),
    "YCloud key in TOML": ("ycloud-api-key", lambda: f'ycloud_key = "{random_text(32, "hex")}"'),
    "YCloud key in a header": ("ycloud-api-key", lambda: f"X-API-Key: {random_text(32, 'hex')}"),
    "webhook secret": ("webhook-secret", lambda: f"secret: whsec_{random_text(32)}"),
    "webhook secret without its prefix": (
        "webhook-secret-by-name",
        lambda: f"YCLOUD_WEBHOOK_SECRET={random_text(32, 'hex')}",
    ),
    "Calendly personal access token": (
        "calendly-key",
        lambda: f'CALENDLY_TOKEN="{_json_web_token()}"',
    ),
    "Calendly signing key": (
        "webhook-secret-by-name",
        lambda: f'[calendly]\nwebhook_signing_key = "{random_text(43)}"',
    ),
    "bearer header": (
        "authorization-bearer",
        lambda: f'headers = {{"Authorization": "Bearer {TOKEN_32}"}}',
    ),
    "age secret key": ("age-secret-key", lambda: "AGE-SECRET-" + f"KEY-1{random_text(58, 'bech32')}"),
    "private key": ("private-key", _private_key),
}
