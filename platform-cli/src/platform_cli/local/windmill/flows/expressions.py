"""The JavaScript of a flow: one expression, evaluated in QuickJS with nothing but the values it is given.

What an expression sees and how it fails is the server's: `results.x` is rewritten to an awaited access, the
text of one plain access is answered without JavaScript (so that big numbers stay exact), a body with
statements needs its own `return`. No expression does input or output; time, memory and depth are bounded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import quickjs  # type: ignore[import-untyped]  # its package has no types

from platform_cli.local.windmill import jsonb
from platform_cli.local.windmill.jsonb import Json

TIME_LIMIT_S = 2
MEMORY_LIMIT_BYTES = 32 * 1024 * 1024
_FILE = "eval_script"

_RESULT_ACCESS = re.compile(r"(results\??(?:(?:\.[a-zA-Z_0-9]+)|(?:\[\".*?\"\])))")
_PLAIN_RESULT = re.compile(r"results\??\.([a-zA-Z_0-9]+)(?:\[(\d+)\])?((?:\.[a-zA-Z_0-9]+)+)?", re.ASCII)
_ASKING = ("variable", "resource", "flow_user_state")
_STATEMENTS = (
    "const ", "let ", "var ", "if ", "if(", "for ", "for(", "while ", "while(", "switch ", "switch(", "try ",
    "try{", "throw ", "function ", "class ", "async ", "await ",
)  # fmt: skip
_QUOTES = "'\"`"
_PRELUDE = """
const __asked = [], __waiting = [];
function __ask(kind, name) {
  return new Promise((resolve, reject) => {
    __waiting.push({resolve, reject});
    __asked.push([__waiting.length - 1, kind, String(name)]);
  });
}
function __take() { return JSON.stringify(__asked.splice(0)); }
function __answer(index, ok, value) {
  ok ? __waiting[index].resolve(value) : __waiting[index].reject(new Error(value));
}
function variable(path) { return __ask('variable', path); }
function resource(path) { return __ask('resource', path); }
function flow_user_state(key) {
  return Promise.reject(new Error('flow_user_state() is not kept by the local runtime'));
}
var __settled = false, __out, __failed;
function __settle(promise) {
  promise.then((text) => { __settled = true; __out = text; }, (error) => {
    const known = error instanceof Error;
    __settled = true;
    const message = String(known ? error.message : error);
    __failed = JSON.stringify([known, message, String((known && error.stack) || '')]);
  });
}
"""
_RESULTS = """
const results = new Proxy({}, {
  get: (target, name) => typeof name === 'symbol' ? undefined
    : name === __previous_id && typeof previous_result !== 'undefined' ? Promise.resolve(previous_result)
    : __ask('result', name),
});
"""


class ExpressionFailed(Exception):
    """An expression could not be evaluated; the message is the server's for the same mistake."""


class NotAvailable(Exception):
    """What an expression asks for by name is not there, or not for this reader; the message goes to it."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What one expression may see.

    `variables` are globals by name; `find` answers `("variable" | "resource" | "result", name)` or raises
    NotAvailable. Without `has_results` there is no `results`, as on the server in some places.
    """

    find: Callable[[str, str], Json]
    variables: Mapping[str, Json] = field(default_factory=dict)
    flow_input: Mapping[str, Json] | None = None
    flow_env: Mapping[str, Json] | None = None
    has_results: bool = False
    previous_id: str = ""


def evaluate(expression: str, scope: Scope) -> Json:
    """The value of an expression, as JSON. Raises: ExpressionFailed."""
    text = expression.strip()
    found, value = _without_javascript(text, scope)
    return value if found else _Evaluation(text, scope).value()


def evaluate_boolean(expression: str, scope: Scope) -> bool:
    """Whether an expression is true as JavaScript sees it. Raises: ExpressionFailed."""
    return evaluate(f"Boolean({expression})", scope) is True


