"""The one error tree: every refusal the platform can give, with its stable code and exit status.

A leaf fixes `code` (stable slug), `http_status`, `exit_code` and `retryable`. A message says what happened,
to which thing; `next_step` says what the reader does now. Secrets never enter a message: callers name the
variable or the resource, not its value.

Exit codes: 1 failed, 2 bad input, 3 not found, 4 refused, 5 unavailable, 6 misconfigured.
"""

from __future__ import annotations

from typing import ClassVar


class PlatformError(Exception):
    """Something the platform cannot do."""

    code: ClassVar[str] = "platform_error"
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False
    default_next_step: ClassVar[str] = ""

    def __init__(self, message: str = "", *, next_step: str = "", **facts: object) -> None:
        """Use the class docstring when no message is given; `facts` are attributes for logs and tests."""
        self.message = message or (type(self).__doc__ or "").strip().split("\n")[0]
        self.next_step = next_step or self.default_next_step
        self.facts = facts
        super().__init__(self.message)

    def one_line(self) -> str:
        """The message and the next step on one line, as people see it."""
        joined = f"{self.message.rstrip('.')}. {self.next_step}" if self.next_step else self.message
        return " ".join(joined.split())


# --- What the caller sent -------------------------------------------------------------------------------


class InvalidInput(PlatformError):
    """The input is not usable as it is."""

    code = "invalid_input"
    http_status = 400
    exit_code = 2


class InvalidMoney(InvalidInput):
    """The amount is not money in that currency."""

    code = "invalid_money"


class InvalidTime(InvalidInput):
    """The time is not an instant."""

    code = "invalid_time"


class UnreadableFile(InvalidInput):
    """The file cannot be read."""

    code = "unreadable_file"


class InvalidPolicy(InvalidInput):
    """The policy file says something impossible."""

    code = "invalid_policy"


class InvalidPlan(InvalidInput):
    """The file is not a plan that this wmctl can carry out."""

    code = "invalid_plan"
    default_next_step = "Make it again with `wmctl plan --out FILE`."


class FolderRefused(InvalidInput):
    """Something in the folder cannot be kept in step with Windmill."""

    code = "folder_refused"
    default_next_step = "Correct each file that is named, then run the same command again."


class SessionInvalid(InvalidInput):
    """The session is not one whose attendance can be computed."""

    code = "session_invalid"


class NotFound(PlatformError):
    """There is no such thing."""

    code = "not_found"
    http_status = 404
    exit_code = 3


class UnknownTenant(NotFound):
    """There is no customer of that name."""

    code = "unknown_tenant"


class BackupFailed(PlatformError):
    """A copy could not be made, opened or put back."""

    code = "backup_failed"


class DeployFailed(PlatformError):
    """A deploy or its undoing did not end well; each item is named with what became of it."""

    code = "deploy_failed"
    default_next_step = "Run `wmctl plan`: it tells what was applied and what was not."


# --- What the platform refuses --------------------------------------------------------------------------


class Refused(PlatformError):
    """The platform understood and refuses."""

    code = "refused"
    http_status = 409
    exit_code = 4


class PermissionDenied(Refused):
    """The actor may not do that."""

    code = "permission_denied"
    http_status = 403


class StateConflict(Refused):
    """The thing is no longer in the state this needs."""

    code = "state_conflict"


class NotConfirmed(Refused):
    """Nobody confirmed it, and nothing was written."""

    code = "not_confirmed"


class StalePlan(StateConflict):
    """Git or Windmill has changed since the plan was made."""

    code = "stale_plan"
    default_next_step = "Nothing was written. Look at a new one: `wmctl plan`."


class DeployRunning(StateConflict):
    """Somebody else deploys this customer now."""

    code = "deploy_running"


class LockLost(StateConflict):
    """The lock of this deploy was broken by somebody; nothing more is written."""

    code = "lock_lost"
    default_next_step = "Run `wmctl plan`: it tells what was applied and what was not."


