"""`/api/webhooks`: where the account's events are sent to, what was sent, and sending it again."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field

from trunx.domain.address import RefusedAddressError
from trunx.domain.errors import NotFoundError
from trunx.domain.log import EventType
from trunx.domain.webhook import (
    ROTATION,
    Delivery,
    DeliveryStatus,
    Webhook,
    new_secret,
    new_webhook_id,
)
from trunx.web.models import AnswerBody, Deleted, Line, RequestBody, RequestPath, Time
from trunx.web.operation import Asked, Operation, Reply
from trunx.web.paging import Listing, PageQuery
from trunx.web.problems import INVALID_BODY, Fault, Kind, ProblemError

MOST_REDELIVERED = 10_000

WEBHOOK_NOT_FOUND = Kind(404, "webhook-not-found", "The account has no such webhook")
DELIVERY_NOT_FOUND = Kind(404, "delivery-not-found", "This event was not sent to this webhook")
WEBHOOK_DISABLED = Kind(409, "webhook-disabled", "The webhook is disabled")

WebhookUrl = Annotated[
    str,
    Field(
        min_length=1,
        max_length=2_000,
        description="Where to: `https://` or `http://`, without name and password, on the internet.",
        examples=["https://example.com/trunx"],
        json_schema_extra={"format": "webhook-url"},
    ),
]
Types = Annotated[
    list[Annotated[EventType, Field(strict=False)]],
    Field(max_length=len(EventType), description="Only events of these types; all when it is empty."),
]


class WebhookPath(RequestPath):
    """Names a webhook."""

    id: str = Field(pattern=r"^wh_[0-9a-f]{24}$", examples=["wh_0123456789abcdef01234567"])


class DeliveryPath(WebhookPath):
    """Names a delivery of a webhook, by the event's `seq`."""

    delivery: int = Field(ge=1, lt=2**53, examples=[42])


class WebhookNew(RequestBody):
    """An endpoint to register."""

    url: WebhookUrl
    types: Types = Field(default_factory=list)
    label: Line | None = Field(default=None, description="What people call it.")


class WebhookChange(RequestBody):
    """What to change of a webhook."""

    url: WebhookUrl = Field(default="")
    types: Types = Field(default_factory=list)
    label: Line | None = Field(default=None, description="What people call it; `null` clears.")
    enabled: bool = Field(
        default=True,
        description="`false` gives up what waits. Enabled again, it gets what happens from then on; what it "
        "missed can be redelivered.",
    )


class WebhookAnswer(AnswerBody):
    """An endpoint."""

    id: str
    url: str
    types: list[str]
    label: str | None
    enabled: bool
    disabled_because: str | None
    failing_since: Time | None = Field(description="The first failure after which nothing was taken.")
    former_secret_until: Time | None = Field(description="Until then the secret before this one signs too.")
    created_at: Time
    secret: str = Field(
        default="", description="The key of the signatures: shown when it is made, and never again."
    )


class WebhookList(Listing):
    """A page of webhooks."""

    webhooks: list[WebhookAnswer]


class WebhookDeleted(AnswerBody):
    """Nothing is sent there any more."""

    deleted: Deleted
    id: str


class DeliveryQuery(PageQuery):
    """Which deliveries."""

    status: DeliveryStatus | None = None


class DeliveryAnswer(AnswerBody):
    """One event on its way to one webhook."""

    id: int = Field(description="The event's `seq`.")
    event: str = Field(description="The event's `id`, which every request carries as `webhook-id`.")
    type: str
    call: str | None
    status: DeliveryStatus
    attempts: int = Field(description="How often it was tried.")
    created_at: Time
    next_at: Time | None = Field(description="When it is tried next.")
    tried_at: Time | None = Field(description="When it was tried last.")
    answer: int | None = Field(description="The HTTP status of the last try.")
    problem: str | None = Field(description="Why there was none, or why it was given up.")
    ms: int | None = Field(description="How long the last try took, in milliseconds.")


class DeliveryList(Listing):
    """A page of deliveries, the newest event first."""

    deliveries: list[DeliveryAnswer]


class RedeliverRange(RequestBody):
    """Which events to send again."""

    from_: int = Field(alias="from", ge=1, lt=2**53, description="The first event's `seq`.")
    to: int = Field(
        ge=1, lt=2**53, description=f"The last event's `seq`: at most {MOST_REDELIVERED:,} events in all."
    )


