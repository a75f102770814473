"""The accounts' knowledge: documents that agents look things up in, and that only the vendor keeps.

What the vendor has lost is made anew empty: its sources must be added again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from trunx.domain.agent import Knowledge, VendorError, VendorKind
from trunx.domain.agent_template import vendor_name
from trunx.engine.agent_ports import KnowledgeBases, VendorAgents
from trunx.engine.left_overs import LeftOvers
from trunx.engine.making import Making

R = TypeVar("R")


class Bookshelf(Making[Knowledge]):
    """`rows` is for reading."""

    kind: VendorKind = "corpus"

    def __init__(self, rows: KnowledgeBases, vendor: VendorAgents, left_overs: LeftOvers) -> None:
        super().__init__(rows, left_overs)
        self.rows = rows
        self._vendor = vendor

    async def change(self, account: str, knowledge_id: str, fields: Mapping[str, Any]) -> Knowledge:
        """Sets `name` and `description` where named. Raises `NotFoundError`."""
        return await self._change(account, knowledge_id, lambda knowledge: replace(knowledge, **fields))

    async def stats(self, knowledge: Knowledge) -> Mapping[str, Any]:
        """How far the vendor has read, in its own words."""
        corpus = await self._vendor.corpus(str(knowledge.vendor_id))
        stats: Mapping[str, Any] = corpus.get("stats") or {}
        return stats

    async def add_url(self, account: str, knowledge_id: str, name: str, url: str) -> str:
        """The id of the new source, which the vendor reads from the web. Raises `NotFoundError`."""
        return await self._in(account, knowledge_id, lambda corpus: self._vendor.add_url(corpus, name, url))

    async def add_document(self, account: str, knowledge_id: str, name: str, mime: str, file: Path) -> str:
        """The id of the new source, which is a copy of `file`. Raises `NotFoundError`."""
        content = await asyncio.to_thread(file.read_bytes)
        return await self._in(
            account, knowledge_id, lambda corpus: self._vendor.add_document(corpus, name, mime, content)
        )

    async def sources(self, account: str, knowledge_id: str) -> Sequence[Mapping[str, Any]]:
        """The sources, in the vendor's own words. Raises `NotFoundError`."""
        return await self._in(account, knowledge_id, self._vendor.sources)

    async def _in(self, account: str, knowledge_id: str, work: Callable[[str], Awaitable[R]]) -> R:
        knowledge = await self.ready(await self.rows.get(account, knowledge_id))
        try:
            return await work(str(knowledge.vendor_id))
        except VendorError as error:
            if error.trouble != "missing":
                raise
        return await work(str((await self.anew(knowledge)).vendor_id))

    def _name(self, thing: Knowledge) -> str:
        return vendor_name(thing.name, thing.id)

    async def _create(self, thing: Knowledge) -> str:
        return await self._vendor.create_corpus(self._name(thing), thing.description)

    async def _differs(self, vendor_id: str, thing: Knowledge) -> bool:
        corpus = await self._vendor.corpus(vendor_id)
        as_it_is = corpus.get("name"), corpus.get("description") or ""
        return as_it_is != (self._name(thing), thing.description or "")

    async def _write(self, vendor_id: str, thing: Knowledge) -> None:
        await self._vendor.change_corpus(vendor_id, self._name(thing), thing.description)
