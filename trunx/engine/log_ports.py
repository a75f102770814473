"""What is needed of the accounts' log and of its webhooks; the rules of `ports.py` hold here too."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from trunx.domain.call import Event
from trunx.domain.records import Page, Rows
from trunx.domain.webhook import Delivery, DeliveryStatus, Due, Outcome, Parcel, Turn, Webhook


class Bell(Protocol):
    """Rings when there is news."""

    def ring(self) -> None: ...

    async def wait(self, seconds: float) -> None:
        """Returns when it has rung since the last time, or after `seconds`. Never raises."""


class News(Protocol):
    """Tells at once that events were added to the log, also by another process. Now and then a ring is lost:
    who waits looks by itself too.
    """

    def listening(self, account: str = "") -> AbstractContextManager[Bell]:
        """For the events of `account`, or of all."""


class Log(Protocol):
    """The accounts' events, in their order."""

    async def read(self, account: str, after: int, limit: int) -> Sequence[Event]:
        """At most `limit` events whose `seq` is larger than `after`."""

    async def head(self, account: str) -> int:
        """The newest event's `seq`; 0 when there never was one."""

    async def first(self, account: str) -> int:
        """The `seq` of the oldest event that is kept; where none is, that of the next one."""

    def listening(self, account: str) -> AbstractContextManager[Bell]:
        """As `News` does."""


class Webhooks(Protocol):
    """Endpoints, and what was sent to them. Methods that name one raise `NotFoundError`."""

    async def create(self, webhook: Webhook) -> None:
        """It gets the events from now on."""

    async def get(self, account: str, webhook_id: str) -> Webhook: ...

    async def page(self, account: str, page: Page) -> Rows[Webhook]: ...

    async def change(self, account: str, webhook_id: str, fields: Mapping[str, Any]) -> Webhook:
        """Sets the fields that are named.

        Disabled, it loses what waits; enabled again, it begins with what is new.
        """

    async def delete(self, account: str, webhook_id: str) -> None: ...

    async def deliveries(
        self, account: str, webhook_id: str, status: DeliveryStatus | None, page: Page
    ) -> Rows[Delivery]:
        """The newest event first. Raises `InvalidCursorError`."""

    async def send_again(self, account: str, webhook_id: str, seq: int) -> Delivery:
        """Has a delivery made once more, whatever became of it."""

    async def redeliver(self, account: str, webhook_id: str, first: int, last: int) -> int:
        """The same for all wanted events from `first` to `last`, also those never sent; how many they are."""


class Outbox(Protocol):
    """What is on its way to webhooks. One process at a time has an endpoint's deliveries."""

    async def due(self, owner: str) -> Due:
        """What there is to do for the process `owner`."""

    async def turn(
        self,
        webhook_id: str,
        owner: str,
        settled: Sequence[tuple[Parcel, Outcome]],
        busy: Collection[int],
        most: int,
    ) -> Turn | None:
        """Keeps what came of parcels, and hands out more: so many that with the `busy` ones (by `seq`) there
        are at most `most`. None: the endpoint is another's, disabled, or gone.

        A turn with no parcel while none is busy gives the endpoint back.
        """


class Post(Protocol):
    """Sends requests to webhooks."""

    async def check(self, url: str) -> None:
        """Raises `RefusedAddressError`: nothing would be sent there."""

    async def send(self, url: str, event: str, secrets: Sequence[str], body: str) -> Outcome:
        """One request, signed by each of the secrets, within seconds; never raises."""
