"""What every connector must do, whoever the provider is: subclass the suites of its capabilities.

`ConnectorConformance` is for all, `ClientConformance` for those that call a provider;
`tests/connectors/suites.py` has those of what some clients can do. A connector that leaves out the suite of
a capability it declares fails. The suites talk to the provider's stand-in over real HTTP. They say nothing
about the provider itself: only a live smoke test, run on purpose with an account, may claim that.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import TypeAdapter

from platform_cli.local.scenarios import Answer, Drop, Refuse, Scenario
from platform_cli.scaffold.connector import list_left
from platform_core.connectors import (
    DEFAULT_TOLERANCE,
    Authentic,
    Capability,
    HealthStatus,
    Rejected,
    Rejection,
    load_connector,
)
from platform_core.errors import (
    AmbiguousOutcome,
    ConfigurationError,
    ConnectorError,
    ContractDrift,
    PermanentRefusal,
    PlatformError,
    RateLimited,
    SecretRejected,
    TransientFailure,
    UnsupportedCapability,
)
from tests.connectors.subjects import (
    ANSWER_TIMEOUT_S,
    DEFAULTED_RETRY_AFTER,
    DRIFTED_READS,
    FAILING_READS,
    NOW,
    OPEN_OUTCOMES,
    RETRY_AFTER,
    Calling,
    FixedClock,
    Golden,
    Provider,
    Subject,
)


class ConnectorConformance:
    """The suite of all connectors. `subject` is under test, `covers` are the capabilities it is about."""

    covers: ClassVar[frozenset[Capability]] = frozenset({Capability.RECEIVE_WEBHOOK})
    subject: ClassVar[Subject]

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One test per row of the subject's tables."""
        receiving, calling = self.subject.receiving, self.subject.calling
        tables: dict[str, Mapping[str, object]] = {
            "golden": receiving.golden,
            "payload": {path.stem: path for path in sorted(receiving.payloads.glob("*.json"))},
            "bad_config": calling.bad_config if calling else {},
            "refusal": calling.refusals if calling else {},
        }
        for name in set(tables) & set(metafunc.fixturenames):
            metafunc.parametrize(name, list(tables[name].values()), ids=list(tables[name]))

    # --- What it is -------------------------------------------------------------------------------------

    def test_it_is_found_by_its_name(self) -> None:
        """Through the entry point, as the platform finds it."""
        assert load_connector(self.subject.connector.name) is self.subject.connector

    def test_it_declares_something_and_is_held_to_the_suites_of_all_it_declares(self) -> None:
        """A capability without its suite would be a promise nobody checks."""
        declared = self.subject.connector.capabilities
        covered = {one for suite in type(self).__mro__ for one in vars(suite).get("covers", ())}

        assert declared
        assert sorted(declared - covered) == []

    def test_an_undeclared_capability_raises_and_a_declared_one_does_not(self) -> None:
        """Nothing is silently left undone."""
        connector = self.subject.connector
        mute = replace(connector, capabilities=frozenset())

        for capability in Capability:
            with pytest.raises(UnsupportedCapability):
                mute.require(capability)
        for capability in connector.capabilities:
            connector.require(capability)
        for opener in (mute.open_messaging, mute.open_subscriptions, mute.open_checked):
            with pytest.raises(UnsupportedCapability):
                opener({})

    def test_importing_it_reaches_for_no_network_and_no_heavy_module(self) -> None:
        """The webhook's path imports it for verification alone."""
        code = (
            "import sys; from platform_core.connectors import load_connector; "
            f"load_connector({self.subject.connector.name!r}); "
            "sys.exit(str([m for m in ('httpx', 'pydantic', 'structlog') if m in sys.modules]))"
        )
        finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

        assert finished.stderr.strip() == "[]"

    def test_nothing_is_left_to_write(self, repository: Path) -> None:
        """The list of what is not written yet, one line each; empty when it is done."""
        left = list_left(repository, self.subject.connector.name)

        assert not left, "left to write:\n" + "\n".join(f"  {n}. {one}" for n, one in enumerate(left, 1))

    def test_it_is_proved_by_golden_deliveries_and_recorded_payloads(self) -> None:
        """Computed and recorded apart from the code; without them the suite would prove nothing."""
        receiving = self.subject.receiving

        assert receiving.golden, "receiving.golden: deliveries whose verdict was computed by other means"
        assert list(receiving.payloads.glob("*.json")), f"{receiving.payloads}: events with what they become"

    # --- Receiving ----------------------------------------------------------------------------------------

    def test_golden_deliveries_get_their_verdict(self, golden: Golden) -> None:
        """Computed apart from this code."""
        verdict = self.subject.connector.verify(
            golden.headers, golden.body, secrets=golden.secrets, now=golden.now
        )

        assert verdict == golden.verdict

    @pytest.mark.parametrize("late", [timedelta(0), DEFAULT_TOLERANCE, -DEFAULT_TOLERANCE])
    def test_a_delivery_within_the_tolerance_is_fresh(self, late: timedelta) -> None:
        """Exactly the tolerance is within it, on both sides."""
        assert _stale(self._judge(now=NOW + late)) is False

    @pytest.mark.parametrize("second", [timedelta(seconds=1), timedelta(seconds=-1)])
    def test_an_authentic_delivery_outside_the_tolerance_is_stale_and_not_forged(
        self, second: timedelta
    ) -> None:
        """A second beyond it, in the past and in the future: kept apart, decided by a person."""
        beyond = DEFAULT_TOLERANCE + timedelta(seconds=1)

        assert _stale(self._judge(now=NOW + beyond * second.total_seconds())) is True

    def test_every_configured_secret_is_tried(self) -> None:
        """First, last, in the middle; one that was taken out verifies nothing any more."""
        known, other = self.subject.receiving.secret, self.subject.receiving.other_secret

        for secrets in ([known], [other, known], [other, known, other]):
            assert isinstance(self._judge(secrets=secrets), Authentic)
        assert self._judge(secrets=[other]) == Rejected(Rejection.SIGNATURE_MISMATCH)
        assert self._judge(secrets=[]) == Rejected(Rejection.SIGNATURE_MISMATCH)

    @pytest.mark.parametrize("change", [b" ", b"\n", b".", b"\xef\xbb\xbf"])
    def test_a_body_that_was_changed_is_a_mismatch(self, change: bytes) -> None:
        """A byte before or behind it is another body."""
        body, signed = self.subject.receiving.body, self._signed()

        for changed in (body + change, change + body, body[1:], b""):
            assert self._judge(signed, changed) == Rejected(Rejection.SIGNATURE_MISMATCH)

    def test_a_header_in_another_form_is_refused(self) -> None:
        """Twice, empty, in upper case, spaced, with more in it, in letters that are no ASCII."""
        name, value = list(self._signed())[-1]
        forms = ("", value.upper(), f" {value}", f"{value},a=b", f"{value}\n", f"{value}é")

        assert self._judge([]) == Rejected(Rejection.HEADER_MISSING)
        for headers in ([(name, value), (name.upper(), value)], *([(name, form)] for form in forms)):
            assert self._judge(headers) == Rejected(Rejection.HEADER_MALFORMED), headers

    def test_no_input_of_any_type_makes_it_raise(self) -> None:
        """A stranger gets a verdict, never a stack."""
        strange: list[tuple[object, object]] = [(None, None), ([None], "text"), ([("a",)], b""), ({}, 7)]

        for headers, body in [*strange, (self._signed(), [])]:
            assert isinstance(self._judge(headers, body), Rejected)

    @pytest.mark.parametrize(
        "secrets", [[], [""], ["   "], ["your-webhook-secret-goes-here-0000"], ["short"], [7], "as text"]
    )
    def test_secrets_that_could_verify_nothing_are_refused_unsaid(self, secrets: Any) -> None:
        """Where they are read, by position; a good one beside a bad one does not help."""
        good = self.subject.receiving.secret
        self.subject.connector.check_secrets([good])
        beside = [good, *secrets] if secrets and isinstance(secrets, list) else secrets

        for given in (secrets, beside):
            with pytest.raises(SecretRejected) as refusal:
                self.subject.connector.check_secrets(given)
            assert good not in refusal.value.one_line()

    @pytest.mark.parametrize(
        "body", [b"", b"null", b"[]", b"7", b"{", b'{"a":1,"a":2}', b"\xff", b"[" * 99_999]
    )
    def test_a_body_that_is_no_event_is_drift(self, body: bytes) -> None:
        """Damage is said; it is never an event without content, and never another kind of error."""
        with pytest.raises(ContractDrift):
            self.subject.connector.to_events(body)

    def test_recorded_payloads_keep_their_translation(self, payload: Path) -> None:
        """Whole events, compared field by field, and their JSON form reads back as itself."""
        record = json.loads(payload.read_text(encoding="utf-8"))
        contract: Any = self.subject.receiving.contract
        reader: TypeAdapter[list[Any]] = TypeAdapter(list[contract])

        found = list(self.subject.connector.to_events(json.dumps(record["event"]).encode("ascii")))

        assert reader.dump_python(found, mode="json") == record["expected"]
        assert reader.validate_json(reader.dump_json(found)) == found

    def _signed(self) -> Sequence[tuple[str, str]]:
        receiving = self.subject.receiving
        return receiving.sign(receiving.body, int(NOW.timestamp()), receiving.secret)

    def _judge(
        self,
        headers: Any = ...,
        body: Any = ...,
        *,
        secrets: Sequence[str] | None = None,
        now: datetime = NOW,
    ) -> Authentic | Rejected:
        receiving = self.subject.receiving
        return self.subject.connector.verify(
            self._signed() if headers is ... else headers,
            receiving.body if body is ... else body,
            secrets=[receiving.secret] if secrets is None else secrets,
            now=now,
        )


