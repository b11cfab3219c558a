"""What a broken exchange with a Windmill means: one clear line each, and never a secret in it."""

from __future__ import annotations

import asyncio
import socket
import traceback
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from platform_cli.sync.client import Client
from platform_cli.sync.items import Key, Kind
from platform_cli.sync.wire import READ_ATTEMPTS, Patience, all_of, is_loopback, server_url
from platform_core.errors import (
    InvalidInput,
    NotWindmill,
    PlatformError,
    WindmillDenied,
    WindmillFailed,
    WindmillNotFound,
    WindmillRefused,
    WindmillTokenRejected,
    WindmillUncertain,
    WindmillUnreachable,
)
from tests.support.answering import CUT, SILENCE, Answering, answer, answering, page

TOKEN = "not-a-real-token-8Qm2vK"
VARIABLE = Key(Kind.VARIABLE, "f/acme/secret")
SCRIPT = Key(Kind.SCRIPT, "f/acme/hello")
Call = Callable[[Client], Coroutine[Any, Any, object]]


def read(client: Client) -> Coroutine[Any, Any, object]:
    """A call that changes nothing."""
    return client.get(SCRIPT)


def write(client: Client) -> Coroutine[Any, Any, object]:
    """A call that changes something, with a secret in it."""
    return client.create(
        VARIABLE, {"path": VARIABLE.path, "value": "not-a-real-secret-42", "is_secret": True}
    )


def ask(url: str, call: Call, *, answer_s: float = 5.0) -> object:
    """The result of one call, without any pause between attempts."""

    async def instantly(_seconds: float) -> None:
        return

    async def whole() -> object:
        patience = Patience(connect_s=2, answer_s=answer_s)
        async with Client(url, "prod", TOKEN, patience=patience, pause=instantly) as client:
            return await call(client)

    return asyncio.run(whole())


def refused(url: str, call: Call, *, answer_s: float = 5.0) -> PlatformError:
    """The error of one call; nothing secret is in it, nor in what it grew from."""
    with pytest.raises(PlatformError) as raised:
        ask(url, call, answer_s=answer_s)
    shown = "".join(traceback.format_exception(raised.value)) + str(vars(raised.value))
    assert TOKEN not in shown
    assert "not-a-real-secret-42" not in shown
    return raised.value


def said(served: Answering, error: PlatformError) -> str:
    """The line that a person sees, without the port."""
    return error.one_line().replace(served.url.removeprefix("http://"), "HOST")


