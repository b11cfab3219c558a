# ruff: noqa: E501 - an answer of the server stays on one line, as it was read
"""What a real Windmill 1.743.0 was measured to do: the edges of bodies, routes, references and results.

Each row was sent to a running server on 2026-11-23 with the same script; the expectations are its answers.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from platform_cli.local.windmill.jsontext import explain
from platform_cli.local.windmill.runtime import Runtime
from platform_cli.local.windmill.server import serving
from tests.support.windmill import ECHO, EVENT, Answer, add_route, add_script, post_json, send

JSON = (("content-type", "application/json"),)
SECRET = "not-a-real-secret"
RESOURCES: dict[str, object] = {
    "f/acme/account": {"api_key": "$var:f/acme/secret", "n": 1},
    "f/acme/loop": {"x": "$res:f/acme/loop"},
    "f/acme/broken": {"x": "$var:f/acme/nope"},
    "f/acme/own": {"x": "$WM_JOB_PATH", "y": "$5.00"},
    "f/other/r": {"x": 1},
}
VARIABLES = {"f/acme/secret": SECRET, "f/acme/json": '{"a": [1]}', "f/other/s": "other-not-real"}
RESULTS = """
import datetime, decimal
def main(kind: str):
    return {
        "none": None, "bytes": b"ab\\xff", "decimal": {"d": decimal.Decimal("1.10")}, "set": {"s": {1}},
        "tuple": (1, 2), "nan": [float("nan"), float("inf"), -float("inf"), "NaN Infinity"],
        "nul": "a\\x00b", "escaped": "a\\\\u0000b", "numbers": [10**30, 1e22, 1.0, 1e-7, -0.0, 0, 1.5],
        "keys": {"bb": 1, "a": 2, "\u00f1": 3, "c": {"zz": 1, "y": 2}}, "text": "\u00f1and\u00fa \U0001f600",
        "nested": {"b": b"x"}, "generator": (str(i) for i in range(3)), "same_key": {1: 2, None: 3, True: 4},
        "control": "a/b\\"\\\\\\n\\t\\x7f", "surrogate": "\\ud800",
        "time": datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc),
    }[kind]
"""
TYPED = """
import datetime
from typing import Optional
LIMIT = 9
def main(d: datetime.date = None, t: datetime.datetime | None = None, b: Optional[bytes] = None, x: int = 3,
         negative: int = -1, named: int = LIMIT, missing=None):
    return [repr(value) for value in (d, t, b, x, negative, named, missing)]
"""


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One customer with a script and a route for each question."""
    root = tmp_path_factory.mktemp("measured")
    for name, code in {
        "event": EVENT, "echo": ECHO, "respond": "def main(r=None):\n    return r\n", "results": RESULTS,
        "typed": TYPED, "drop": "def preprocessor(event, other='d'):\n"
        "    return {'x': event['kind'], 'extra': 5}\ndef main(x, missing, y=7):\n    return [x, missing, y]\n",
        "no_dict": "def preprocessor(event):\n    return None\ndef main(x=1):\n    return x\n",
        "crash": "import os\ndef main(how: str):\n    print('bye')\n    {'signal': lambda: os.kill(os.getpid(), 9),"
        " 'hard': lambda: os._exit(3), 'silent': lambda: os._exit(0), 'exit': lambda: exit(3)}[how]()\n",
        "at_import": "raise RuntimeError('at import')\ndef main():\n    return 1\n",
        "no_main": "def other():\n    return 1\n",
        "extra": "class Odd(Exception):\n    def __init__(self):\n        super().__init__('a\\nb')\n"
        "        self.code = 'c1'\ndef main():\n    raise Odd\n",
    }.items():  # fmt: skip
        add_script(root, name, code)
    for script in ("event", "echo", "respond", "drop", "no_dict"):
        add_route(root, script, f"acme/{script}", raw_string=script != "echo")
    add_route(root, "echo", "acme/wrap", wrap_body=True, raw_string=False)
    add_route(root, "echo", "acme/raw")
    add_route(root, "echo", "acme/get", http_method="get")
    add_route(root, "event", "acme/off", mode="disabled")
    add_route(root, "echo", "acme/ws", workspaced_route=True)
    add_route(root, "echo", "acme/auth", authentication_method="windmill")
    for route in (
        "acme/y/:endpoint",
        "acme/y/special",
        "acme/wild/*rest",
        "acme/bt/:x/end",
        "acme/bt/static/other",
    ):
        add_route(root, "event", route)
    with Runtime(root, RESOURCES, variables=VARIABLES) as runtime, serving(runtime) as url:
        runtime_token.append(runtime.admin_token)
        yield url