def syntax_error(expression: str) -> str:
    """What is wrong with the expression's syntax; empty when it can be compiled. Nothing is executed."""
    context = _bounded()
    try:
        context.eval(f"(async function() {{ {_body(_awaited(expression.strip()))} }})")
    except quickjs.JSException as error:
        return str(error).split("\n")[0].removeprefix("SyntaxError: ")
    return ""


# --- Without JavaScript -----------------------------------------------------------------------------------


def _without_javascript(text: str, scope: Scope) -> tuple[bool, Json]:  # noqa: PLR0911 - one for each access
    """The accesses the server answers itself: a variable's name, one key of the input, a path of a result."""
    if text in scope.variables:
        return True, scope.variables[text]
    for name, values in (("flow_input", scope.flow_input), ("flow_env", scope.flow_env)):
        key = _exact_key(text, name)
        if key and values is not None and key in values:
            return True, values[key]
    if not scope.has_results:
        return False, None
    if "previous_result" in scope.variables and text in _accesses(scope.previous_id):
        return True, scope.variables["previous_result"]
    plain = _PLAIN_RESULT.fullmatch(text)
    if plain is None or (plain.group(3) or "").rsplit(".", 1)[-1] == "length":
        return False, None
    try:
        value = scope.find("result", plain.group(1))
    except NotAvailable:
        return True, None
    steps = ([plain.group(2)] if plain.group(2) else []) + (plain.group(3) or "").split(".")[1:]
    return True, _walk(value, steps)


def _exact_key(text: str, name: str) -> str:
    if text.startswith(f"{name}."):
        return text[len(name) + 1 :]
    if text.startswith(f'{name}["') and text.endswith('"]'):
        return text[len(name) + 2 : -2]
    return ""


def _accesses(step_id: str) -> tuple[str, ...]:
    return (f"results.{step_id}", f"results?.{step_id}", f'results["{step_id}"]', f'results?.["{step_id}"]')


def _walk(value: Json, steps: list[str]) -> Json:
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


# --- With JavaScript --------------------------------------------------------------------------------------


def _bounded() -> quickjs.Context:
    context = quickjs.Context()
    context.set_memory_limit(MEMORY_LIMIT_BYTES)
    context.set_time_limit(TIME_LIMIT_S)
    return context


class _Evaluation:
    """One expression in a fresh engine."""

    def __init__(self, text: str, scope: Scope) -> None:
        self._text = text
        self._scope = scope
        self._context = _bounded()

    def value(self) -> Json:
        try:
            self._declare()
            code = f"(async function() {{ {_body(_awaited(self._text))} }})()"
            promise = self._context.eval(f"{code}.then((x) => JSON.stringify(x ?? null))")
            self._context.get("__settle")(promise)
            self._until_quiet()
            settled, failed, out = (self._context.get(name) for name in ("__settled", "__failed", "__out"))
        except quickjs.JSException as error:
            raise self._thrown(str(error)) from None
        if isinstance(failed, str):
            known, message, stack = json.loads(failed)
            shown = f"Error: {message}\n{stack}" if known else f"Exception generated by quickjs: {message}"
            raise ExpressionFailed(f"QuickJS evaluation error: {_named(shown)}")
        if not settled:
            raise self._too_long()
        if not isinstance(out, str):
            return None  # a function or a symbol: nothing that JSON can say
        try:
            return jsonb.parse(out)
        except ValueError as error:
            raise ExpressionFailed(f"The expression's value cannot be kept: {error}") from error

    def _declare(self) -> None:
        scope, text = self._scope, self._text
        self._context.eval(_PRELUDE)
        for name, value in self._globals().items():
            self._context.eval(f"var {name} = {_literal(value)}")
        if "flow_env" in text:
            self._context.eval(f"var flow_env = {_literal(dict(scope.flow_env or {}))}")
        if scope.has_results:
            self._context.eval(f"const __previous_id = {json.dumps(scope.previous_id)}")
            self._context.eval(_RESULTS)

    def _globals(self) -> dict[str, Json]:
        """Only what the text mentions is handed over."""
        scope, text = self._scope, self._text
        used = {name: value for name, value in scope.variables.items() if name in text}
        previous = scope.variables.get("previous_result")
        mentions = (
            any(access in text for access in _accesses(scope.previous_id)) if scope.has_results else False
        )
        if "previous_result" in scope.variables and (mentions or "error" in text):
            used["previous_result"] = previous
        if "error" in text and "previous_result" in scope.variables and "error" not in used:
            used["error"] = error_of(previous)
        if "flow_input" in text:
            used["flow_input"] = None if scope.flow_input is None else dict(scope.flow_input)
        return used

    def _until_quiet(self) -> None:
        """Run what is pending, answer what is asked, until nothing of either is left."""
        take, answer = self._context.get("__take"), self._context.get("__answer")
        asked: list[Any] = [None]
        while asked:
            while self._context.execute_pending_job():
                pass
            asked = json.loads(take())
            for index, kind, name in asked:
                try:
                    value = self._scope.find(kind, name)
                except NotAvailable as error:
                    answer(index, False, str(error))
                else:
                    self._context.eval(f"__answer({index}, true, {_literal(value)})")

    def _thrown(self, text: str) -> ExpressionFailed:
        if text.startswith("InternalError: interrupted"):
            return self._too_long()
        _, _, rest = text.partition(": ")
        return ExpressionFailed(f"QuickJS evaluation error: {_named(f'Error: {rest or text}')}")

    def _too_long(self) -> ExpressionFailed:
        return ExpressionFailed(
            f"The expression evaluation `{self._text}` took too long to execute (>{TIME_LIMIT_S * 1000}ms)"
        )