@pytest.mark.parametrize(
    ("sent", "kind", "line"),
    [
        (
            answer(401, "Not authorized: Unauthorized"),
            WindmillTokenRejected,
            (
                "Cannot read script f/acme/hello: HOST does not accept the token. "
                "Make a new token in Windmill and give it with `wmctl target add`."
            ),
        ),
        (
            answer(
                401,
                "Not authorized: Variable exists but you don't have access to it:\nvariable perms: {}\n"
                'folder perms: {\n "u/x": true\n} authed as: ApiAuthed { token_prefix: Some("iuXi") }',
            ),
            WindmillDenied,
            (
                "Cannot read script f/acme/hello: Windmill does not allow it: Not authorized: Variable "
                "exists but you don't have access to it. Use the token of an administrator, or of a member "
                "of wm_deployers."
            ),
        ),
        (
            answer(403, "Permission denied: direct deployment is disabled"),
            WindmillDenied,
            (
                "Cannot read script f/acme/hello: Windmill does not allow it: Permission denied: direct "
                "deployment is disabled. Use the token of an administrator, or of a member of wm_deployers."
            ),
        ),
        (
            answer(404, "Not found: Script not found at path f/acme/hello"),
            WindmillNotFound,
            (
                "Cannot read script f/acme/hello: Windmill knows no such thing: Not found: Script not found "
                "at path f/acme/hello"
            ),
        ),
        (
            answer(400, "Bad request: cron: Invalid pattern"),
            WindmillRefused,
            "Cannot read script f/acme/hello: Windmill refuses: Bad request: cron: Invalid pattern",
        ),
        (
            answer(409, "Conflict"),
            WindmillRefused,
            "Cannot read script f/acme/hello: it clashes with what is there: Conflict",
        ),
        (
            answer(422, "Failed to deserialize"),
            WindmillRefused,
            "Cannot read script f/acme/hello: Windmill does not take what was sent: Failed to deserialize",
        ),
        (
            answer(500, "Internal: no rows returned"),
            WindmillFailed,
            "Cannot read script f/acme/hello: Windmill failed with 500: Internal: no rows returned",
        ),
        (
            page("Sign in - Acme"),
            NotWindmill,
            (
                "Cannot read script f/acme/hello: HOST answered 200 with a web page titled 'Sign in - Acme' "
                "instead of Windmill's data. A proxy or a login page stands before it: check the address and "
                "the way to it."
            ),
        ),
        (
            answer(301, "", location="https://windmill.example.org/api/version"),
            NotWindmill,
            (
                "Cannot read script f/acme/hello: HOST sends its callers on to https://windmill.example.org. "
                "Give that address to `wmctl target add` if it is yours."
            ),
        ),
        (
            answer(200, "{half", "application/json"),
            NotWindmill,
            (
                "Cannot read script f/acme/hello: HOST answered with what is not JSON. "
                "Check the address, and the server's version with `wmctl target check`."
            ),
        ),
        (
            answer(200, "[1]", "application/json"),
            NotWindmill,
            (
                "Cannot read script f/acme/hello: HOST answered with something else than an object. "
                "Check the address, and the server's version with `wmctl target check`."
            ),
        ),
    ],
)
def test_an_answer_that_is_not_the_one_asked_for_gives_one_clear_line(
    sent: bytes, kind: type[PlatformError], line: str
) -> None:
    """Asked once: none of these passes by itself."""
    with answering(sent) as served:
        error = refused(served.url, read)

    assert (type(error), said(served, error), len(served.requests)) == (kind, line, 1)


def test_a_read_is_tried_again_until_the_gateway_has_its_server_back() -> None:
    """Cut, 503, then well."""
    with answering(CUT, answer(503, "busy"), answer(200, '{"hash": "0a"}', "application/json")) as served:
        found = ask(served.url, read)

    assert found == {"hash": "0a"}
    assert served.requests == ["GET /api/w/prod/scripts/get/p/f/acme/hello"] * 3
    assert served.tokens == {f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    ("sent", "line"),
    [
        (CUT, "Cannot read script f/acme/hello: HOST cut the connection. Try again in a moment."),
        (
            answer(502, "Bad Gateway"),
            "Cannot read script f/acme/hello: HOST answered 502, as a gateway does when its server is away",
        ),
    ],
)
def test_a_read_gives_up_after_a_few_attempts(sent: bytes, line: str) -> None:
    """Bounded, and it says that nothing was changed by its kind."""
    with answering(sent) as served:
        error = refused(served.url, read)

    assert (type(error), said(served, error), len(served.requests)) == (
        WindmillUnreachable,
        line,
        READ_ATTEMPTS,
    )


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (CUT, "but HOST cut the connection"),
        (answer(504, "late"), "but HOST answered 504, as a gateway does when its server is away"),
    ],
)
def test_a_write_whose_answer_is_lost_is_uncertain_and_sent_once(sent: bytes, why: str) -> None:
    """Nobody knows whether it was done: to repeat it, or to call it failed, would be a guess."""
    with answering(sent) as served:
        error = refused(served.url, write)

    assert (type(error), error.retryable, len(served.requests)) == (WindmillUncertain, False, 1)
    assert said(served, error) == (
        f"Asked to create variable f/acme/secret, {why}; it may have been done. "
        "Run `wmctl plan`: it reads what is there now."
    )


