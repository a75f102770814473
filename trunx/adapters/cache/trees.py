"""Trees by version, parsed once in a process: a version never changes, so what is parsed stays right."""

import asyncio
from collections import OrderedDict
from contextlib import suppress

import structlog
from pydantic import ValidationError

from trunx.adapters.cache.redis import FAILURES
from trunx.adapters.cache.shelf import Shelf
from trunx.adapters.store.truth import Truth, Version
from trunx.domain.document import IvrDocument
from trunx.domain.ivr import InvalidTreeError, Tree, build

TREES_KEPT = 2_000  # the most recently used; one of 20 nodes takes about 20 KB

_log = structlog.get_logger()


class GoneError(Exception):
    """The version exists nowhere: its IVR was deleted."""


class Trees:
    """The parsed trees, and the loading of new ones: once for each version, however many calls ask."""

    def __init__(self, truth: Truth, shelf: Shelf) -> None:
        self._truth = truth
        self._shelf = shelf
        self._kept: OrderedDict[Version, Tree | None] = OrderedDict()
        self._loading: dict[Version, asyncio.Task[Tree | None]] = {}

    async def get(self, uid: str, version: int, *, cached: bool) -> Tree | None:
        """The tree; None for a document that today's rules refuse. `cached`: whether to ask Redis first.

        Raises:
            GoneError: there is no such version.
            UnavailableError: no store that could have it answers.
        """
        key = (uid, version)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = asyncio.create_task(self._load(key, cached=cached))
            task.add_done_callback(lambda _: self._loading.pop(key))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Ends what is loading."""
        loading = list(self._loading.values())
        for task in loading:
            task.cancel()
        await asyncio.gather(*loading, return_exceptions=True)

    async def _load(self, key: Version, *, cached: bool) -> Tree | None:
        document: bytes | str | None = None
        is_missing = False
        if cached:
            with suppress(*FAILURES):
                document = await self._shelf.document(*key)
                is_missing = document is None
        if document is None:
            document = (await self._truth.documents([key])).get(key)
            if document is None:
                raise GoneError(key)
            if is_missing:
                with suppress(*FAILURES):
                    await self._shelf.put([], {key: document})
        tree = _build(key, document)
        self._kept[key] = tree
        if len(self._kept) > TREES_KEPT:
            self._kept.popitem(last=False)
        return tree


def _build(key: Version, document: bytes | str) -> Tree | None:
    try:
        return build(IvrDocument.model_validate_json(document))
    except (ValidationError, InvalidTreeError) as error:
        _log.error(
            "a stored IVR is no tree by today's rules, and nothing stands behind its numbers: "
            "correct it and save it again",
            uid=key[0],
            version=key[1],
            problem=str(error)[:500],
        )
        return None