class PlanNotDeployable(Refused):
    """The plan cannot be carried out as it is."""

    code = "plan_not_deployable"


class StateUnreadable(Refused):
    """What wmctl keeps in Windmill about its deploys cannot be understood."""

    code = "state_unreadable"


class FolderChanged(StateConflict):
    """A file of the folder was changed meanwhile; nothing was written."""

    code = "folder_changed"
    default_next_step = "Run the same command again: it reads the folder anew."


class FolderBusy(Refused):
    """Another program is writing into the folder."""

    code = "folder_busy"
    retryable = True
    default_next_step = "Wait for it to end, then run the same command again."


class IdempotencyConflict(Refused):
    """The same key was used before with other content."""

    code = "idempotency_conflict"


class NotYet(Refused):
    """It is too early for that; the fact `after` says how long to wait."""

    code = "not_yet"
    retryable = True


class NotApplicable(Refused):
    """There is nothing to decide about this."""

    code = "not_applicable"


class JobInterrupted(Refused):
    """The job lost its right to act: its lease ended, its time is over or its worker was replaced."""

    code = "job_interrupted"
    retryable = True


class PanelClosed(Refused):
    """This link, or this visit, does not open the panel any more."""

    code = "panel_closed"
    http_status = 401
    default_next_step = "Ask whoever sent the link for a new one."


class FormRejected(Refused):
    """The form did not come from the panel's own page."""

    code = "form_rejected"
    http_status = 403
    default_next_step = "Go back to the page, load it again, and send it from there."


class SignatureRejected(Refused):
    """The webhook's signature is not valid."""

    code = "signature_rejected"
    http_status = 401


# --- What the platform needs and does not have ----------------------------------------------------------


class Unavailable(PlatformError):
    """Something the platform needs does not answer."""

    code = "unavailable"
    http_status = 503
    exit_code = 5
    retryable = True


class DatabaseUnavailable(Unavailable):
    """The database does not answer."""

    code = "database_unavailable"


class DatabaseClosed(Unavailable):
    """The database accepts no connections."""

    code = "database_closed"


class HostUnreachable(Unavailable):
    """The host cannot be entered over SSH."""

    code = "host_unreachable"
    default_next_step = "Nothing was sent. Check its address, its SSH and your key."


class StorageFull(Unavailable):
    """The database has no space left."""

    code = "storage_full"
    default_next_step = (
        "Free space on the database's disk, then run the same command again; nothing was stored."
    )


class ConfigurationError(PlatformError):
    """The platform is not configured for this."""

    code = "misconfigured"
    exit_code = 6


class PolicyInvalid(ConfigurationError):
    """The policy in force does not say how to decide this, or contradicts it."""

    code = "policy_invalid"


class SecretRejected(ConfigurationError):
    """A secret is missing, is a placeholder, or was refused."""

    code = "secret_rejected"


class SchemaDrift(ConfigurationError):
    """The database's schema is not the one this code needs."""

    code = "schema_drift"


# --- What a provider answered ---------------------------------------------------------------------------


class ConnectorError(PlatformError):
    """A provider refused or could not be understood."""

    code = "connector_error"
    http_status = 502

    def __init__(
        self,
        message: str = "",
        *,
        provider_code: str = "",
        request_id: str = "",
        next_step: str = "",
        **facts: object,
    ) -> None:
        """Keep the provider's own code and request id: support asks for both."""
        self.provider_code = provider_code
        self.request_id = request_id
        super().__init__(message, next_step=next_step, **facts)


class ConnectorMisconfigured(ConnectorError):
    """The connector's account or configuration is refused by the provider."""

    code = "connector_misconfigured"
    exit_code = 6


class AuthRejected(ConnectorMisconfigured):
    """The provider refuses the connector's key."""

    code = "connector_auth_rejected"


