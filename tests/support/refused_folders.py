"""Folders that are refused: what is wrong with each, and how that is said."""

from __future__ import annotations

from typing import NamedTuple

from tests.support.folders import FILES


class Refusal(NamedTuple):
    """A folder with some files changed, and the one problem that it then has."""

    changed: dict[str, str | bytes | None]
    file: str
    line: int
    reason: str
    next_step: str


_NIGHTLY = str(FILES["config/nightly.schedule.yaml"])
_LOCK = (
    "Write an empty line into its .script.lock when it needs only the platform's packages; else let the "
    "official `wmill generate-metadata` make it."
)
REFUSED = {
    "a YAML error": Refusal(
        {"config/nightly.schedule.yaml": "schedule: a: b\n"},
        "config/nightly.schedule.yaml",
        1,
        (
            "not YAML: mapping values are not allowed in this context (a text that holds `:"
            " ` must be quoted, and each field needs its own line)"
        ),
        "Correct the file.",
    ),
    "a file that is no mapping": Refusal(
        {"config/plain.variable.yaml": "- a\n"},
        "config/plain.variable.yaml",
        0,
        "it is not a mapping of fields",
        "Write `name: value`, one a line.",
    ),
    "an unknown field": Refusal(
        {"config/nightly.schedule.yaml": _NIGHTLY + "sumary: x\n"},
        "config/nightly.schedule.yaml",
        9,
        "sumary: Windmill knows no such field here",
        "Did you mean summary?",
    ),
    "a field of the wrong type": Refusal(
        {"config/nightly.schedule.yaml": _NIGHTLY + "no_flow_overlap: yes\n"},
        "config/nightly.schedule.yaml",
        9,
        "no_flow_overlap: it has to be true or false",
        "Correct the file.",
    ),
    "an unknown field of a step": Refusal(
        {
            "flows/b__flow/flow.yaml": (
                "value:\n  modules:\n  - id: a\n    stop_after_iff: {}\n    value: {type: identity}\n"
            )
        },
        "flows/b__flow/flow.yaml",
        4,
        "value.modules.0.stop_after_iff: Windmill knows no such field here",
        "Did you mean stop_after_if?",
    ),
    "an unknown type of step": Refusal(
        {"flows/b__flow/flow.yaml": "value:\n  modules:\n  - id: a\n    value: {type: identitty}\n"},
        "flows/b__flow/flow.yaml",
        4,
        "value.modules.0.value.type: 'identitty' is no type of step",
        "Did you mean identity?",
    ),
    "an id that is there twice": Refusal(
        {
            "flows/b__flow/flow.yaml": (
                "value:\n  modules:\n  - {id: a, value: {type: identity}}\n"
                "  - {id: a, value: {type: identity}}\n"
            )
        },
        "flows/b__flow/flow.yaml",
        4,
        "value.modules.1.id: a is there twice",
        "Give each step an id of its own.",
    ),
    "a name with a dot": Refusal(
        {"config/a.b.variable.yaml": "value: v\n"},
        "config/a.b.variable.yaml",
        0,
        "the name 'a.b' has a dot",
        "Use letters, digits, _ and - only.",
    ),
    "a name with a space": Refusal(
        {"config/a b.variable.yaml": "value: v\n"},
        "config/a b.variable.yaml",
        0,
        "'a b' is not an item name",
        "Use letters, digits, _ and - only.",
    ),
    "lines as on Windows": Refusal(
        {"scripts/hello.py": "def main() -> None:\r\n    return\r\n"},
        "scripts/hello.py",
        1,
        "its lines end as on Windows (CRLF)",
        "Save it with LF; see `git config core.autocrlf`.",
    ),
    "a byte order mark": Refusal(
        {"config/plain.variable.yaml": "\ufeffvalue: v\n"},
        "config/plain.variable.yaml",
        1,
        "it begins with a byte order mark",
        "Save it as UTF-8 without byte order mark.",
    ),
    "UTF-16": Refusal(
        {"config/plain.variable.yaml": "value: v\n".encode("utf-16")},
        "config/plain.variable.yaml",
        1,
        "it is UTF-16",
        "Save it as UTF-8 without byte order mark.",
    ),
    "bytes that are no text": Refusal(
        {"scripts/hello.py": b"# 1\n# \xe9\n"}, "scripts/hello.py", 2, "it is not UTF-8", "Save it as UTF-8."
    ),
    "a file over 10 MB": Refusal(
        {"scripts/hello.py": b"#" * (10 * 1024 * 1024 + 1)},
        "scripts/hello.py",
        0,
        "it is larger than 10 MB",
        "Windmill is no place for files of this size.",
    ),
    "a script without its metadata": Refusal(
        {"scripts/other.py": "def main(): ...\n"},
        "scripts/other.py",
        0,
        "script f/acme/other has no other.script.yaml",
        "Write other.script.yaml, or move this file away.",
    ),
    "a script without its program": Refusal(
        {"scripts/hello.py": None},
        "scripts/hello.script.yaml",
        0,
        "its program is missing",
        "Write hello.py, or remove this file.",
    ),
    "two programs for one script": Refusal(
        {"scripts/hello.ts": "export function main() {}\n"},
        "scripts/hello.script.yaml",
        0,
        "more than one file holds its program",
        "Keep one, such as hello.py.",
    ),
    "a script without its lock": Refusal(
        {"scripts/hello.script.lock": None},
        "scripts/hello.script.yaml",
        4,
        "lock: there is no file hello.script.lock",
        _LOCK,
    ),
    "a script that names no lock": Refusal(
        {"scripts/hello.script.yaml": "summary: x\n", "scripts/hello.script.lock": None},
        "scripts/hello.script.yaml",
        1,
        "lock: the script has no lock",
        _LOCK,
    ),
    "a lock elsewhere": Refusal(
        {"scripts/hello.script.yaml": "lock: '!inline ../../etc/passwd'\n"},
        "scripts/hello.script.yaml",
        1,
        "lock: it names another file than hello.script.lock",
        "Write '!inline f/acme/hello.script.lock'.",
    ),
    "a file that belongs to nothing": Refusal(
        {"scripts/notes.txt": "x"},
        "scripts/notes.txt",
        0,
        "it belongs to no item",
        "Remove it, or correct its name.",
    ),
    "a file of another kind's folder": Refusal(
        {"scripts/plain.variable.yaml": "value: v\n", "config/plain.variable.yaml": None},
        "scripts/plain.variable.yaml",
        0,
        "a variable stands in scripts/",
        "Move it to config/.",
    ),
    "a folder that is not known": Refusal(
        {"script/x.py": ""}, "script/x.py", 0, "a script does not stand here", "Move it to scripts/."
    ),
    "a trigger of another kind": Refusal(
        {"config/x.kafka_trigger.yaml": "a: 1\n"},
        "config/x.kafka_trigger.yaml",
        0,
        "triggers of this kind are not kept in step",
        "Edit it in Windmill, and remove it here.",
    ),
    "a flow's folder with a dot": Refusal(
        {"flows/x.flow/flow.yaml": "value: {}\n"},
        "flows/x.flow/flow.yaml",
        0,
        "folders with a dot are not read here",
        "Rename it to x__flow.",
    ),
    "a file that no step names": Refusal(
        {"flows/review__flow/old.py": "def main(): ...\n"},
        "flows/review__flow/old.py",
        0,
        "it belongs to no step of the flow",
        "Name it in flow.yaml, or move it away.",
    ),
    "a file that a step names and is not there": Refusal(
        {"flows/review__flow/ask.py": None},
        "flows/review__flow/flow.yaml",
        20,
        "value.modules.1.value.content: there is no file ask.py beside flow.yaml",
        "Write it, or correct the name.",
    ),
    "a file outside of the flow": Refusal(
        {
            "flows/b__flow/flow.yaml": (
                "value:\n  modules:\n  - id: a\n    value:\n      type: rawscript\n"
                "      language: python3\n"
                "      content: '!inline ../review__flow/ask.py'\n"
            )
        },
        "flows/b__flow/flow.yaml",
        7,
        ("value.modules.0.value.content: ../review__flow/ask.py is outside of the flow's folder"),
        "Keep it beside flow.yaml.",
    ),
    "a flow that names itself": Refusal(
        {
            "flows/b__flow/flow.yaml": (
                "value:\n  modules:\n  - id: a\n    value:\n      type: rawscript\n"
                "      language: python3\n      content: '!inline flow.yaml'\n"
            )
        },
        "flows/b__flow/flow.yaml",
        7,
        "value.modules.0.value.content: the file names itself, which is a loop",
        "Name the script's own file.",
    ),
    "a file that names a file": Refusal(
        {"flows/review__flow/ask.py": "!inline ask.lock"},
        "flows/review__flow/ask.py",
        1,
        "it names a file by !inline instead of being one, which is a loop",
        "Put the text itself into the file.",
    ),
    "a step that starts what is not there": Refusal(
        {
            "flows/b__flow/flow.yaml": (
                "value:\n  modules:\n  - id: a\n    value: {type: script, path: f/acme/helo}\n"
            )
        },
        "flows/b__flow/flow.yaml",
        4,
        "value.modules.0.value.path: there is no script f/acme/helo in the folder",
        "Did you mean f/acme/hello?",
    ),
    "a schedule that takes a flow for a script": Refusal(
        {"config/b.schedule.yaml": "schedule: 0 0 3 * * *\ntimezone: Etc/UTC\nscript_path: f/acme/review\n"},
        "config/b.schedule.yaml",
        3,
        "script_path: there is no script f/acme/review in the folder",
        "f/acme/review is a flow: say so here.",
    ),
    "five fields of cron": Refusal(
        {"config/b.schedule.yaml": "schedule: 0 3 * * *\ntimezone: Etc/UTC\nscript_path: f/acme/hello\n"},
        "config/b.schedule.yaml",
        1,
        "schedule: '0 3 * * *' has 5 fields, not six",
        ("Write second, minute, hour, day of month, month, day of week, such as 0 */5 * * * *."),
    ),
    "a time that is none": Refusal(
        {"config/b.schedule.yaml": "schedule: 0 99 3 * * *\ntimezone: Etc/UTC\nscript_path: f/acme/hello\n"},
        "config/b.schedule.yaml",
        1,
        "schedule: '0 99 3 * * *': minute is out of range",
        ("Write second, minute, hour, day of month, month, day of week, such as 0 */5 * * * *."),
    ),
    "a zone that does not exist": Refusal(
        {
            "config/b.schedule.yaml": (
                "schedule: 0 0 3 * * *\ntimezone: America/Liman\nscript_path: f/acme/hello\n"
            )
        },
        "config/b.schedule.yaml",
        2,
        "timezone: 'America/Liman' is not a time zone",
        "Write one such as America/Lima.",
    ),
    "routes that clash": Refusal(
        {
            "config/z.http_trigger.yaml": (
                "script_path: f/acme/hello\nroute_path: acme/hook/:other\n"
                "http_method: post\nauthentication_method: none\n"
            )
        },
        "config/z.http_trigger.yaml",
        2,
        ("route_path: it clashes with f/acme/hook on post /acme/hook/:other: both answer the same requests"),
        "Change route_path of one of them.",
    ),
    "a secret variable": Refusal(
        {"config/s.variable.yaml": "value: not-a-real-secret\nis_secret: true\n"},
        "config/s.variable.yaml",
        2,
        "is_secret: a secret does not stand in git, not even encrypted",
        (
            "Remove the file, and give it by `wmctl secret set f/acme/s`. If it was ever "
            "committed, change the secret."
        ),
    ),
    "a secret in a resource": Refusal(
        {"config/account.resource.yaml": "resource_type: c_ycloud\nvalue:\n  api_key: not-a-real-key\n"},
        "config/account.resource.yaml",
        3,
        "value.api_key: this looks like a secret in clear",
        "Give it by `wmctl secret set`, and write `$var:f/acme/NAME` here.",
    ),
    "in whose name it runs": Refusal(
        {"config/nightly.schedule.yaml": _NIGHTLY + "permissioned_as: u/ana\n"},
        "config/nightly.schedule.yaml",
        9,
        "permissioned_as: in whose name an item runs does not stand in a file",
        "Remove it: wmctl runs it in the name of u/robotacme.",
    ),
    "a script that does not say that it has a preprocessor": Refusal(
        {"scripts/hello.py": "def preprocessor(event): ...\ndef main(): ...\n"},
        "scripts/hello.script.yaml",
        2,
        "has_preprocessor: it does not agree with hello.py",
        "Set it to what the script really has.",
    ),
    "names that differ in case only": Refusal(
        {"config/Plain.variable.yaml": "value: v\n"},
        "config/plain.variable.yaml",
        0,
        "it differs from config/Plain.variable.yaml only in upper and lower case",
        "Rename one of them.",
    ),
    "a customer.toml of another folder": Refusal(
        {"customer.toml": '# who\nname = "other"\n'},
        "customer.toml",
        2,
        "name is 'other', and the folder is called 'acme'",
        "Write the folder's name.",
    ),
    "an unknown setting": Refusal(
        {"customer.toml": 'name = "acme"\n[sync]\nprotekt = []\n'},
        "customer.toml",
        3,
        "protekt is not known here",
        "Did you mean protect?",
    ),
    "no customer.toml": Refusal(
        {"customer.toml": None},
        "customer.toml",
        0,
        "cannot be read (No such file or directory)",
        "Every customer's folder has a customer.toml.",
    ),
}