class Redelivered(AnswerBody):
    """How many events are sent again."""

    redelivered: int


async def create_webhook(asked: Asked, body: WebhookNew) -> Reply:
    """Register an endpoint that gets the account's events.

    Each event is a POST, signed as Standard Webhooks (standardwebhooks.com) says, with `webhook-id`,
    `webhook-timestamp` and `webhook-signature`. The body has `type`, `timestamp` and, as `data`, the event as
    `GET /api/events` shows it. Answer with 2xx within 15 seconds; else the event comes again, for 24 hours.
    An event may come twice: `webhook-id` tells. A call's events come in their order.
    """
    await _check(asked, body.url)
    webhook = Webhook(
        id=new_webhook_id(),
        account=asked.account,
        url=body.url,
        types=tuple(dict.fromkeys(body.types)),
        label=body.label,
        enabled=True,
        secret=new_secret(),
        created_at=datetime.now(UTC),
    )
    await asked.ports.webhooks.create(webhook)
    return Reply(201, _answer(webhook, secret=webhook.secret))


async def list_webhooks(asked: Asked, query: PageQuery) -> Reply:
    """List the account's webhooks, newest first."""
    found = await asked.ports.webhooks.page(asked.account, query.page())
    rows = [_answer(webhook) for webhook in found.rows]
    return Reply(200, WebhookList(webhooks=rows, count=len(rows), next=found.next))


async def get_webhook(asked: Asked, path: WebhookPath) -> Reply:
    """Get a webhook."""
    return Reply(200, _answer(await _webhook(asked, path.id)))


async def update_webhook(asked: Asked, path: WebhookPath, body: WebhookChange) -> Reply:
    """Change a webhook; what is not named stays."""
    fields = body.model_dump(exclude_unset=True)
    if "url" in fields:
        await _check(asked, body.url)
    if "types" in fields:
        fields["types"] = list(dict.fromkeys(body.types))
    try:
        return Reply(200, _answer(await asked.ports.webhooks.change(asked.account, path.id, fields)))
    except NotFoundError:
        raise _not_found(path.id) from None


async def delete_webhook(asked: Asked, path: WebhookPath) -> Reply:
    """Delete a webhook, and what is kept of its deliveries."""
    try:
        await asked.ports.webhooks.delete(asked.account, path.id)
    except NotFoundError:
        raise _not_found(path.id) from None
    return Reply(200, WebhookDeleted(deleted=True, id=path.id))


async def rotate_webhook_secret(asked: Asked, path: WebhookPath) -> Reply:
    """Make a new secret.

    For 24 hours each request is signed with the former one too, so that the receiver can change over at any
    time between.
    """
    webhook = await _webhook(asked, path.id)
    fields: dict[str, Any] = {
        "secret": new_secret(),
        "former_secret": webhook.secret,
        "former_until": datetime.now(UTC) + ROTATION,
    }
    try:
        changed = await asked.ports.webhooks.change(asked.account, path.id, fields)
    except NotFoundError:
        raise _not_found(path.id) from None
    return Reply(201, _answer(changed, secret=changed.secret))


async def list_deliveries(asked: Asked, path: WebhookPath, query: DeliveryQuery) -> Reply:
    """List what was sent to a webhook, or will be; the newest event first."""
    try:
        found = await asked.ports.webhooks.deliveries(asked.account, path.id, query.status, query.page())
    except NotFoundError:
        raise _not_found(path.id) from None
    rows = [_delivery(delivery) for delivery in found.rows]
    return Reply(200, DeliveryList(deliveries=rows, count=len(rows), next=found.next))


async def redeliver_one(asked: Asked, path: DeliveryPath) -> Reply:
    """Send one event to a webhook again, whatever became of it."""
    await _enabled(asked, path.id)
    try:
        delivery = await asked.ports.webhooks.send_again(asked.account, path.id, path.delivery)
    except NotFoundError as error:
        if error.args[0] == "webhook":
            raise _not_found(path.id) from None
        raise ProblemError(DELIVERY_NOT_FOUND, f"event {path.delivery} was not sent to {path.id}") from None
    return Reply(202, _delivery(delivery))