runtime_token: list[str] = []


def _event(answer: Answer) -> dict[str, object]:
    value = answer.json
    assert isinstance(value, dict), answer.text
    return value


def _run(base_url: str, script: str, args: object) -> Answer:
    return post_json(
        base_url, f"/api/w/prod/jobs/run_wait_result/p/f/acme/{script}", args, token=runtime_token[-1]
    )


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "EOF while parsing a value at line 1 column 0"),
        (b"{", "EOF while parsing an object at line 1 column 1"),
        (b'{"a"', "EOF while parsing an object at line 1 column 4"),
        (b'{"a":', "EOF while parsing a value at line 1 column 5"),
        (b'{"a":1', "EOF while parsing an object at line 1 column 6"),
        (b'{"a":1,', "EOF while parsing a value at line 1 column 7"),
        (b'{"a":1,}', "trailing comma at line 1 column 8"),
        (b"[1,", "EOF while parsing a value at line 1 column 3"),
        (b"[1,]", "expected value at line 1 column 4"),
        (b"{a:1}", "key must be a string at line 1 column 2"),
        (b"tru", "EOF while parsing a value at line 1 column 3"),
        (b'"abc', "EOF while parsing a string at line 1 column 4"),
        (b'"\\x"', "invalid escape at line 1 column 3"),
        (b"01", "invalid number at line 1 column 2"),
        (b"1.", "invalid number at line 1 column 2"),
        (b"-", "invalid number at line 1 column 1"),
        (b"1e", "invalid number at line 1 column 2"),
        (b"{}{}", "trailing characters at line 1 column 3"),
        (b'{\n"a":\n x}', "expected value at line 3 column 2"),
        (b'{"a":"\\u12"}', "invalid escape at line 1 column 12"),
        (b"\x00", "expected value at line 1 column 1"),
        (b"[1 2]", "expected `,` or `]` at line 1 column 4"),
        (b'{"a" 1}', "expected `:` at line 1 column 6"),
        (b'{"a":tru}', "expected ident at line 1 column 9"),
        (b"[", "EOF while parsing a list at line 1 column 1"),
        (b"falsy", "expected ident at line 1 column 5"),
        (b'{"a":1 "b":2}', "expected `,` or `}` at line 1 column 8"),
        (b'"\xc3\xb1"x', "trailing characters at line 1 column 5"),
        (b'{"a":01}', "invalid number at line 1 column 7"),
        (b"[1,,2]", "expected value at line 1 column 4"),
        (b'{"a":1} x', "trailing characters at line 1 column 9"),
        (b'{"a":NaN}', "expected value at line 1 column 6"),
        (
            b'{"a":"\n"}',
            "control character (\\u0000-\\u001F) found while parsing a string at line 1 column 6",
        ),
    ],
)
def test_broken_json_is_refused_in_the_servers_words(body: bytes, why: str) -> None:
    """The parser names the place in bytes."""
    assert why == explain(body)


