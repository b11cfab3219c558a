"""A receipt's claim, its flow in Windmill, and two people who may decide it: all of it, on one machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from platform_cli.local.stage import database_resource
from platform_cli.local.windmill.runtime import Runtime
from platform_cli.local.windmill.server import serving
from platform_core.tenancy.policy import Policy, store_policy
from platform_core.values import Actor
from platform_core.windmill.flows import asking_of
from tests.support.databases import Databases, TenantDatabase
from tests.support.doors import ACCOUNT, CUSTOMER, CUSTOMERS, DATABASE
from tests.support.flow_grounds import WindmillGround
from tests.support.policies import REVIEW_FLOW, policy_of
from tests.support.wmctl import rows_of
from tests.support.written_flows import new_state, until

APPROVAL = {"staff": "ana", "action": "approve", "amount": "45000", "method": "bank_app"}
REFUSAL = {"action": "reject", "staff": "carla", "reason": "no coincide"}


class Academy:
    """The customer as Windmill sees it: its scripts are run, its flows looked at."""

    def __init__(self, tenant_db: TenantDatabase, runtime: Runtime, url: str) -> None:
        self.tenant_db, self.runtime = tenant_db, runtime
        self.windmill = WindmillGround(url, runtime.admin_token)

    def run(self, script: str, **arguments: object) -> Any:  # Any: a script's result
        """Run one script to its end."""
        return self.runtime.run_script(f"f/{CUSTOMER}/{script}", arguments)

    def rows(self, query: str) -> list[dict[str, object]]:
        """What the database says."""
        return rows_of(self.tenant_db.admin_dsn, query)

    def claim(self) -> str:
        """A claim that waits for staff, and whose flow waits for them too."""
        self.run("payment_claim_create", request_id="r1", staff="bruno", phone="+56900000011", amount="45000")
        self.run("job_runner_cron", seconds=5)
        until(lambda: self._module().get("type") == "WaitingForEvents", "the flow to wait")
        return "C1"

    def flow(self) -> dict[str, Any]:
        """The flow as Windmill shows it."""
        (row,) = self.rows("SELECT flow_job FROM payments.approval_wait")
        return dict(self.windmill.until(f"jobs_u/get/{row['flow_job']}", bool))

    def ended(self) -> dict[str, Any]:
        """What the flow gave back, once it ended."""
        found = until(lambda: self.flow() if self.flow().get("type") == "CompletedJob" else None, "its end")
        assert found["success"] is True
        return dict(found["result"])

    def _module(self) -> dict[str, Any]:
        if not self.rows("SELECT 1 FROM payments.approval_wait"):
            return {}
        return dict((self.flow().get("flow_status") or {}).get("modules", [{}, {}])[1])

    def answer(self, answer: dict[str, str]) -> None:
        """Answer the flow itself, as the page of Windmill does."""
        found = self.flow()
        step = UUID(found["flow_status"]["modules"][0]["job"])
        asking = asking_of(UUID(found["id"]), step, self.windmill.call)
        assert self.windmill.server.resume(asking.resumption, answer)

    def state(self) -> tuple[object, object, object]:
        """The claim, its flow's wait, and how many decisions there are."""
        (row,) = self.rows(
            "SELECT claim.state, wait.state AS wait,"
            " (SELECT count(*) FROM payments.decision)::int AS decisions"
            " FROM payments.claim AS claim JOIN payments.approval_wait AS wait ON wait.claim_id = claim.id"
        )
        return row["state"], row["wait"], row["decisions"]


@pytest.fixture
def academy(databases: Databases) -> Iterator[Academy]:
    """Einstein Kids with its review flow in the policy."""
    with databases.tenant(CUSTOMER) as tenant_db:
        content = policy_of(tenant_db).model_dump(mode="json")
        content["payments"]["review_flow"] = REVIEW_FLOW
        with tenant_db.connect() as tx, tx.transaction():
            store_policy(tx, Policy.model_validate(content), Actor("system", "tests"))
        resources: dict[str, object] = {
            DATABASE: database_resource(tenant_db.dsn),
            ACCOUNT: {"base_url": "http://127.0.0.1:9", "api_key": "not-a-real-key-of-ycloud-000000000000"},
        }
        with (
            Runtime(CUSTOMERS, resources, state_dsn=new_state(databases.cluster)) as runtime,
            serving(runtime) as url,
        ):
            yield Academy(tenant_db, runtime, url)


def test_staff_decide_in_their_panel_and_the_flow_does_not_hang(academy: Academy) -> None:
    """The runner lets it go; it decides nothing."""
    claim = academy.claim()
    academy.run("payment_claim_decide", decision_id="d1", claim=claim, version=2, **REFUSAL)
    academy.run("job_runner_cron", seconds=5)

    assert academy.ended() == {"outcome": "decided_elsewhere", "claim": claim}
    assert academy.state() == ("rejected", "settled", 1)


def test_staff_answer_the_flow_and_it_decides_by_the_same_verb(academy: Academy) -> None:
    """Whoever decides later in the panel is refused by the verb."""
    claim = academy.claim()
    academy.answer(APPROVAL)
    result = academy.ended()
    late = academy.run("payment_claim_decide", decision_id="d1", claim=claim, version=2, **REFUSAL)

    assert (result["outcome"], result["decided_by"]) == ("approved", "ana")
    assert not late.ok
    assert "C1 is approved since" in late.text
    assert academy.state() == ("approved", "answered", 1)


def test_a_runner_that_runs_twice_starts_no_second_flow(academy: Academy) -> None:
    """One flow for one version of a claim."""
    academy.claim()
    for _ in range(2):
        academy.run("job_runner_cron", seconds=5)

    assert academy.state() == ("pending_review", "waiting", 0)
