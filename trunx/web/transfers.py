"""`.../transfer`: connects the one a call is with, with somebody else."""

from typing import Literal, NoReturn

from pydantic import Field

from trunx.domain.action import Action, NotInProgressError
from trunx.domain.address import RefusedAddressError
from trunx.domain.errors import ExistsError, NotFoundError
from trunx.engine.actions.transfer import Mode, NotConfirmableError, TransferAsked, TransferNotStartedError
from trunx.engine.gatekeeper import RefusedError
from trunx.engine.outbound import SwitchAwayError, SwitchOffError
from trunx.web.call_actions_path import (
    ACTING,
    BASE,
    ActionBody,
    ActionPath,
    ami_off,
    ami_unavailable,
    check_account,
    refused,
)
from trunx.web.models import Number, RequestBody
from trunx.web.operation import Asked, Operation, Reply
from trunx.web.outbound import REFUSALS, Called, refused_by_gate
from trunx.web.problems import INVALID_BODY, Fault, Kind, ProblemError

TRANSFER_UNDER_WAY = Kind(409, "transfer-under-way", "The call is being transferred already")
NO_TRANSFER = Kind(409, "no-transfer", "The call has no transfer under way")
NOT_CONFIRMABLE = Kind(409, "transfer-not-confirmable", "There is nothing to confirm")


class TransferBody(RequestBody):
    """Whom somebody is to be connected with."""

    to: Called
    caller_id: Number | None = Field(
        default=None, description="A DID of the account, which is shown to `to`; absent: the call's own."
    )
    answer_url: str | None = Field(
        default=None,
        max_length=2_000,
        description="Is sent one POST, JSON, when `to` answers; unsigned: `transfer_uuid` in it is what this "
        "request is answered with.",
        examples=["https://example.com/transfer-answer"],
    )
    mode: Mode = Field(
        default="blind",
        description="`blind`: both are connected when `to` answers. `attended`: `to` then waits until "
        "`POST .../transfer/confirm` connects them, or `POST .../transfer/cancel` ends it.",
    )


class TransferAnswer(ActionBody):
    """A transfer that is under way."""

    transfer_uuid: str = Field(description="The `id` of the call to `to`, too.")
    status: Literal["transferring", "canceled"]
    to: str


async def transfer_call(asked: Asked, path: ActionPath, body: TransferBody) -> Reply:
    """Transfer a call.

    `to` is called as any call is, through the gate. Until it answers, nothing happens to who is transferred,
    and if it does not, nothing has. With the answer the call ends with `transferred`, and the call
    `transfer_uuid` goes on.
    """
    check_account(asked, path)
    if body.answer_url is not None:
        await _check(asked, body.answer_url)
    wanted = TransferAsked(body.to, body.caller_id, body.answer_url, body.mode)
    try:
        action = await asked.ports.transfers.begin(asked.account, path.call_uuid, wanted)
    except (NotFoundError, NotInProgressError) as error:
        refused(error, path)
    except ExistsError:
        raise ProblemError(TRANSFER_UNDER_WAY, "wait for it, or cancel it") from None
    except RefusedError as error:
        raise refused_by_gate(error.verdict) from None
    except (SwitchOffError, SwitchAwayError) as error:
        _away(error)
    return Reply(201, _answer(action, "transferring"))


async def confirm_transfer(asked: Asked, path: ActionPath) -> Reply:
    """Connect an attended transfer: the one who has answered, and the one who is transferred."""
    check_account(asked, path)
    try:
        action = await asked.ports.transfers.confirm(asked.account, path.call_uuid)
    except NotFoundError as error:
        refused(error, path)
    except TransferNotStartedError:
        raise _none() from None
    except NotConfirmableError:
        raise ProblemError(NOT_CONFIRMABLE, "it is not `attended`, or nobody has answered yet") from None
    except (SwitchOffError, SwitchAwayError) as error:
        _away(error)
    return Reply(200, _answer(action, "transferring"))


async def cancel_transfer(asked: Asked, path: ActionPath) -> Reply:
    """Give a transfer up that has not connected anybody yet, attended or not; the call goes on."""
    check_account(asked, path)
    try:
        action = await asked.ports.transfers.cancel(asked.account, path.call_uuid)
    except NotFoundError as error:
        refused(error, path)
    except TransferNotStartedError:
        raise _none() from None
    except (SwitchOffError, SwitchAwayError) as error:
        _away(error)
    return Reply(200, _answer(action, "canceled"))


async def _check(asked: Asked, url: str) -> None:
    try:
        await asked.ports.post.check(url)
    except RefusedAddressError as error:
        fault = Fault(pointer="/answer_url", message=str(error))
        raise ProblemError(INVALID_BODY, "nothing is sent there", errors=[fault]) from None


def _answer(action: Action, status: Literal["transferring", "canceled"]) -> TransferAnswer:
    return TransferAnswer(transfer_uuid=action.id, status=status, to=action.asked["to"])


def _none() -> ProblemError:
    return ProblemError(NO_TRANSFER, "it has been made, has failed, or was never asked for")


def _away(error: SwitchOffError | SwitchAwayError) -> NoReturn:
    raise (ami_off() if isinstance(error, SwitchOffError) else ami_unavailable()) from None


_DOING = (*ACTING, NO_TRANSFER)

OPERATIONS = (
    Operation(
        "POST",
        f"{BASE}/transfer",
        transfer_call,
        {201: TransferAnswer},
        (*ACTING, TRANSFER_UNDER_WAY, *REFUSALS.values()),
    ),
    Operation(
        "POST",
        f"{BASE}/transfer/confirm",
        confirm_transfer,
        {200: TransferAnswer},
        (*_DOING, NOT_CONFIRMABLE),
    ),
    Operation("POST", f"{BASE}/transfer/cancel", cancel_transfer, {200: TransferAnswer}, _DOING),
)
