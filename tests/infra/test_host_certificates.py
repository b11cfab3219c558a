"""How the program on the host judges the certificates that the world is shown: by real handshakes."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support import certificates
from tests.support.host_parts import said_by

HOST = "hooks.platform.test"


@contextmanager
def serving(folder: Path, shown: bytes, key: bytes) -> Iterator[int]:
    """A server that shows this certificate, or with an empty one refuses to shake hands; its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if shown:
        pem = folder / "shown.pem"
        pem.write_bytes(shown + key)
        context.load_cert_chain(pem)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=_answer, args=(listening, context), daemon=True)
        thread.start()
        yield int(listening.getsockname()[1])
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def _answer(listening: socket.socket, context: ssl.SSLContext) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        try:
            with context.wrap_socket(connection, server_side=True) as secured:
                secured.recv(1)
        except OSError:
            connection.close()


def said(folder: Path, port: int, word: str, *, running: str = "true") -> str:
    """What the part says, on a host whose proxy runs and whose authority is in ca.crt."""
    (folder / "host.env").write_text(f"DOMAIN_HOOKS={HOST}\nACME_EMAIL=ops@platform.test\n")
    script = f"""
        ROOT={folder} HTTPS_PORT={port}
        setting() {{ echo "{folder}/ca.crt"; }}
        container_of() {{ echo 0123456789ab; }}
        docker() {{ echo {running}; }}
        refuse() {{ echo "$1"; }}
        {word}
    """
    return said_by("certificates", script)


@pytest.mark.parametrize(
    ("age_h", "left_h", "state", "complaint"),
    [
        (30, 60, "fine", ""),
        (75, 16, "fine", ""),
        (75, 14, "late", f"the certificate of {HOST} ends {{until}} and was not renewed in time"),
        (90, -1, "over", f"the certificate of {HOST} ended {{until}}"),
    ],
)
def test_what_was_not_renewed_in_time_is_told_before_it_is_over(
    tmp_path: Path, age_h: int, left_h: int, state: str, complaint: str
) -> None:
    """Judged by its own life, so that one of six days is as good as one of ninety."""
    issuer, issuer_key = certificates.authority()
    (tmp_path / "ca.crt").write_bytes(issuer)
    key, now = certificates.new_key(), datetime.now(UTC).replace(microsecond=0)
    until = now + timedelta(hours=left_h)
    shown = certificates.issued(
        issuer, issuer_key, HOST, key.public_key(), since=now - timedelta(hours=age_h), until=until
    )
    told = f"{until:%Y-%m-%dT%H:%M:%SZ}"
    with serving(tmp_path, shown, certificates.key_pem(key)) as port:
        found = json.loads(said(tmp_path, port, "certificates"))
        complained = said(tmp_path, port, "check_certificates")
    why = "certificate has expired" if state == "over" else ""
    assert found == [{"name": HOST, "until": told, "state": state, "why": why}]
    assert complained == complaint.format(until=told)


def test_a_certificate_that_visitors_do_not_trust_is_told_with_the_reason(tmp_path: Path) -> None:
    """Such as one of an authority for tries, when its address was left in host.env."""
    trusted, _ = certificates.authority()
    (tmp_path / "ca.crt").write_bytes(trusted)
    other, other_key = certificates.authority()
    key, now = certificates.new_key(), datetime.now(UTC)
    span = {"since": now - timedelta(hours=1), "until": now + timedelta(hours=8)}
    shown = certificates.issued(other, other_key, HOST, key.public_key(), **span)
    with serving(tmp_path, shown, certificates.key_pem(key)) as port:
        (found,) = json.loads(said(tmp_path, port, "certificates"))
        complained = said(tmp_path, port, "check_certificates")
    assert found["state"] == "refused"
    assert found["why"]
    assert complained == f"visitors do not trust the certificate of {HOST}: {found['why']}"


def test_a_name_without_a_certificate_is_told(tmp_path: Path) -> None:
    """The proxy ends the handshake of a name that it has none for."""
    (tmp_path / "ca.crt").write_bytes(certificates.authority()[0])
    with serving(tmp_path, b"", b"") as port:
        found = json.loads(said(tmp_path, port, "certificates"))
        complained = said(tmp_path, port, "check_certificates")
    assert found == [{"name": HOST, "until": None, "state": "none", "why": ""}]
    assert complained == f"{HOST} is served without a certificate"


def test_a_proxy_that_does_not_run_is_asked_for_none(tmp_path: Path) -> None:
    """That it does not run is told by its own line; a port that somebody else holds is not ours to judge."""
    assert said(tmp_path, 1, "certificates", running="false") == "[]"
    assert said(tmp_path, 1, "check_certificates", running="false") == ""
