"""The page on which somebody approves or refuses a step: it stands in for the one of Windmill's own UI.

Spanish and English by the reader's choice, without JavaScript, with every text of a flow escaped.
"""

from __future__ import annotations

import html
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Literal, TypeAlias

from platform_cli.local.windmill.answers import HttpAnswer
from platform_cli.local.windmill.flows import approvals
from platform_cli.local.windmill.jsonb import Json

if TYPE_CHECKING:
    from platform_cli.local.windmill.flows.engine import Engine
    from platform_cli.local.windmill.flows.shapes import JobView

Language: TypeAlias = Literal["es", "en"]
_LONGEST_TEXT = 2000
_STYLE = """
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { margin: 0 auto; max-width: 32rem; padding: 1.5rem 1rem; }
h1 { font-size: 1.25rem; } p.quiet { opacity: .8; }
label { display: block; margin: .75rem 0; } input, textarea, select { width: 100%; box-sizing: border-box;
 font: inherit; padding: .5rem; } input[type=checkbox] { width: auto; }
button { font: inherit; padding: .75rem 1rem; margin: .5rem .5rem 0 0; min-height: 2.75rem; cursor: pointer; }
"""
_WORDS: Mapping[Language, Mapping[str, str]] = {
    "es": {
        "title": "Aprobación",
        "asks": "Este paso espera su respuesta:",
        "flow": "Proceso",
        "who": "Su nombre",
        "approve": "Aprobar",
        "refuse": "Rechazar",
        "approved": "Gracias: quedó aprobado.",
        "refused": "Quedó rechazado.",
        "before": "Esta respuesta ya se había dado; no se repitió nada.",
        "nothing": "Este proceso no espera ninguna respuesta ahora.",
        "denied": "Este enlace no es válido. Pida uno nuevo a quien se lo envió.",
    },
    "en": {
        "title": "Approval",
        "asks": "This step waits for your answer:",
        "flow": "Flow",
        "who": "Your name",
        "approve": "Approve",
        "refuse": "Reject",
        "approved": "Thank you: it is approved.",
        "refused": "It is rejected.",
        "before": "This answer was given before; nothing was repeated.",
        "nothing": "This flow waits for no answer now.",
        "denied": "This link is not valid. Ask whoever sent it for a new one.",
    },
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What waits for an answer: the step's job, its title, the fields of its form."""

    job_id: str
    title: str
    fields: Mapping[str, Mapping[str, Json]]
    may_refuse: bool

    @classmethod
    def of(cls, engine: Engine, job: JobView) -> Asked | None:
        """What the flow waits for; None when it waits for nobody."""
        waiting = None if job.is_done else engine.waiting_step(job.id)
        if waiting is None:
            return None
        module, step_job = waiting
        suspend = module.suspend
        form = suspend.form if suspend is not None and isinstance(suspend.form, dict) else {}
        schema = form.get("schema", form)
        properties = schema.get("properties") if isinstance(schema, dict) else None
        fields = {
            name: rule
            for name, rule in (properties if isinstance(properties, dict) else {}).items()
            if isinstance(rule, dict)
        }
        return cls(step_job, module.id, fields, may_refuse=suspend is None or not suspend.hide_cancel)


def language_of(accepted: str, chosen: str | None) -> Language:
    """The one chosen, or the first known one the browser accepts; Spanish otherwise."""
    if chosen in {"es", "en"}:
        return "en" if chosen == "en" else "es"
    for part in accepted.split(","):
        tag = part.split(";")[0].strip().lower()[:2]
        if tag in {"es", "en"}:
            return "en" if tag == "en" else "es"
    return "es"


def show(language: Language, job: JobView, asked: Asked | None, *, path: str) -> HttpAnswer:
    """The page with the form, or the word that nothing is asked."""
    words = _WORDS[language]
    if asked is None:
        return _page(language, 200, f"<p>{words['nothing']}</p>")
    fields = "".join(_field(name, rule) for name, rule in asked.fields.items())
    refuse = (
        f'<button name="answer" value="refuse" formnovalidate>{words["refuse"]}</button>'
        if asked.may_refuse
        else ""
    )
    return _page(
        language,
        200,
        f"<p>{words['asks']} <strong>{_safe(asked.title)}</strong></p>"
        f'<p class="quiet">{words["flow"]}: {_safe(job.path or "")}</p>'
        f'<form method="post" action="{_safe(path)}">'
        f'<input type="hidden" name="number" value="{secrets.randbelow(approvals.LARGEST_RESUME_ID)}">'
        f'<label>{words["who"]} <input name="who" required maxlength="100" autocomplete="name"></label>'
        f'{fields}<button name="answer" value="approve">{words["approve"]}</button>{refuse}</form>',
    )


def done(language: Language, given: approvals.Answer, *, kept: bool) -> HttpAnswer:
    """The page after an answer."""
    word = "before" if not kept else "approved" if given.approved else "refused"
    return _page(language, 200 if kept else 409, f"<p>{_WORDS[language][word]}</p>")


def refused(language: Language) -> HttpAnswer:
    """The page for a link that is not good; it says nothing about the flow."""
    return _page(language, 403, f"<p>{_WORDS[language]['denied']}</p>")


def read_form(form: Mapping[str, Sequence[str]], asked: Asked) -> approvals.Answer | None:
    """The answer in a posted form; None when it was not made by this page."""
    number = _first(form, "number")
    what, who = _first(form, "answer"), _first(form, "who").strip()[:100]
    if not number.isascii() or not number.isdigit() or int(number) > approvals.LARGEST_RESUME_ID:
        return None
    if what not in {"approve", "refuse"} or (what == "refuse" and not asked.may_refuse):
        return None
    value: dict[str, Json] = {
        name: _typed(_first(form, f"field.{name}"), rule) for name, rule in asked.fields.items()
    }
    return approvals.Answer(int(number), who or None, what == "approve", value)


def _first(form: Mapping[str, Sequence[str]], name: str) -> str:
    found = form.get(name)
    return found[0].replace("\0", "") if found else ""


def _typed(text: str, rule: Mapping[str, Json]) -> Json:
    match rule.get("type"):
        case "boolean":
            return text == "on"
        case "number" | "integer":
            try:
                return Decimal(text.strip())
            except InvalidOperation:
                return None
        case _:
            return text[:_LONGEST_TEXT]


def _field(name: str, rule: Mapping[str, Json]) -> str:
    label, key = _safe(str(rule.get("title") or rule.get("description") or name)), _safe(f"field.{name}")
    choices = rule.get("enum")
    if isinstance(choices, list):
        options = "".join(f"<option>{_safe(str(choice))}</option>" for choice in choices)
        return f'<label>{label} <select name="{key}">{options}</select></label>'
    match rule.get("type"):
        case "boolean":
            return f'<label><input type="checkbox" name="{key}"> {label}</label>'
        case "number" | "integer":
            return f'<label>{label} <input name="{key}" inputmode="decimal"></label>'
        case _:
            area = f'<textarea name="{key}" rows="2" maxlength="{_LONGEST_TEXT}"></textarea>'
            return f"<label>{label} {area}</label>"


def _safe(text: str) -> str:
    return html.escape(text, quote=True)


def _page(language: Language, status: int, body: str) -> HttpAnswer:
    nonce = secrets.token_urlsafe(16)
    title = _WORDS[language]["title"]
    document = (
        f'<!doctype html><html lang="{language}"><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>'
        f'<style nonce="{nonce}">{_STYLE}</style><main><h1>{title}</h1>{body}</main></html>'
    )
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self'; frame-ancestors 'none'; "
        "base-uri 'none'"
    )
    headers = (
        ("content-type", "text/html; charset=utf-8"),
        ("content-security-policy", policy),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    )
    return HttpAnswer(status, headers, document.encode())