async def redeliver_range(asked: Asked, path: WebhookPath, body: RedeliverRange) -> Reply:
    """Send a range of events to a webhook again, also those that it never got.

    Those of types that the webhook does not want are left out.
    """
    if not 0 <= body.to - body.from_ < MOST_REDELIVERED:
        message = f"`to` is `from` or more, and at most {MOST_REDELIVERED:,} events are sent again at once"
        raise ProblemError(INVALID_BODY, message, errors=[Fault(pointer="/to", message=message)])
    await _enabled(asked, path.id)
    try:
        count = await asked.ports.webhooks.redeliver(asked.account, path.id, body.from_, body.to)
    except NotFoundError:
        raise _not_found(path.id) from None
    return Reply(202, Redelivered(redelivered=count))


async def _check(asked: Asked, url: str) -> None:
    try:
        await asked.ports.post.check(url)
    except RefusedAddressError as error:
        fault = Fault(pointer="/url", message=str(error))
        raise ProblemError(INVALID_BODY, "events are not sent there", errors=[fault]) from None


async def _webhook(asked: Asked, webhook_id: str) -> Webhook:
    try:
        return await asked.ports.webhooks.get(asked.account, webhook_id)
    except NotFoundError:
        raise _not_found(webhook_id) from None


async def _enabled(asked: Asked, webhook_id: str) -> None:
    if not (await _webhook(asked, webhook_id)).enabled:
        raise ProblemError(WEBHOOK_DISABLED, 'enable it first: PATCH it with {"enabled": true}')


def _not_found(webhook_id: str) -> ProblemError:
    return ProblemError(WEBHOOK_NOT_FOUND, f"this account has no webhook {webhook_id}")


def _answer(webhook: Webhook, **secret: str) -> WebhookAnswer:
    return WebhookAnswer(
        id=webhook.id,
        url=webhook.url,
        types=list(webhook.types),
        label=webhook.label,
        enabled=webhook.enabled,
        disabled_because=webhook.disabled_because,
        failing_since=webhook.failing_since,
        former_secret_until=webhook.former_until,
        created_at=webhook.created_at,
        **secret,
    )


def _delivery(delivery: Delivery) -> DeliveryAnswer:
    last = delivery.last
    return DeliveryAnswer(
        id=delivery.seq,
        event=delivery.event,
        type=delivery.type,
        call=delivery.call,
        status=delivery.status,
        attempts=delivery.attempts,
        created_at=delivery.created_at,
        next_at=delivery.next_at,
        tried_at=last and last.at,
        answer=last and last.answer,
        problem=delivery.problem,
        ms=last and last.ms,
    )


_ONE = "/api/webhooks/{id}"
OPERATIONS = (
    Operation("POST", "/api/webhooks", create_webhook, {201: WebhookAnswer}, idempotent=True),
    Operation("GET", "/api/webhooks", list_webhooks, {200: WebhookList}),
    Operation("GET", _ONE, get_webhook, {200: WebhookAnswer}, (WEBHOOK_NOT_FOUND,)),
    Operation("PATCH", _ONE, update_webhook, {200: WebhookAnswer}, (WEBHOOK_NOT_FOUND,)),
    Operation("DELETE", _ONE, delete_webhook, {200: WebhookDeleted}, (WEBHOOK_NOT_FOUND,)),
    Operation(
        "POST",
        f"{_ONE}/rotate",
        rotate_webhook_secret,
        {201: WebhookAnswer},
        (WEBHOOK_NOT_FOUND,),
        idempotent=True,
    ),
    Operation("GET", f"{_ONE}/deliveries", list_deliveries, {200: DeliveryList}, (WEBHOOK_NOT_FOUND,)),
    Operation(
        "POST",
        f"{_ONE}/deliveries/{{delivery}}/redeliver",
        redeliver_one,
        {202: DeliveryAnswer},
        (WEBHOOK_NOT_FOUND, DELIVERY_NOT_FOUND, WEBHOOK_DISABLED),
    ),
    Operation(
        "POST",
        f"{_ONE}/redeliver",
        redeliver_range,
        {202: Redelivered},
        (WEBHOOK_NOT_FOUND, WEBHOOK_DISABLED),
    ),
)