@pytest.mark.parametrize(
    ("content_type", "body", "shown", "raw"),
    [
        ("application/json; charset=utf-8", b'{"a":1}', {"a": 1}, '{"a":1}'),
        ("Application/JSON", b'{"a":1}', {}, '{"a":1}'),
        ("application/vnd.api+json", b'{"a":1}', {}, '{"a":1}'),
        ("application/json", b"null", None, "null"),
        ("application/json", b' {"a":1}', {"a": 1}, ' {"a":1}'),
        ("application/json", b'{"d":1e5,"e":-0.0,"f":-0}', {"d": 100000, "e": 0.0, "f": 0}, None),
        ("application/json", b'{"a":"\\ud83d\\ude00"}', {"a": "\U0001f600"}, None),
        ("application/cloudevents+json", b'{"data":{"a":1},"id":"x"}', {"a": 1, "WEBHOOK__METADATA__": {"id": "x"}}, None),
        ("text/xml", b"<a/>", {}, "<a/>"),
        ("text/html", b"<a/>", {}, "<a/>"),
        ("text/plain", b'{"a":"x\\u0000y"}', {}, '{"a":"x\\u0000y"}'),
        ("application/x-www-form-urlencoded", b"a=1&a=2&b=&c&d=x+y%20z&=q", {"": "q", "a": "2", "b": "", "c": "", "d": "x y z"}, None),
        ("application/x-www-form-urlencoded", b"a=%ff&b", {"a": "\ufffd", "b": ""}, "a=%ff&b"),
    ],
)  # fmt: skip
def test_the_content_type_decides_what_a_body_becomes(
    base_url: str, content_type: str, body: bytes, shown: object, raw: str | None
) -> None:
    """Prefixes, compared as written; everything else is bytes."""
    event = _event(send(base_url, "POST", "/api/r/acme/event", body, (("content-type", content_type),)))

    assert shown == event["body"]
    assert (raw or body.decode()) == event["raw_string"]


@pytest.mark.parametrize(
    ("content_type", "body", "answer"),
    [
        ("application/json", b'{"a":"x\\u0000y"}', "SqlErr: error returned from database: unsupported Unicode escape sequence @jobs.rs:6376:5"),
        ("text/plain", b"x\x00y", "SqlErr: error returned from database: unsupported Unicode escape sequence @jobs.rs:6376:5"),
        ("application/json", b'{"a":"\\ud800"}', "SqlErr: error returned from database: invalid input syntax for type json @jobs.rs:6376:5"),
        ("text/plain", b"\xff", "Bad request: invalid utf8: invalid utf-8 sequence of 1 bytes from index 0"),
        ("application/x-www-form-urlencoded", b"a=\xff", "Bad request: invalid utf8: invalid utf-8 sequence of 1 bytes from index 2"),
        ("multipart/form-data; boundary=x", b"--x--", "Bad request: multipart/form-data requires the parquet feature"),
    ],
)  # fmt: skip
def test_bodies_that_never_reach_a_script(base_url: str, content_type: str, body: bytes, answer: str) -> None:
    """400 as text, at every retry."""
    found = send(base_url, "POST", "/api/r/acme/event", body, (("content-type", content_type),))

    assert (400, "text/plain", answer) == (found.status, found.headers["content-type"], found.text)


@pytest.mark.parametrize(
    ("text", "became"),
    [
        ("$var:f/acme/secret", SECRET),
        ("$var:f/acme/secret ", SECRET),
        ("$var:/f/acme/secret", SECRET),
        ("x $var:f/acme/secret", "x $var:f/acme/secret"),
        ("$res:f/acme/account", {"n": 1, "api_key": SECRET}),
        ("$res:f/acme/own", {"x": "f/acme/event", "y": "$5.00"}),
        ("$jsonvar:f/acme/json", {"a": [1]}),
        ("$WM_JOB_PATH", "$WM_JOB_PATH"),
    ],
)
def test_a_strangers_text_that_is_a_reference_is_replaced(base_url: str, text: str, became: object) -> None:
    """The trap the real server has: a secret lands in the body. `raw_string` keeps what was sent."""
    event = _event(post_json(base_url, "/api/r/acme/event", {"m": {"text": {"body": text}}}))

    assert {"m": {"text": {"body": became}}} == event["body"]
    assert text in str(event["raw_string"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("$var:f/acme/nope", "Not found: Variable f/acme/nope not found for `body`: Not found: Variable f/acme/nope not found"),
        ("$var:", "Not found: Variable  not found for `body`: "),
        ("$res:nope", "Internal: Argument `body` is an invalid resource path: nope @common.rs:306:28"),
        ("$res:f/acme/nope", "Not found: Resource f/acme/nope not found for `body`: Not found: Resource f/acme/nope not found"),
        ("$res:f/acme/broken", "Not found: Resource f/acme/broken not found for `body`: Not found: Variable f/acme/nope not found"),
        ("$res:f/acme/loop", "Not found: Resource f/acme/loop not found for `body`: Internal: Maximum resource/variable interpolation depth (50) exceeded; this usually indicates a circular `$res:` or `$var:` reference @resources.rs:811:20"),
        ("$encrypted:abc", "Internal: Invalid padding @variables.rs:269:14"),
    ],
)  # fmt: skip
def test_a_reference_to_nothing_fails_the_job_before_the_script(
    base_url: str, text: str, message: str
) -> None:
    """422; the message of the stranger is lost."""
    answer = post_json(base_url, "/api/r/acme/event", {"m": {"text": {"body": text}}})

    assert answer.status == 422
    assert {"error": {"name": "ExecutionErr", "message": f"execution error:\n{message}"}} == answer.json


