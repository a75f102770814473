"""What the engine and the API need of the AI vendor, and of the stores of agents and talks.

The rules of `ports.py` hold here too. What the vendor answers is a `VendorError` where it is not a success.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from trunx.domain.agent import Agent, Knowledge, Tool, VendorKind
from trunx.domain.agent import VendorError as VendorError  # noqa: PLC0414 - named beside who raises it
from trunx.domain.records import Page, PartState, Rows, TalkLease
from trunx.domain.talk import News, Talk, TalkRequest, VendorCall


class VendorAgents(Protocol):
    """The vendor's agents, tools and corpora. Every method raises `VendorError`.

    Names are unique; `create_...` raises `unknown` when the answer was lost, and `find` then tells.
    """

    async def find(self, kind: VendorKind, name: str) -> Sequence[str]:
        """The vendor's ids of all that has this very name."""

    async def create_agent(self, name: str, template: Mapping[str, Any]) -> str:
        """The vendor's id. What it keeps is compared with what was asked for."""

    async def put_agent(self, vendor_id: str, name: str, template: Mapping[str, Any]) -> None:
        """Makes the vendor's agent be so, whole, and compares. `missing`: it is gone."""

    async def agent_differs(self, vendor_id: str, name: str, template: Mapping[str, Any]) -> bool:
        """Whether the vendor's agent is not as it should be. `missing`: it is gone."""

    async def delete_agent(self, vendor_id: str) -> None:
        """One that is gone already is deleted."""

    async def create_tool(self, name: str, definition: Mapping[str, Any]) -> str: ...

    async def put_tool(self, vendor_id: str, name: str, definition: Mapping[str, Any]) -> None:
        """`missing`: it is gone."""

    async def tool_differs(self, vendor_id: str, name: str, definition: Mapping[str, Any]) -> bool:
        """Whether the vendor's tool is not as it should be. `missing`: it is gone."""

    async def delete_tool(self, vendor_id: str) -> None: ...

    async def create_corpus(self, name: str, description: str | None) -> str: ...

    async def corpus(self, vendor_id: str) -> Mapping[str, Any]:
        """The vendor's corpus: `name`, `description`, `stats`."""

    async def change_corpus(self, vendor_id: str, name: str, description: str | None) -> None: ...

    async def delete_corpus(self, vendor_id: str) -> None: ...

    async def add_url(self, vendor_id: str, name: str, url: str) -> str:
        """A source that the vendor reads from the web; the source's id."""

    async def add_document(self, vendor_id: str, name: str, mime: str, content: bytes) -> str:
        """A document, uploaded; the source's id."""

    async def sources(self, vendor_id: str) -> Sequence[Mapping[str, Any]]:
        """The corpus' sources, as the vendor answers them."""


class VendorCalls(Protocol):
    """The vendor's calls. Every method raises `VendorError`."""

    async def create_call(self, wanted: TalkRequest) -> VendorCall:
        """Has the vendor dial our Asterisk, once: an answer that was lost is looked up by the request's id.
        `unknown`: even the look-up failed; the vendor may dial.
        """

    async def find_call(self, request: str) -> VendorCall | None:
        """The call that was made for the talk with this id."""

    async def call(self, vendor_call: str) -> VendorCall:
        """`missing`: there is none."""

    async def hang_up(self, vendor_call: str) -> bool:
        """Ends a call that is joined; False: it is not joined, or has ended (422)."""

    async def transcript(self, vendor_call: str) -> str:
        """All that was said, a line each: `Agent: ...`, `User: ...`."""

    async def state(self) -> PartState:
        """Answers within two seconds; never raises."""


class Agents(Protocol):
    """The accounts' agents."""

    async def add(self, agent: Agent) -> None:
        """Raises `NotFoundError` with (`tools` | `knowledge`, the id of one that is not there), as `change`
        does. A default agent takes the place of the former one.
        """

    async def get(self, account: str, agent_id: str) -> Agent:
        """Raises `NotFoundError`."""

    async def page(self, account: str, page: Page) -> Rows[Agent]: ...

    async def change(self, agent: Agent, before: Agent) -> bool:
        """Replaces the row, but for `vendor_id`, if it still is `before`: False when somebody changed it.

        Raises `NotFoundError`.
        """

    async def delete(self, account: str, agent_id: str) -> Agent:
        """What was deleted. Its vendor's agent, if any, is noted as left over in the same transaction.

        Raises `NotFoundError`.
        """

    async def made(self, agent: Agent, vendor_id: str) -> None:
        """Notes which vendor's agent stands for it now; a former one is left over."""

    async def serving(self, account: str, named: str | None, did: str | None) -> Agent:
        """Who takes a caller: the named agent, else the DID's, else the account's default, else the account's
        only one. Raises `NotFoundError`.
        """