class PreconditionUnmet(ConnectorError):
    """The provider wants something first, such as balance; the queue pauses until then."""

    code = "connector_precondition"
    exit_code = 4


class PermanentRefusal(ConnectorError):
    """The provider refuses this request for good; the payload must change."""

    code = "connector_permanent"
    exit_code = 4


class RecipientRefused(PermanentRefusal):
    """The provider will not deliver to this recipient."""

    code = "connector_recipient"


class RecipientOptedOut(RecipientRefused):
    """The recipient wants no messages, says the provider; nobody writes to them again."""

    code = "connector_recipient_opted_out"


class NeedsReconciliation(ConnectorError):
    """The provider says the thing exists or is gone; read before deciding."""

    code = "connector_reconcile"
    exit_code = 4


class RateLimited(ConnectorError):
    """The provider asks to wait; nothing was done."""

    code = "connector_rate_limited"
    retryable = True

    def __init__(self, message: str = "", *, retry_after_s: float = 1.0, **facts: object) -> None:
        """`retry_after_s` is the provider's floor, never below zero."""
        self.retry_after_s = max(0.0, retry_after_s)
        super().__init__(message, **facts)  # type: ignore[arg-type]  # facts carry provider_code and request_id


class TransientFailure(ConnectorError):
    """A read failed in a way that may pass; it is safe to repeat."""

    code = "connector_transient"
    http_status = 503
    exit_code = 5
    retryable = True


class AmbiguousOutcome(ConnectorError):
    """The provider may or may not have acted; never repeat blindly."""

    code = "connector_ambiguous"
    exit_code = 5
    default_next_step = "Wait for the provider's report; if none comes a person decides."


class ContractDrift(ConnectorError):
    """The provider's answer is not one this connector understands."""

    code = "connector_contract_drift"


class UnsupportedCapability(ConnectorError):
    """The connector does not declare that capability."""

    code = "connector_unsupported"
    exit_code = 6


# --- What a Windmill answered -----------------------------------------------------------------------------


class WindmillError(PlatformError):
    """A Windmill refused or could not be understood."""

    code = "windmill_error"
    http_status = 502

    def __init__(
        self, message: str = "", *, status: int = 0, said: str = "", next_step: str = "", **facts: object
    ) -> None:
        """`status` is the HTTP status, 0 without an answer; `said` the server's words, no secrets in it."""
        self.status = status
        self.said = said
        super().__init__(message, next_step=next_step, **facts)


class WindmillTokenRejected(WindmillError):
    """Windmill does not accept the token."""

    code = "windmill_token_rejected"
    exit_code = 6
    default_next_step = "Make a new token in Windmill and give it with `wmctl target add`."


class WindmillDenied(WindmillError):
    """Windmill does not allow the token's owner to do that."""

    code = "windmill_denied"
    http_status = 403
    exit_code = 4
    default_next_step = "Use the token of an administrator, or of a member of wm_deployers."


class WindmillNotFound(WindmillError):
    """Windmill has no such thing."""

    code = "windmill_not_found"
    http_status = 404
    exit_code = 3


class WindmillRefused(WindmillError):
    """Windmill understood and refuses."""

    code = "windmill_refused"
    http_status = 409
    exit_code = 4


class WindmillFailed(WindmillError):
    """Windmill failed at it."""

    code = "windmill_failed"


class WindmillUnreachable(WindmillError):
    """Windmill does not answer; nothing was sent or changed."""

    code = "windmill_unreachable"
    http_status = 503
    exit_code = 5
    retryable = True


class WindmillUncertain(WindmillError):
    """Windmill was asked to write and did not answer: it may or may not have done it."""

    code = "windmill_uncertain"
    exit_code = 5
    default_next_step = "Run `wmctl plan`: it reads what is there now."


class NotWindmill(WindmillError):
    """What answers there is not a Windmill that can be understood."""

    code = "not_windmill"
    exit_code = 6