def test_another_customers_secret_is_refused_and_admitted_to_exist(base_url: str) -> None:
    """The robot reads its own folder only."""
    answer = post_json(base_url, "/api/r/acme/event", {"m": "$var:f/other/s"})

    assert answer.status == 422
    assert "Variable exists but you don't have access to it" in answer.text
    assert "other-not-real" not in answer.text


def test_any_marker_makes_the_jobs_own_variables_readable(base_url: str) -> None:
    """A text that only contains `$var:` is enough to have `$WM_...` texts beside it replaced."""
    body = {"a": "see $var:x", "b": "$WM_JOB_PATH", "c": "$NOPE", "e": "$WM_USERNAME", "f": "$WM_EMAIL"}

    event = _event(post_json(base_url, "/api/r/acme/event", body))

    assert event["body"] == {
        "a": "see $var:x", "b": "f/acme/event", "c": "$NOPE", "e": "HTTP-f/acme/event_acme_event",
        "f": "robot-acme@robots.invalid",
    }  # fmt: skip


def test_lists_are_searched_near_the_top_only(base_url: str) -> None:
    """A list counts when it is at most two levels below the argument."""
    ref = "$var:f/acme/secret"
    body = {"l": [ref, [ref]], "o": {"l": [ref]}, "lo": [{"x": ref}], "oo": {"p": {"l": [ref, {"z": ref}]}}}

    event = _event(post_json(base_url, "/api/r/acme/event", body))

    assert {
        "l": [SECRET, [ref]], "o": {"l": [ref]}, "lo": [{"x": SECRET}], "oo": {"p": {"l": [ref, {"z": ref}]}},
    } == event["body"]  # fmt: skip


def test_headers_query_and_raw_text_are_searched_too(base_url: str) -> None:
    """Everything in the event is an argument; keys are not replaced."""
    ref = "$var:f/acme/secret"
    path = f"/api/r/acme/event?q={ref}&q=2&a=%20b+c&e&s={ref}"

    event = _event(send(base_url, "POST", path, ref.encode(), (("content-type", "text/plain"), ("X-A", ref))))

    assert event["query"] == {"a": " b c", "e": "", "q": "2", "s": SECRET}
    assert event["raw_string"] == SECRET
    assert isinstance(event["headers"], dict)
    assert event["headers"]["x-a"] == SECRET


@pytest.mark.parametrize(
    ("path", "route", "params"),
    [
        ("acme/y/special", "acme/y/special", {}),
        ("acme/y/special2", "acme/y/:endpoint", {"endpoint": "special2"}),
        ("acme/y/x/", "acme/y/:endpoint", {"endpoint": "x"}),
        ("acme/y/x//", "acme/y/:endpoint", {"endpoint": "x"}),
        ("/acme/y/x", "acme/y/:endpoint", {"endpoint": "x"}),
        ("acme/y/a+b", "acme/y/:endpoint", {"endpoint": "a+b"}),
        ("acme/y/a%20b%C3%B1", "acme/y/:endpoint", {"endpoint": "a bñ"}),
        ("acme/y/..", "acme/y/:endpoint", {"endpoint": ".."}),
        ("acme/wild/a/b/", "acme/wild/*rest", {"rest": "a/b"}),
        ("acme/wild//a", "acme/wild/*rest", {"rest": "/a"}),
        ("acme/bt/static/end", "acme/bt/:x/end", {"x": "static"}),
        ("acme/bt/static/other", "acme/bt/static/other", {}),
    ],
)
def test_a_path_meets_the_route_it_meets_on_the_server(
    base_url: str, path: str, route: str, params: dict[str, str]
) -> None:
    """Fixed text first, then a parameter, then the wildcard, going back when a branch leads nowhere."""
    event = _event(send(base_url, "POST", f"/api/r/{path}", b"{}", JSON))

    assert (route, params) == (event["route"], event["params"])


