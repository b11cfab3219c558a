"""What the world reaches through the proxy, asked of the real Caddy with production's file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.infra.proxied import Proxy, proxied, stop
from tests.support.written_flows import until

WEBHOOK = "/api/r/acme/ycloud/inbound"
BODY = b'{"text":"$var:f/acme/secret \\u0000 \xc3\xb1"}'


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """One proxy with both upstreams there."""
    with proxied(tmp_path_factory.mktemp("proxy")) as running:
        yield running


def _webhook(proxy: Proxy) -> object:
    status, text = proxy.ask("hooks.test", WEBHOOK + "?a=$var:f/acme/secret", BODY, "application/json")
    assert status == 200, text
    return json.loads(text)


def test_a_webhook_reaches_the_door_as_text_and_without_its_query(proxy: Proxy) -> None:
    """The bytes are the sender's."""
    assert _webhook(proxy) == {"who": "door", "path": WEBHOOK, "type": "text/plain", "body": BODY.decode()}


def test_a_webhook_reaches_windmill_the_same_way_when_the_door_is_gone(tmp_path: Path) -> None:
    """From the first request on; an answer without Windmill's own text would be a lost delivery."""
    with proxied(tmp_path / "proxy") as proxy:
        stop(proxy.door)

        assert [_webhook(proxy) for _ in range(5)] == [
            {"who": "blue", "path": WEBHOOK, "type": "text/plain", "body": BODY.decode()}
        ] * 5


def test_a_webhook_nobody_takes_is_not_answered_with_success(tmp_path: Path) -> None:
    """The provider must send it again."""
    with proxied(tmp_path / "proxy") as proxy:
        for server in (proxy.door, proxy.blue, proxy.green):
            stop(server)

        assert proxy.ask("hooks.test", WEBHOOK, BODY)[0] in {502, 503}


@pytest.mark.parametrize(
    ("host", "path", "body"),
    [
        ("hooks.test", WEBHOOK, None),
        ("hooks.test", "/", None),
        ("hooks.test", "/api/version", b""),
        ("hooks.test", "/api/w/prod/jobs/run/p/f/acme/x", b"{}"),
        ("hooks.test", "/api/r/acme/panel", b"x"),
        ("hooks.test", "/api/r/acme/panel/decide", b"x"),
        ("hooks.test", "/api/r/acme/../../w/prod", b"x"),
        ("hooks.test", "/healthz", None),
        ("hooks.test", "/metrics", None),
        ("panel.test", WEBHOOK, b"{}"),
        ("panel.test", "/", None),
        ("panel.test", "/api/r/acme/panelist", None),
        ("panel.test", "/api/r/acme/panel/../../../version", None),
        ("panel.test", "/api/w/prod/scripts/list", None),
        ("windmill.test", "/", None),
        ("windmill.test", "/api/version", None),
        ("elsewhere.test", "/", None),
        ("127.0.0.1", WEBHOOK, b"{}"),
    ],
)
def test_everything_else_is_not_there(proxy: Proxy, host: str, path: str, body: bytes | None) -> None:
    """Neither Windmill, nor the door's health, nor a panel by the webhooks' name."""
    status, text = proxy.ask(host, path, body)

    assert (status, "who" in text) == (404, False)


def test_the_windmill_ui_is_there_for_an_allowed_address(tmp_path: Path) -> None:
    """And for those alone: see above."""
    with proxied(tmp_path / "proxy", allowed="127.0.0.1/32") as proxy:
        status, text = proxy.ask("windmill.test", "/api/version")

    assert (status, json.loads(text)["who"]) == (200, "blue")


def test_a_form_reaches_the_panel_as_text_and_a_page_keeps_its_query(proxy: Proxy) -> None:
    """A parsed form would have its references replaced by Windmill."""
    form = "application/x-www-form-urlencoded"
    sent = json.loads(proxy.ask("panel.test", "/api/r/acme/panel/decide", b"note=$var:x", form)[1])
    page = json.loads(proxy.ask("panel.test", "/api/r/acme/panel/claims?page=2")[1])

    assert (sent["who"], sent["type"], sent["body"]) == ("blue", "text/plain", "note=$var:x")
    assert page["path"] == "/api/r/acme/panel/claims?page=2"


def test_traffic_follows_the_file_and_no_reload(tmp_path: Path) -> None:
    """To the color a deploy wrote, and to the other one while that server is not there."""
    with proxied(tmp_path / "proxy") as proxy:

        def who() -> str:
            said: str = json.loads(proxy.ask("panel.test", "/api/r/acme/panel")[1])["who"]
            return said

        before = who()
        proxy.switch("green")
        after = who()
        stop(proxy.green)

        assert (before, after, {who() for _ in range(5)}) == ("blue", "green", {"blue"})


def test_the_log_leaves_out_what_lets_somebody_in(tmp_path: Path) -> None:
    """In lines about requests, and in those about errors."""
    with proxied(tmp_path / "proxy") as proxy:
        proxy.ask("panel.test", "/api/r/acme/panel/enter/v1.not-a-real-link")
        stop(proxy.blue)
        stop(proxy.green)
        until(lambda: proxy.ask("panel.test", "/api/r/acme/panel")[0] in {502, 503}, "nobody to answer")
        status = proxy.ask("panel.test", "/api/r/acme/panel/enter/v1.not-a-real-link")[0]
    logged = proxy.log.read_text()

    assert status in {502, 503}
    assert (logged.count("/enter/(left out)") >= 2, "not-a-real-link" in logged) == (True, False)
