"""What the engine and the API need of the AI vendor, and of the stores of agents and talks.

The rules of `ports.py` hold here too. What the vendor answers is a `VendorError` where it is not a success.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol

from trunx.domain.agent import Agent, Knowledge, Tool
from trunx.domain.records import Page, PartState, Rows
from trunx.domain.talk import Talk, TalkRequest, VendorCall

Trouble = Literal["off", "credentials", "payment", "invalid", "missing", "busy", "unavailable", "unknown"]
"""`off`: no key is configured. `invalid`: the vendor refuses what was asked for (400, 422). `missing`: 404.
`busy`: 429 and 503. `unavailable`: nothing was done. `unknown`: it may have been done.
"""


class VendorError(Exception):
    """The vendor did not do it. `sentence` is fit for users; `retry_after` is in seconds."""

    def __init__(self, trouble: Trouble, sentence: str, retry_after: float | None = None) -> None:
        super().__init__(sentence)
        self.trouble = trouble
        self.sentence = sentence
        self.retry_after = retry_after


class VendorAgents(Protocol):
    """The vendor's agents, tools and corpora. Every method raises `VendorError`."""

    async def create_agent(self, name: str, template: Mapping[str, Any]) -> str:
        """The vendor's id. What it keeps is compared with what was asked for."""

    async def put_agent(self, vendor_id: str, name: str, template: Mapping[str, Any]) -> None:
        """Makes the vendor's agent be so, whole, and compares. `missing`: it is gone."""

    async def agent_differs(self, vendor_id: str, name: str, template: Mapping[str, Any]) -> bool:
        """Whether the vendor's agent is not as it should be. `missing`: it is gone."""

    async def delete_agent(self, vendor_id: str) -> None:
        """One that is gone already is deleted."""

    async def create_tool(self, name: str, definition: Mapping[str, Any]) -> str: ...

    async def put_tool(self, vendor_id: str, name: str, definition: Mapping[str, Any]) -> None: ...

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

    async def add(self, agent: Agent) -> None: ...

    async def get(self, account: str, agent_id: str) -> Agent:
        """Raises `NotFoundError`."""

    async def page(self, account: str, page: Page) -> Rows[Agent]: ...

    async def change(self, agent: Agent) -> None:
        """Replaces the row. Raises `NotFoundError`. A default agent takes the place of the former one."""

    async def delete(self, account: str, agent_id: str) -> Agent:
        """What was deleted. Its vendor's agent, if any, is noted as left over in the same transaction.

        Raises `NotFoundError`.
        """

    async def made(self, agent_id: str, vendor_id: str | None) -> None:
        """Notes which vendor's agent stands for it now."""

    async def serving(self, account: str, named: str | None, did: str | None) -> Agent:
        """Who takes a caller: the named agent, else the DID's, else the account's default, else the account's
        only one. Raises `NotFoundError`.
        """

    async def using(
        self, account: str, *, tool: str | None = None, knowledge: str | None = None
    ) -> Sequence[Agent]:
        """The agents that were given a tool, or some knowledge."""

    async def left_over(self) -> Sequence[tuple[str, str]]:
        """What is still to be deleted at the vendor's: (`agent` | `tool` | `corpus`, vendor's id)."""

    async def cleared(self, vendor_id: str) -> None:
        """It is deleted there."""

    async def note_left_over(self, kind: str, vendor_id: str) -> None: ...


class Tools(Protocol):
    """The accounts' tools."""

    async def add(self, tool: Tool) -> None: ...

    async def get(self, account: str, tool_id: str) -> Tool:
        """Raises `NotFoundError`."""

    async def several(self, account: str, ids: Collection[str]) -> Sequence[Tool]:
        """Those that exist."""

    async def page(self, account: str, page: Page) -> Rows[Tool]: ...

    async def change(self, tool: Tool) -> None:
        """Raises `NotFoundError`."""

    async def delete(self, account: str, tool_id: str) -> Tool:
        """Raises `NotFoundError`. Its vendor's tool is noted as left over in the same transaction."""


class KnowledgeBases(Protocol):
    """The accounts' knowledge."""

    async def add(self, knowledge: Knowledge) -> None: ...

    async def get(self, account: str, knowledge_id: str) -> Knowledge:
        """Raises `NotFoundError`."""

    async def several(self, account: str, ids: Collection[str]) -> Sequence[Knowledge]:
        """Those that exist."""

    async def page(self, account: str, page: Page) -> Rows[Knowledge]: ...

    async def change(self, knowledge: Knowledge) -> None:
        """Raises `NotFoundError`."""

    async def delete(self, account: str, knowledge_id: str) -> Knowledge:
        """Raises `NotFoundError`. Its vendor's corpus is noted as left over in the same transaction."""


class Talks(Protocol):
    """Talks, as they are kept; each change tells the account's log in the same transaction."""

    async def add(self, talk: Talk) -> None: ...

    async def settle(self, talk_id: str, news: "TalkNews") -> Talk:
        """Lets a talk become what the news make of it, forward only. Raises `NotFoundError`."""

    async def of_vendor(self, vendor_call: str) -> Talk:
        """Raises `NotFoundError`."""

    async def get(self, talk_id: str) -> Talk:
        """Raises `NotFoundError`."""

    async def of_calls(self, calls: Collection[str]) -> Mapping[str, Sequence[Talk]]:
        """The talks of each call, in order."""

    async def overdue(self, before: datetime, limit: int) -> Sequence[Talk]:
        """Talks that are not settled and of which nothing was heard since, oldest first."""


class TalkNews(Protocol):
    """What is new about a talk: a pure function of how it is kept."""

    def __call__(self, talk: Talk) -> Talk: ...