@pytest.mark.parametrize(
    "path",
    [
        "acme/wild",
        "acme/wild/",
        "acme/y",
        "acme/y//x",
        "acme/y/a/b",
        "acme/Y/x",
        "acme/off",
        "acme/ws",
        "nope",
    ],
)
def test_a_path_without_route_is_told_so(base_url: str, path: str) -> None:
    """Also one whose route is switched off, and a workspaced one without its workspace."""
    answer = send(base_url, "POST", f"/api/r/{path}", b"{}", JSON)

    shown = path.rstrip("/")
    assert (404, f"Not found: Trigger not found at name /{shown} (handler.rs:142)") == (
        answer.status,
        answer.text,
    )


@pytest.mark.parametrize(
    ("route", "body", "content_type", "arguments"),
    [
        ("echo", b'{"a":1}', "application/json", {"a": 1}),
        ("raw", b'{"a":1}', "application/json", {"a": 1, "raw_string": '{"a":1}'}),
        ("wrap", b'{"a":1}', "application/json", {"body": {"a": 1}}),
        ("echo", b"[1]", "application/json", {"body": [1]}),
        ("echo", b"x", "text/plain", {"raw_string": "x"}),
        ("wrap", b"x", "text/plain", {"body": {}, "raw_string": "x"}),
        ("raw", b'{"raw_string":"mine"}', "application/json", {"raw_string": '{"raw_string":"mine"}'}),
    ],
)
def test_without_preprocessor_the_body_becomes_the_arguments(
    base_url: str, route: str, body: bytes, content_type: str, arguments: object
) -> None:
    """No headers, no query."""
    assert (
        arguments
        == send(base_url, "POST", f"/api/r/acme/{route}", body, (("content-type", content_type),)).json
    )


def test_preprocessor_and_main_get_what_they_name(base_url: str) -> None:
    """What is not asked for is dropped, what is missing is None or the default."""
    assert post_json(base_url, "/api/r/acme/drop", {}).json == ["http", None, 7]
    assert _run(base_url, "drop", {}).json == ["webhook", None, 7]
    assert post_json(base_url, "/api/r/acme/no_dict", {}).json == {
        "error": {
            "name": "AttributeError",
            "stack": "",
            "message": "'NoneType' object has no attribute 'get'",
        }
    }


