"""What all actions on live calls share: how they name the call, how they say no, and how answers are written.

These are the contract's own paths and its snake case, unlike the rest of the API.
"""

from typing import Annotated, Any, NoReturn

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from trunx.domain.action import NotInProgressError
from trunx.domain.call import Status
from trunx.domain.errors import NotFoundError
from trunx.web.call_path import CALL_NOT_FOUND, call_not_found
from trunx.web.models import RequestPath
from trunx.web.operation import Asked
from trunx.web.outbound import AMI_OFF, AMI_UNAVAILABLE
from trunx.web.problems import Kind, ProblemError

BASE = "/v1/voice/accounts/{auth_id}/calls/{call_uuid}"
NOT_YOUR_ACCOUNT = Kind(403, "not-your-account", "The key is another account's")
CALL_NOT_IN_PROGRESS = Kind(409, "call-not-in-progress", "The call is not in progress")
ACTING = (NOT_YOUR_ACCOUNT, CALL_NOT_FOUND, CALL_NOT_IN_PROGRESS, AMI_OFF, AMI_UNAVAILABLE)
"""Why an action is not begun."""
LOOKING = (NOT_YOUR_ACCOUNT, CALL_NOT_FOUND)
"""Why nothing is shown of a call."""


def _whole(written: Any) -> Any:
    return int(written) if isinstance(written, float) and written.is_integer() else written


Whole = Annotated[int, BeforeValidator(_whole)]
"""To JSON Schema 3.0 is an integer too."""


class ActionPath(RequestPath):
    """Names a call as the contract does."""

    auth_id: str = Field(description="The account that the key belongs to.", examples=["MA0123456789abcdef"])
    call_uuid: str = Field(
        pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        description="The call's `id`.",
        examples=["650e8400-e29b-41d4-a716-446655440000"],
    )


class ActionBody(BaseModel):
    """What an answer holds, in the contract's snake case; a field that is not set does not appear."""

    model_config = ConfigDict(frozen=True)


def check_account(asked: Asked, path: ActionPath) -> None:
    """Raises `ProblemError`: the path names an account that the key is not for."""
    if path.auth_id != asked.account:
        raise ProblemError(NOT_YOUR_ACCOUNT, "name the account that the key belongs to")


def refused(error: NotFoundError | NotInProgressError, path: ActionPath) -> NoReturn:
    """Raises the `ProblemError` for an action that was not begun."""
    if isinstance(error, NotFoundError):
        raise call_not_found(path.call_uuid) from None
    status = error.call.status
    over = status in {Status.COMPLETED, Status.FAILED}
    raise ProblemError(
        CALL_NOT_IN_PROGRESS,
        f"the call is {status.value}: it {'is over' if over else 'has not been answered yet'}",
        call_status=status.value,
    ) from None


def ami_off() -> ProblemError:
    """No Asterisk is configured that could act."""
    return ProblemError(AMI_OFF, "the operator has not set TRUNX_AMI_URL")


def ami_unavailable() -> ProblemError:
    """Asterisk is out of reach: nothing was begun."""
    return ProblemError(
        AMI_UNAVAILABLE, "nothing was done to the call; try again", headers={"Retry-After": "5"}
    )
