from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from platform_core.errors import ConfigurationError, InvalidInput
from platform_core.messaging.contracts import Party, TemplateMessage
from platform_core.messaging.form import (
    Form,
    decide_form,
    render_template,
    render_text,
    require_words,
)
from platform_core.tenancy.policy import PURPOSES, Policy, Template, load_policy
from tests.support.messaging import NOON
from tests.support.policies import FILE

TO = Party(phone="+56900000001")
SECOND = timedelta(seconds=1)
DAY = timedelta(hours=24)


@pytest.fixture(scope="module")
def policy() -> Policy:
    """Einstein Kids' own."""
    return load_policy(FILE)


@pytest.mark.parametrize(
    ("last_inbound_at", "opted_out", "expected"),
    [
        (NOON, False, Form.TEXT),
        (NOON - DAY + SECOND, False, Form.TEXT),
        (NOON - DAY, False, Form.TEMPLATE),
        (NOON - DAY - SECOND, False, Form.TEMPLATE),
        (None, False, Form.TEMPLATE),
        (NOON, True, Form.SUPPRESSED),
        (None, True, Form.SUPPRESSED),
    ],
)
def test_text_goes_inside_the_window_and_a_template_outside_it(
    last_inbound_at: datetime | None, opted_out: bool, expected: Form
) -> None:
    """The window is open for 24 hours less nothing; who opted out gets neither."""
    form = decide_form(last_inbound_at=last_inbound_at, opted_out=opted_out, now=NOON, window_hours=24)

    assert form is expected


def test_every_purpose_of_the_customer_can_be_written_in_both_forms(policy: Policy) -> None:
    """What the policy promises can be filled by what each purpose offers."""
    for purpose, names in PURPOSES.items():
        values = {name: f"<{name}>" for name in names}
        require_words(policy, purpose, values)

        assert "{" not in render_text(policy, purpose, values, to=TO).body


def test_a_value_that_is_missing_is_named(policy: Policy) -> None:
    """The mistake is found when the message is asked for, not days later."""
    with pytest.raises(InvalidInput, match=r"'claim.approved' needs a value for '(amount|claim)'"):
        require_words(policy, "claim.approved", {})


def test_a_purpose_without_words_is_a_configuration_error(policy: Policy) -> None:
    """The message names the section of policy.toml."""
    with pytest.raises(ConfigurationError) as refused:
        require_words(policy, "claim.unheard_of", {})

    assert refused.value.next_step == "Add 'claim.unheard_of' to [texts] of policy.toml."


def test_white_space_in_a_template_parameter_becomes_one_space(policy: Policy) -> None:
    """WhatsApp refuses line breaks, tabs and runs of spaces in parameters."""
    template = Template(name="t", language="es", parameters=("reason", "claim"))
    changed = policy.model_copy(update={"templates": {"x": template}})

    written = render_template(changed, "x", {"reason": "línea\n\tuno     dos ", "claim": "C1"}, to=TO)

    assert written == TemplateMessage(to=TO, name="t", language="es", parameters=("línea uno dos", "C1"))


def test_braces_and_format_tricks_in_values_and_texts_are_only_text(policy: Policy) -> None:
    """A value is never a format, and a placeholder never reaches an attribute."""
    changed = policy.model_copy(update={"texts": {"x": "{{literal}} {name}", "y": "{name.__class__}"}})

    assert render_text(changed, "x", {"name": "{0} {name}"}, to=TO).body == "{literal} {0} {name}"
    with pytest.raises(InvalidInput, match=r"needs a value for 'name\.__class__'"):
        render_text(changed, "y", {"name": "a"}, to=TO)


@pytest.mark.parametrize("value", ["", "x" * 5000])
def test_a_text_whatsapp_would_refuse_is_refused_here(policy: Policy, value: str) -> None:
    """Empty and too long texts never reach the provider."""
    changed = policy.model_copy(update={"texts": {"x": "{name}"}})

    with pytest.raises(InvalidInput, match=f"has {len(value)} characters"):
        render_text(changed, "x", {"name": value}, to=TO)


def test_a_lone_brace_in_a_text_is_a_configuration_error(policy: Policy) -> None:
    """The next step says how a brace is written."""
    changed = policy.model_copy(update={"texts": {"x": "{name"}})

    with pytest.raises(ConfigurationError, match="lone brace"):
        render_text(changed, "x", {"name": "a"}, to=TO)