@pytest.mark.parametrize(
    ("result", "status", "content_type", "body"),
    [
        (None, 200, "application/json", "null"),
        ({"windmill_status_code": 204}, 204, None, ""),
        ({"windmill_status_code": 200}, 200, None, ""),
        ({"windmill_status_code": 99}, 500, "text/plain", "Invalid status code"),
        ({"windmill_status_code": "201", "result": 1}, 200, "application/json", '{"result": 1, "windmill_status_code": "201"}'),
        ({"windmill_status_code": 201, "result": None}, 201, None, ""),
        ({"windmill_status_code": 201, "result": "t", "other": 1}, 201, "application/json", '"t"'),
        ({"windmill_status_code": 70000, "result": 1}, 200, "application/json", '{"result": 1, "windmill_status_code": 70000}'),
        ({"windmill_content_type": "text/plain", "result": {"b": 1, "a": [1.5]}}, 200, "text/plain", '{"a": [1.5], "b": 1}'),
        ({"windmill_content_type": "text/plain"}, 204, "text/plain", ""),
        ({"windmill_headers": {"content-type": "text/csv"}, "result": "a,b"}, 200, "text/csv", '"a,b"'),
        ({"windmill_headers": {"bad name": "x"}, "result": 1}, 500, "text/plain", "Internal: Invalid header name bad name: invalid HTTP header name @execution.rs:415:25"),
        ({"windmill_headers": {"x": "a\r\nb: c"}, "result": 1}, 500, "text/plain", "Internal: Invalid header value a\r\nb: c: failed to parse header value @execution.rs:418:25"),
        ({"windmill_headers": {"x": 1}, "result": 1}, 200, "application/json", '{"result": 1, "windmill_headers": {"x": 1}}'),
        ({"wm_status_code": 418, "result": []}, 418, "application/json", "[]"),
        ({"result": 5}, 200, "application/json", '{"result": 5}'),
        ({"windmill_status_code": 200, "wm_status_code": 201}, 200, "application/json", '{"wm_status_code": 201, "windmill_status_code": 200}'),
    ],
)  # fmt: skip
def test_a_result_shapes_the_answer(
    base_url: str, result: object, status: int, content_type: str | None, body: str
) -> None:
    """One key of the wrong type and the whole object is the answer."""
    answer = post_json(base_url, "/api/r/acme/respond", {"r": result})

    assert (status, content_type, body) == (answer.status, answer.headers.get("content-type"), answer.text)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("none", "null"), ("bytes", '"YWL/"'), ("decimal", '{"d": "1.10"}'), ("set", '{"s": "{1}"}'),
        ("tuple", "[1, 2]"), ("nan", '[null, null, null, "NaN Infinity"]'), ("nul", '"a null b"'),
        ("escaped", '"a\\\\u0000b"'),
        ("numbers", "[1000000000000000000000000000000, 10000000000000000000000, 1.0, 0.0000001, 0.0, 0, 1.5]"),
        ("keys", '{"a": 2, "c": {"y": 2, "zz": 1}, "bb": 1, "ñ": 3}'), ("text", '"ñandú \U0001f600"'),
        ("nested", '{"b": "eA=="}'), ("generator", '"012"'), ("same_key", '{"1": 4, "null": 3}'),
        ("control", '"a/b\\"\\\\\\n\\t\x7f"'), ("time", '"2026-01-02 00:00:00+00:00"'),
    ],
)  # fmt: skip
def test_a_result_is_written_as_the_server_writes_it(base_url: str, kind: str, body: str) -> None:
    """Python value, JSON, `jsonb`, text."""
    assert body == _run(base_url, "results", {"kind": kind}).text


def test_a_result_that_cannot_be_stored_fails_the_job(base_url: str) -> None:
    """Half a surrogate pair; the real server answers so after retrying for a while."""
    answer = _run(base_url, "results", {"kind": "surrogate"})

    assert answer.status == 422
    assert "error returned from database: invalid input syntax for type json @jobs.rs:1133:22" in answer.text


def test_arguments_are_converted_by_annotation(base_url: str) -> None:
    """Dates, times and bytes; and a default Windmill's parser does not see arrives as None."""
    sent = {"d": "02-01-2026", "t": "2026-01-02T03:04:05Z", "b": "YWI=", "x": None}

    assert _run(base_url, "typed", sent).json == [
        "datetime.date(2026, 1, 2)", "datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)", "b'ab'",
        "3", "None", "None", "None",
    ]  # fmt: skip
    assert "Invalid isoformat string" in _run(base_url, "typed", {"t": "zz"}).text


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("signal", {"name": "ExecutionErr", "message": "execution error:\nprocess terminated by signal: Some(\n    9,\n), stopped_signal: None, core_dumped: false"}),
        ("hard", {"name": "ExecutionErr", "message": 'exit code for "python run": 3, last log lines:\nbye', "exit_code": 3}),
        ("silent", {"name": "InternalErr", "message": "Internal: Result of job is invalid json (empty) @jobs.rs:956:20"}),
    ],
)  # fmt: skip
def test_a_process_that_dies_is_a_failed_job(base_url: str, how: str, error: object) -> None:
    """With the words of the server."""
    answer = _run(base_url, "crash", {"how": how})

    assert (422, {"error": error}) == (answer.status, answer.json)


