"""The policy that Einstein Kids runs under, fitted to the customer of a test.

Without the flow that asks staff about claims: a test that wants it switches it on (`REVIEW_FLOW`), and all
others count their own jobs alone.
"""

from __future__ import annotations

from pathlib import Path

from platform_core.tenancy.policy import Policy, load_policy
from tests.support.databases import TenantDatabase

FILE = Path(__file__).resolve().parents[2] / "customers/einstein_kids/config/policy.toml"


REVIEW_FLOW = "review_receipt"


def policy_of(tenant_db: TenantDatabase) -> Policy:
    """The policy under the slug of this database: a policy of another customer is refused."""
    return policy_under(tenant_db.slug)


def policy_under(slug: str) -> Policy:
    """The policy for a customer of this slug."""
    policy = load_policy(FILE).without_reviews()
    return policy.model_copy(update={"customer": policy.customer.model_copy(update={"slug": slug})})


def policy_text(slug: str) -> str:
    """The same as a file."""
    text = FILE.read_text(encoding="utf-8")
    fitted = text.replace(f'review_flow = "{REVIEW_FLOW}"\n', "")
    return fitted.replace('slug = "einstein_kids"', f'slug = "{slug}"')
