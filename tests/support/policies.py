"""The policy that Einstein Kids runs under, fitted to the customer of a test."""

from __future__ import annotations

from pathlib import Path

from platform_core.tenancy.policy import Policy, load_policy
from tests.support.databases import TenantDatabase

FILE = Path(__file__).resolve().parents[2] / "customers/einstein_kids/config/policy.toml"


def policy_of(tenant_db: TenantDatabase) -> Policy:
    """The policy under the slug of this database: a policy of another customer is refused."""
    policy = load_policy(FILE)
    return policy.model_copy(update={"customer": policy.customer.model_copy(update={"slug": tenant_db.slug})})