def _literal(value: Json) -> str:
    """A JSON text is a JavaScript expression, but for `__proto__`, which would not be a plain key."""
    return f"JSON.parse({json.dumps(jsonb.to_text(value))})"


def _named(text: str) -> str:
    return text.replace("<input>", _FILE)


def error_of(previous: Json) -> Json:
    """What an expression sees as `error`: that of the step before, or of the turns or branches before."""
    if isinstance(previous, dict) and previous.get("error"):
        return previous["error"]
    if not isinstance(previous, list):
        if previous:
            return {"name": "UnknownError", "message": "Could not parse the error", "error": previous}
        return {"name": "UnknownError", "message": "No error found"}
    errors = [item["error"] for item in previous if isinstance(item, dict) and "error" in item]
    if len(errors) == 1:
        return errors[0]
    message = "; ".join(
        f"[{error.get('step_id') or index}] {error.get('message') or error.get('name')}"
        for index, error in enumerate(errors)
        if isinstance(error, dict)
    )
    return {"name": "MultipleErrors", "message": message or "Could not parse errors", "errors": previous}


# --- The text that is evaluated ---------------------------------------------------------------------------


def _awaited(text: str) -> str:
    for name in _ASKING:
        first, *calls = text.split(f"{name}(")
        text = first + "".join(f"(await {name}({_closed(call)}" for call in calls)
    return _RESULT_ACCESS.sub(r"(await \1)", text)


def _closed(call: str) -> str:
    """Put a second bracket behind the one that ends the call."""
    level = 1
    for index, letter in enumerate(call):
        level += {"(": 1, ")": -1}.get(letter, 0)
        if level == 0:
            return f"{call[:index]}){call[index:]}"
    return f"{call})"


def _body(text: str) -> str:
    return f"return {text};" if _is_one_value(text) else text


def _is_one_value(text: str) -> bool:
    """Whether a `return` has to be put before the text: not when it has statements of its own."""
    if text.startswith(("return ", "return;", *_STATEMENTS)) or text == "return":
        return False
    return not _has_semicolon(text)


def _has_semicolon(text: str) -> bool:
    inside, before = "", ""
    for letter in text:
        if letter in _QUOTES and before != "\\" and inside in ("", letter):
            inside = "" if inside else letter
        elif letter == ";" and not inside:
            return True
        before = letter
    return False