class LeftOvers(Protocol):
    """What is to be deleted at the vendor's. Stores note what they delete in the same transaction."""

    async def expect(self, kind: VendorKind, name: str) -> bool:
        """Notes that something of this name is about to be made; False: that is noted already."""

    async def expected(self, before: datetime) -> Sequence[tuple[VendorKind, str]]:
        """What was to be made, and has neither succeeded nor failed since: (kind, name)."""

    async def standing(self, vendor_ids: Collection[str]) -> set[str]:
        """Those of them that stand for a row."""

    async def due(self) -> Sequence[tuple[VendorKind, str]]:
        """What is to be deleted: (kind, vendor's id)."""

    async def cleared(self, named: str) -> None:
        """What was noted under this id or name is in order."""


class Tools(Protocol):
    """The accounts' tools."""

    async def add(self, tool: Tool) -> None: ...

    async def get(self, account: str, tool_id: str) -> Tool:
        """Raises `NotFoundError`."""

    async def several(self, account: str, ids: Collection[str]) -> Sequence[Tool]:
        """Those that exist."""

    async def page(self, account: str, page: Page) -> Rows[Tool]: ...

    async def change(self, tool: Tool, before: Tool) -> bool:
        """Replaces the definition, if it still is that of `before`: False when somebody changed it.

        Raises `NotFoundError`.
        """

    async def made(self, tool: Tool, vendor_id: str) -> None:
        """Notes which vendor's tool stands for it now; the former one is left over, and so are the vendor's
        agents that were given it: they must be made anew.
        """

    async def delete(self, account: str, tool_id: str) -> Tool:
        """Raises `NotFoundError`, and `InUseError` when agents have it. Its vendor's tool is left over."""


class KnowledgeBases(Protocol):
    """The accounts' knowledge."""

    async def add(self, knowledge: Knowledge) -> None: ...

    async def get(self, account: str, knowledge_id: str) -> Knowledge:
        """Raises `NotFoundError`."""

    async def several(self, account: str, ids: Collection[str]) -> Sequence[Knowledge]:
        """Those that exist."""

    async def page(self, account: str, page: Page) -> Rows[Knowledge]: ...

    async def change(self, knowledge: Knowledge, before: Knowledge) -> bool:
        """Replaces name and description, if they still are those of `before`: False when somebody changed
        them. The vendor's agents that were told of it must be made anew. Raises `NotFoundError`.
        """

    async def made(self, knowledge: Knowledge, vendor_id: str) -> None:
        """As with `Tools`."""

    async def delete(self, account: str, knowledge_id: str) -> Knowledge:
        """Raises `NotFoundError`, and `InUseError` when agents have it. Its corpus is left over."""


class Talks(Protocol):
    """Talks, as they are kept; each change tells the account's log in the same transaction."""

    async def add(self, talk: Talk) -> None: ...

    async def settle(self, talk_id: str, news: News) -> Talk:
        """Lets a talk become what the news make of it, forward only. Raises `NotFoundError`."""

    async def of_vendor(self, vendor_call: str) -> Talk:
        """Raises `NotFoundError`."""

    async def get(self, talk_id: str) -> Talk:
        """Raises `NotFoundError`."""

    async def of_calls(self, ids: Collection[str]) -> Mapping[str, Sequence[Talk]]:
        """The talks of each call, in order."""

    async def overdue(self, before: datetime, limit: int) -> Sequence[Talk]:
        """Talks that are not settled and about which the vendor is to be asked, for they are due, or their
        call has ended: at most `limit`, the longest overdue. They are put off for a while, so that nobody
        else asks meanwhile.
        """

    async def live(self) -> Sequence[TalkLease]:
        """The places of all talks that are not over, whichever process has them."""


class TalkPlaces(Protocol):
    """How many talks an account has at once, shared by all processes. A place that nobody renews comes free.

    Each method raises `UnavailableError` when that cannot be told.
    """

    async def take(self, account: str, talk_id: str) -> bool:
        """False: all are taken. Asked again for the same talk, it is not counted twice."""

    async def renew(self, places: Iterable[TalkLease]) -> None: ...

    async def release(self, account: str, talk_id: str) -> None: ...
