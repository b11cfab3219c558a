"""What a person does about a job that failed: one line beside Windmill's own words. Pure."""

from __future__ import annotations

import re

from platform_cli.local.windmill.results import JobResult
from platform_cli.local.windmill.warm import MEMORY_BYTES

_JSON_FIRST = re.compile(r'\s*File "[^"]*/json/(__init__|encoder)\.py"')
_GIB = 1024**3
_NOT_JSON = "main returned what JSON cannot hold: return dicts with texts as keys, lists, numbers and texts."

_BY_MESSAGE = (
    (
        "due to timeout",
        (
            "It had no more time. See the last lines it printed for what it waited on, or give it "
            "`timeout: SECONDS` in its .script.yaml."
        ),
    ),
    ("due to cancelled by", "Somebody cancelled it. Run it again when it may work."),
    (
        "terminated by signal: Some(\n    9,",
        (
            "Its process was killed, by somebody, by the script itself or because the machine had no memory "
            "left. Run it again and watch its memory."
        ),
    ),
    ("terminated by signal", "A crash below Python ended it: look at the packages in C that it uses."),
    (
        "Result of job is invalid json (empty)",
        "It left without a result: return from main instead of os._exit.",
    ),
    (
        "last log lines",
        "It left without a result: an import failed, or it called os._exit. The last lines say where.",
    ),
    (
        "Could not add completed job",
        (
            "PostgreSQL cannot keep what main returned: return dicts, lists, numbers and texts, without lone "
            "surrogates and without nesting them hundreds deep."
        ),
    ),
    (
        "not found for `",
        (
            "An argument begins with $var: or $res: and names nothing there is. Correct the argument, or add "
            "the variable or resource."
        ),
    ),
)


def hint_for(result: JobResult) -> str:
    """The next step for a failed job; empty when it succeeded, or when its own error says it all."""
    error = result.error
    if error is None:
        return ""
    name, message, stack = (str(error.get(key, "")) for key in ("name", "message", "stack"))
    if name == "MemoryError":
        return f"A job may use {MEMORY_BYTES // _GIB} GiB here. Work through the data in pieces."
    if _JSON_FIRST.match(stack):
        return _NOT_JSON
    if name not in ("ExecutionErr", "InternalErr"):
        return ""
    return next((hint for words, hint in _BY_MESSAGE if words in message), "")