class ClientConformance(ConnectorConformance):
    """The suite of connectors that call a provider."""

    covers: ClassVar[frozenset[Capability]] = frozenset({Capability.CHECK_HEALTH})

    @property
    def calling(self) -> Calling:
        """How the client under test is opened."""
        assert self.subject.calling is not None
        return self.subject.calling

    @pytest.fixture
    def provider(self) -> Iterator[Any]:
        """A stand-in of its own for each test."""
        with self.calling.provider() as provider:
            yield provider

    @pytest.fixture
    def naps(self) -> list[float]:
        """What the client would have slept."""
        return []

    @pytest.fixture
    def client(self, provider: Any, naps: list[float]) -> Iterator[Any]:
        """A client that does not sleep and whose clock stands still."""
        config = {**provider.client_config(), "answer_timeout_s": ANSWER_TIMEOUT_S}
        client = self.calling.open(config, clock=FixedClock(), sleep=naps.append, jitter=lambda: 1.0)
        yield client
        client.close()

    # --- Configuration ------------------------------------------------------------------------------------

    def test_a_bad_configuration_is_refused_by_field_without_its_value(
        self, provider: Provider, bad_config: Mapping[str, object]
    ) -> None:
        """Unknown, missing, empty and placeholder values; None in the table means missing."""
        config = {**provider.client_config(), **bad_config}
        given = {key: value for key, value in config.items() if value is not None}

        with pytest.raises(ConfigurationError) as refusal:
            self.subject.connector.open_client(given)

        shown = refusal.value.one_line()
        field, value = next(iter(bad_config.items()))
        assert field in shown
        assert isinstance(refusal.value, SecretRejected) == (field in self.calling.secret_fields)
        assert not isinstance(value, str) or not value.strip() or value not in shown
        assert not provider.requests

    def test_its_schema_names_every_field_and_forbids_others(self, provider: Provider) -> None:
        """What an engineer or a form reads before there is an account."""
        schema: Any = self.subject.connector.config_schema()

        assert schema["additionalProperties"] is False
        assert {*provider.client_config(), *self.calling.secret_fields} <= set(schema["properties"])

    def test_no_secret_text_or_phone_is_in_any_repr_error_or_log(
        self, provider: Any, client: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Through every way in which a mutation or a read can end."""
        caplog.set_level(logging.DEBUG)
        calling = self.calling
        shown = [repr(client)]

        for scenario in [*OPEN_OUTCOMES.values(), *(row[0] for row in calling.refusals.values())]:
            calling.mutation.disturb(provider, scenario)
            shown.append(told(lambda: calling.mutation.do(provider, client)))
        for answer in DRIFTED_READS.values():
            calling.read.disturb(provider, answer)
            shown.append(told(lambda: calling.read.do(provider, client)))
        shown.append(repr(client.check()))

        everything = "\n".join([*shown, caplog.text, *(str(record.__dict__) for record in caplog.records)])
        secrets = [str(provider.client_config()[field]) for field in calling.secret_fields]
        for secret in [*secrets, *calling.unsaid(provider), "ade-up words"]:
            assert secret not in everything

    def test_its_tables_of_bad_configurations_and_refusals_are_written(self) -> None:
        """An empty table would skip what it should prove."""
        assert self.calling.bad_config, "calling.bad_config: each way in which a field can be wrong"
        assert self.calling.refusals, "calling.refusals: each documented code with the error it is"

    # --- Mutations ----------------------------------------------------------------------------------------

    def test_a_mutation_is_taken_once_by_one_request(self, provider: Any, client: Any) -> None:
        """When nothing is wrong."""
        assert self.calling.mutation.do(provider, client) == self.calling.mutation.expects
        assert (len(provider.requests), self.calling.mutation.taken(provider)) == (1, 1)

    def test_each_refusal_is_the_error_of_its_table(
        self, provider: Any, client: Any, refusal: tuple[Refuse, type[ConnectorError]]
    ) -> None:
        """The class, the provider's own code and its request id; one request and nothing taken."""
        scenario, expected = refusal
        self.calling.mutation.disturb(provider, scenario)

        with pytest.raises(ConnectorError) as raised:
            self.calling.mutation.do(provider, client)

        assert type(raised.value) is expected
        assert raised.value.provider_code == (scenario.meta_code or scenario.code)
        assert raised.value.request_id.startswith("req_")
        assert raised.value.retryable == (expected is RateLimited)
        assert (len(provider.requests), self.calling.mutation.taken(provider)) == (1, 0)

    def test_an_unknown_code_fails_closed_and_keeps_its_value(self, provider: Any, client: Any) -> None:
        """What nobody knows is never repeated automatically."""
        self.calling.mutation.disturb(provider, self.calling.unknown_code)

        with pytest.raises(PermanentRefusal) as raised:
            self.calling.mutation.do(provider, client)

        assert raised.value.provider_code == self.calling.unknown_code.code
        assert raised.value.retryable is False

    @pytest.mark.parametrize("scenario", OPEN_OUTCOMES.values(), ids=OPEN_OUTCOMES.keys())
    def test_a_mutation_without_a_clear_answer_is_ambiguous_and_never_repeated(
        self, provider: Any, client: Any, scenario: Scenario
    ) -> None:
        """The provider may have taken it: one request, whatever became of it."""
        self.calling.mutation.disturb(provider, scenario)

        with pytest.raises(AmbiguousOutcome) as raised:
            self.calling.mutation.do(provider, client)

        assert raised.value.retryable is False
        assert len(provider.requests) == 1

    def test_a_mutation_that_reached_nobody_is_transient(self, naps: list[float]) -> None:
        """The connection was refused before a byte was written: nothing was done, so it may be repeated."""
        with self.calling.provider() as gone:
            config = gone.client_config()
        client = self.calling.open(config, sleep=naps.append)

        with pytest.raises(TransientFailure):
            self.calling.mutation.do(gone, client)

        client.close()
        assert naps == []

    @pytest.mark.parametrize(("value", "seconds"), RETRY_AFTER.values(), ids=RETRY_AFTER.keys())
    def test_the_wait_a_provider_asks_for_is_a_bounded_floor(
        self, provider: Any, client: Any, value: str | None, seconds: float
    ) -> None:
        """Seconds and dates, never below zero, never beyond an hour."""
        self.calling.mutation.disturb(provider, replace(self.calling.rate_limit, retry_after=value))

        with pytest.raises(RateLimited) as raised:
            self.calling.mutation.do(provider, client)

        assert raised.value.retry_after_s == seconds

    @pytest.mark.parametrize("value", DEFAULTED_RETRY_AFTER.values(), ids=DEFAULTED_RETRY_AFTER.keys())
    def test_an_unreadable_wait_still_waits(self, provider: Any, client: Any, value: str | None) -> None:
        """The provider did ask to wait."""
        self.calling.mutation.disturb(provider, replace(self.calling.rate_limit, retry_after=value))

        with pytest.raises(RateLimited) as raised:
            self.calling.mutation.do(provider, client)

        assert 1.0 <= raised.value.retry_after_s <= 60.0

    # --- Reads --------------------------------------------------------------------------------------------

    def test_a_read_survives_failures_that_pass(self, provider: Any, client: Any, naps: list[float]) -> None:
        """It is safe to repeat, a bounded number of times, ever slower."""
        self.calling.read.disturb(provider, Refuse(503, "SERVICE_UNAVAILABLE"), Drop())

        assert self.calling.read.do(provider, client) == self.calling.read.expects
        assert len(provider.requests) == 3
        assert len(naps) == 2
        assert naps == sorted(naps)

    @pytest.mark.parametrize("scenario", FAILING_READS.values(), ids=FAILING_READS.keys())
    def test_a_read_that_keeps_failing_ends_as_transient(
        self, provider: Any, client: Any, scenario: Scenario
    ) -> None:
        """Reads are never ambiguous: they change nothing."""
        self.calling.read.disturb(provider, *[scenario] * 5)

        with pytest.raises(TransientFailure):
            self.calling.read.do(provider, client)

        assert len(provider.requests) == 3

    @pytest.mark.parametrize("answer", DRIFTED_READS.values(), ids=DRIFTED_READS.keys())
    def test_an_answer_that_is_not_what_was_asked_for_is_contract_drift(
        self, provider: Any, client: Any, answer: Answer
    ) -> None:
        """It is not repeated: the next answer would be the same."""
        self.calling.read.disturb(provider, answer)

        with pytest.raises(ContractDrift):
            self.calling.read.do(provider, client)

        assert len(provider.requests) == 1

    def test_a_rate_limited_read_is_left_to_the_queue(
        self, provider: Any, client: Any, naps: list[float]
    ) -> None:
        """The runner can wait without holding a worker."""
        self.calling.read.disturb(provider, replace(self.calling.rate_limit, retry_after="30"))

        with pytest.raises(RateLimited) as raised:
            self.calling.read.do(provider, client)

        assert (raised.value.retry_after_s, naps) == (30.0, [])

    # --- Health -------------------------------------------------------------------------------------------

    def test_a_sound_account_is_ok_with_evidence(self, provider: Any, client: Any) -> None:
        """And looking at it changes nothing."""
        self.calling.make_sound(provider)

        health = client.check()

        assert (health.status, health.checked_at) == (HealthStatus.OK, NOW)
        assert health.evidence
        assert health.latency_ms >= 0
        assert {request.method for request in provider.requests} == {"GET"}

    def test_an_account_that_needs_a_person_is_degraded(self, provider: Any, client: Any) -> None:
        """It answers, and it says what is wrong."""
        self.calling.make_sound(provider)
        self.calling.degrade(provider)

        health = client.check()

        assert health.status is HealthStatus.DEGRADED
        assert health.evidence

    @pytest.mark.parametrize(
        "scenario",
        [*FAILING_READS.values(), *DRIFTED_READS.values()],
        ids=[*FAILING_READS.keys(), *DRIFTED_READS.keys()],
    )
    def test_a_look_that_could_not_be_taken_is_down_and_raises_nothing(
        self, provider: Any, client: Any, scenario: Scenario
    ) -> None:
        """A check that could not run is never ok."""
        self.calling.make_sound(provider)
        self.calling.disturb_look(provider, *[scenario] * 5)

        health = client.check()

        assert health.status is HealthStatus.DOWN
        assert health.evidence

    def test_a_key_that_is_refused_is_misconfigured(self, provider: Any) -> None:
        """Not down: waiting would not help."""
        wrong = dict.fromkeys(self.calling.secret_fields, "not-the-key-of-this-account-0000000000")
        client = self.calling.open({**provider.client_config(), **wrong}, clock=FixedClock())

        health = client.check()

        client.close()
        assert health.status is HealthStatus.MISCONFIGURED


def _stale(verdict: Authentic | Rejected) -> bool:
    assert isinstance(verdict, Authentic), verdict
    return verdict.stale


def told(deed: Callable[[], object]) -> str:
    """Everything an error tells: its text, facts and traceback."""
    try:
        deed()
    except PlatformError as error:
        return f"{error!r} {error.one_line()} {error.facts} " + "".join(traceback.format_exception(error))
    return ""