def test_a_server_that_is_slow_gets_its_time_once() -> None:
    """Four times as long helps nobody."""
    with answering(SILENCE) as served:
        error = refused(served.url, read, answer_s=0.2)

    assert (type(error), len(served.requests)) == (WindmillUnreachable, 1)
    assert said(served, error) == (
        "Cannot read script f/acme/hello: HOST did not answer in time. Try again in a moment."
    )


def test_a_write_that_could_not_be_sent_changed_nothing() -> None:
    """Nothing listens there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = refused(f"http://127.0.0.1:{port}", write)

    assert type(error) is WindmillUnreachable
    assert error.one_line() == (
        f"Cannot create variable f/acme/secret: nothing answers at 127.0.0.1:{port}. "
        "Check the address in `wmctl target list`, and that the server runs."
    )


def test_a_name_that_does_not_resolve_is_named() -> None:
    """The top-level domain `invalid` never does."""
    error = refused("https://windmill.invalid", read)

    assert type(error) is WindmillUnreachable
    assert error.message == "Cannot read script f/acme/hello: there is no server named windmill.invalid"


def test_a_server_without_tls_is_told_from_one_that_is_away() -> None:
    """The usual slip: https for http."""
    with answering(answer(400, "plain HTTP")) as served:
        error = refused(served.url.replace("http:", "https:"), read)

    assert type(error) is WindmillUnreachable
    assert "does not speak TLS (is it http:// and not https://?)" in error.message


def test_a_refusal_never_repeats_the_value_that_was_refused() -> None:
    """Windmill quotes what it does not take."""
    with answering(answer(422, "invalid value: `not-a-real-secret-42` at column 20")) as served:
        error = refused(served.url, write)

    assert isinstance(error, WindmillRefused)
    assert (error.status, error.said) == (422, "invalid value: `***` at column 20")


def test_a_list_is_read_page_by_page_and_refused_when_it_is_none() -> None:
    """Half a list would look like deletions."""
    with answering(answer(200, '{"error": 1}', "application/json")) as served:
        error = refused(served.url, lambda client: client.scripts("f/acme/"))

    assert served.requests == [
        "GET /api/w/prod/scripts/list?include_without_main=true&path_start=f%2Facme%2F&per_page=10000&page=1"
    ]
    assert said(served, error) == (
        "Cannot list the scripts: HOST answered with something else than a list. "
        "Check the address, and the server's version with `wmctl target check`."
    )


def test_the_first_failure_of_work_side_by_side_ends_the_rest() -> None:
    """And is raised as it is, not as a group."""
    ended: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("slow")

    async def fails() -> None:
        raise WindmillFailed("no")

    with pytest.raises(WindmillFailed):
        asyncio.run(all_of(slow(), fails()))

    assert ended == ["slow"]


@pytest.mark.parametrize(
    ("given", "used"),
    [
        (" https://windmill.example.org/ ", "https://windmill.example.org"),
        ("https://example.org/windmill/api/", "https://example.org/windmill"),
        ("http://127.0.0.1:8000/api", "http://127.0.0.1:8000"),
    ],
)
def test_an_address_is_used_without_what_people_copy_along(given: str, used: str) -> None:
    """From the browser's bar, mostly."""
    assert server_url(given) == used


@pytest.mark.parametrize(
    "given",
    [
        "",
        "windmill",
        "ftp://x",
        "https://",
        "https://ana:not-a-real@x.org",
        "https://x.org/?token=1",
        "http://[",
    ],
)
def test_what_is_no_address_of_a_server_is_refused(given: str) -> None:
    """Before a token is sent anywhere."""
    with pytest.raises(InvalidInput):
        server_url(given)


def test_this_machine_is_known_by_name_and_number() -> None:
    """Nobody else sees what is sent there; everybody could on the way to the others."""
    hosts = ("localhost", "127.0.0.1", "127.9.9.9", "[::1]", "wm.localhost", "10.0.0.1", "localhost.org")

    assert [is_loopback(f"http://{host}:80") for host in hosts] == [True] * 5 + [False] * 2
