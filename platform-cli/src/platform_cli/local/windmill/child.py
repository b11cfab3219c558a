"""What happens inside a job's own process, once it exists: environment, import, preprocessor, main, result.

The job's folder holds `request.json` (written by the runtime) and the scripts under `f/<customer>/`; the
answer is `result.json` there and the exit code, as with Windmill's own wrapper. An exception in a script
becomes a result of shape `{"name", "message", "stack"}` and exit code 1. What fails before the script's
functions are called (an import, the arguments) is a traceback on stderr, exit code 1 and no result.
"""

from __future__ import annotations

import ast
import base64
import importlib
import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

REQUEST, RESULT = "request.json", "result.json"
_FUNCTION_CALL = "<function call>"
_DATE_FORMATS = ("%d-%m-%Y", "%m/%d/%Y", "%d/%m/%Y", "%Y/%m/%d")
_NOT_STREAMED = (str, dict, list, bytes, tuple, set, frozenset, range, memoryview, bytearray)
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?Infinity|NaN')
_ESCAPE = re.compile(r"\\(?:u0000|.)")

Arguments = dict[str, Any]  # Any: what a script takes and gives is the script's business


def work(job_folder: Path) -> int:
    """Run the job of `job_folder` in this process; the exit code. Called once, right after fork or exec."""
    request: dict[str, Any] = json.loads((job_folder / REQUEST).read_bytes())
    outcome = run(request)
    (job_folder / RESULT).write_text(outcome["result"], encoding="utf-8")
    exit_code: int = outcome["exit_code"]
    return exit_code


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Become the job and run its script: `{"result": JSON text, "exit_code": 0 or 1}`.

    `request`: `folder` (the job's), `module` (such as `f.acme.hook`), `arguments` (JSON text), `preprocess`,
    `environment`. Replaces this process's environment and working directory.
    Raises: whatever importing the script or reading its arguments raises.
    """
    folder = Path(request["folder"])
    _enter(folder, request["environment"])
    module = importlib.import_module(request["module"])
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    main = _signature(source, "main")
    first = _signature(source, "preprocessor") if request["preprocess"] else main
    arguments: Arguments = _converted(json.loads(request["arguments"], strict=False), first)
    try:
        if request["preprocess"]:
            arguments = _preprocessed(module, first, arguments)
        return {"result": _called(module, main, arguments), "exit_code": 0}
    except BaseException as error:  # noqa: BLE001 - SystemExit and KeyboardInterrupt are results too, as on Windmill
        return {"result": _failure(error), "exit_code": 1}


def _enter(folder: Path, environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sys.argv = [str(folder / "wrapper.py")]
    importlib.invalidate_caches()


# --- The signature, as Windmill's parser reads it ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Parameter:
    name: str
    has_default: bool
    kind: str


@dataclass(frozen=True, slots=True)
class _Signature:
    parameters: tuple[_Parameter, ...]
    takes_all: bool


def _signature(source: str, function: str) -> _Signature:
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == function:
            return _read_signature(node.args)
    return _Signature((), takes_all=False)


def _read_signature(arguments: ast.arguments) -> _Signature:
    """Only plain parameters count: keyword-only and positional-only ones are never passed."""
    plain = arguments.args
    given = arguments.defaults[-len(plain) :] if plain else []
    defaults = [None] * (len(plain) - len(given)) + list(given)
    return _Signature(
        tuple(
            _Parameter(parameter.arg, _is_known(default), _kind(parameter.annotation))
            for parameter, default in zip(plain, defaults, strict=True)
        ),
        takes_all=arguments.kwarg is not None,
    )


def _is_known(default: ast.expr | None) -> bool:
    """Windmill sees a default only when it is written as one of these.

    `x=-1`, `x=(1, 2)` and `x=LIMIT` are not seen, and the parameter arrives as None.
    """
    if isinstance(default, ast.Attribute):
        return isinstance(default.value, ast.Name)
    return isinstance(default, ast.Constant | ast.Dict | ast.List | ast.Call)


def _kind(annotation: ast.expr | None) -> str:
    """`bytes`, `datetime` or `date` when the annotation says so, also inside `Optional` and `... | None`."""
    match annotation:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id="datetime"), attr=name):
            return name
        case ast.BinOp(left=left, right=ast.Constant(value=None)):
            return _kind(left)
        case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
            return _kind(inner)
        case _:
            return ""


def _date(value: Any) -> Any:  # Any: what no format fits is passed on unchanged, whatever it is
    try:
        return date.fromisoformat(value)
    except ValueError:
        for pattern in _DATE_FORMATS:
            try:
                return datetime.strptime(value, pattern).date()  # noqa: DTZ007 - only the day is kept
            except ValueError:
                continue
        return value


_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "bytes": base64.b64decode,
    "datetime": datetime.fromisoformat,
    "date": _date,
}


def _converted(arguments: Arguments, signature: _Signature) -> Arguments:
    for parameter in signature.parameters:
        convert = _CONVERTERS.get(parameter.kind)
        if convert is not None and arguments.get(parameter.name) is not None:
            arguments[parameter.name] = convert(arguments[parameter.name])
    return arguments


def _spread(arguments: Arguments, signature: _Signature) -> Arguments:
    """Unknown arguments are dropped; one that is missing or null takes its default, or None without one."""
    if signature.takes_all:
        chosen = {name: value for name, value in arguments.items()}  # noqa: C416 - None has no items, and says so
    else:
        chosen = {
            parameter.name: arguments.get(parameter.name)
            for parameter in signature.parameters
            if not parameter.has_default or arguments.get(parameter.name) is not None
        }
    return {name: value for name, value in chosen.items() if value != _FUNCTION_CALL}


# --- Calling, and what comes of it ------------------------------------------------------------------------


def _preprocessed(module: ModuleType, signature: _Signature, arguments: Arguments) -> Arguments:
    function = module.preprocessor
    if not callable(function):
        raise ValueError("preprocessor function is missing")  # noqa: TRY004 - Windmill raises exactly this
    made = function(**_spread(arguments, signature))
    _to_json(made)  # the worker keeps the new arguments; bytes among them are base64 from here on
    result: Arguments = made
    return result


def _called(module: ModuleType, signature: _Signature, arguments: Arguments) -> str:
    function = module.main
    if not callable(function):
        raise ValueError("main function is missing")  # noqa: TRY004 - Windmill raises exactly this
    result = function(**_spread(arguments, signature))
    if hasattr(result, "__iter__") and not isinstance(result, _NOT_STREAMED):
        for chunk in result:
            sys.stdout.write("WM_STREAM: " + chunk.replace("\n", "\\n") + "\n")
        result = None
    return _to_json(result)


def _to_json(value: Any) -> str:  # Any: a script returns what it likes, `default=str` covers it
    if isinstance(value, bytes):
        value = _base64(value)
    elif isinstance(value, dict):
        for key in [key for key, item in value.items() if isinstance(item, bytes)]:
            value[key] = _base64(value[key])
    return _storable(json.dumps(value, separators=(",", ":"), default=str))


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _storable(text: str) -> str:
    """What JSON and `jsonb` do not know becomes null: NaN, the infinities, and NUL inside a text."""
    if not any(word in text for word in ("NaN", "Infinity", "\\u0000")):
        return text
    return _TOKEN.sub(_storable_token, text)


def _storable_token(found: re.Match[str]) -> str:
    token = found.group(0)
    if not token.startswith('"'):
        return "null"
    return _ESCAPE.sub(lambda escape: " null " if escape.group(0) == "\\u0000" else escape.group(0), token)


def _failure(error: BaseException) -> str:
    frames = [
        formatted
        for frame, formatted in zip(
            traceback.extract_tb(error.__traceback__), traceback.format_tb(error.__traceback__), strict=True
        )
        if frame.filename != __file__
    ]
    shape: dict[str, Any] = {"message": str(error), "name": type(error).__name__, "stack": "\n".join(frames)}
    if error.__dict__:
        shape["extra"] = error.__dict__
    return json.dumps(shape, separators=(",", ":"), default=str)


if __name__ == "__main__":
    sys.exit(work(Path(sys.argv[1])))