def test_exceptions_keep_name_message_stack_and_attributes(base_url: str) -> None:
    """Only frames of the script are shown; leaving through `exit` is an exception like another."""
    exited, odd = _run(base_url, "crash", {"how": "exit"}).json, _run(base_url, "extra", {}).json
    assert isinstance(exited, dict)
    assert isinstance(odd, dict)

    assert (exited["error"]["name"], exited["error"]["message"]) == ("SystemExit", "3")
    assert tuple(odd["error"][key] for key in ("name", "message", "extra")) == ("Odd", "a\nb", {"code": "c1"})
    assert odd["error"]["stack"].endswith("in main\n    raise Odd\n")
    assert odd["error"]["stack"].count("File ") == 1


def test_a_script_that_cannot_be_called_says_why(base_url: str) -> None:
    """A missing main, and an import that fails, which leaves only a traceback in the logs."""
    no_main, at_import = _run(base_url, "no_main", {}), _run(base_url, "at_import", {})

    assert no_main.json == {
        "error": {
            "name": "AttributeError",
            "stack": "",
            "message": "module 'f.acme.no_main' has no attribute 'main'",
        }
    }
    assert at_import.status == 422
    assert 'exit code for \\"python run\\": 1, last log lines:\\n' in at_import.text
    assert "RuntimeError: at import" in at_import.text


def test_methods_without_a_route_of_their_own(base_url: str) -> None:
    """HEAD and OPTIONS are answered for every path; a GET without body and type has an empty raw text."""
    for method in ("HEAD", "OPTIONS"):
        answer = send(base_url, method, "/api/r/acme/anything")
        assert (
            answer.status,
            answer.headers["content-type"],
            answer.body,
        ) == (200, "text/plain; charset=utf-8", b"")
    assert send(base_url, "GET", "/api/r/acme/get?a=1").json == {"raw_string": ""}
    assert send(base_url, "GET", "/api/r/acme/get", b"", JSON).status == 400
    assert send(base_url, "POST", "/api/r/acme/y/%ff").text == "Invalid URL: Invalid UTF-8 in `path`"


def test_workspaced_and_guarded_routes(base_url: str) -> None:
    """The workspace is part of the path; a guarded route wants a token."""
    assert send(base_url, "POST", "/api/r/prod/acme/ws", b"{}", JSON).status == 200
    assert (
        send(base_url, "POST", "/api/r/acme/auth", b"{}", JSON).text
        == "Not authorized: Requires authentication"
    )
    assert send(base_url, "POST", "/api/r/acme/auth", b"{}", JSON, token=runtime_token[-1]).status == 200


@pytest.mark.parametrize(
    ("path", "status", "content_type", "body"),
    [
        ("variables/get_value/f/acme/secret", 200, "application/json", f'"{SECRET}"'),
        ("variables/get_value//f/acme/secret", 200, "application/json", f'"{SECRET}"'),
        ("variables/get_value/f%2Facme%2Fsecret", 200, "application/json", f'"{SECRET}"'),
        ("variables/get_value/f/acme/nope", 404, "text/plain", "Not found: Variable f/acme/nope not found"),
        ("resources/get_value_interpolated/f/acme/account", 200, "application/json", f'{{"n":1,"api_key":"{SECRET}"}}'),
        ("resources/get_value_interpolated/f/acme/nope", 404, "text/plain", "Not found: Resource f/acme/nope not found"),
        ("resources/get_value_interpolated/f/acme/broken", 404, "text/plain", "Not found: Variable f/acme/nope not found"),
        ("resources/get_value_interpolated/f/acme/own", 200, "application/json", '{"x":"$WM_JOB_PATH","y":"$5.00"}'),
        ("nope", 404, None, ""),
    ],
)  # fmt: skip
def test_reading_resources_and_variables(
    base_url: str, path: str, status: int, content_type: str | None, body: str
) -> None:
    """As the administrator; keys in the order PostgreSQL keeps them."""
    answer = send(base_url, "GET", f"/api/w/prod/{path}", token=runtime_token[-1])

    assert (status, content_type, body) == (answer.status, answer.headers.get("content-type"), answer.text)
