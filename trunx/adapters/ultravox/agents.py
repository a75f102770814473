"""Ultravox' agents, tools and corpora, as the port `VendorAgents` wants them.

The fact to know: a PATCH replaces `callTemplate` whole, and keys that an agent does not have are passed over
in silence. So the whole template is sent each time, and what is kept is compared with it.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import structlog

from trunx.adapters.ultravox.answers import covers, problem
from trunx.adapters.ultravox.client import Client
from trunx.domain.agent import VendorError, VendorKind

_LISTS: Mapping[VendorKind, tuple[str, str]] = {
    "agent": ("/api/agents", "agentId"),
    "tool": ("/api/tools", "toolId"),
    "corpus": ("/api/corpora", "corpusId"),
}

_log = structlog.get_logger(__name__)


class UltravoxAgents:
    """Fulfils `VendorAgents`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def find(self, kind: VendorKind, name: str) -> Sequence[str]:
        # The vendor's search is not used: what it finds is not documented.
        path, key = _LISTS[kind]
        return [
            str(row[key]) for row in await self._client.pages(path) if row.get("name") == name and key in row
        ]

    async def create_agent(self, name: str, template: Mapping[str, Any]) -> str:
        wanted = {"name": name, "callTemplate": template}
        made = await self._client.send("POST", "/api/agents", wanted)
        vendor_id = _id(made, "agentId")
        try:
            _compare(made, wanted)
        except VendorError:
            await self._take_back(f"/api/agents/{quote(vendor_id, safe='')}")
            raise
        return vendor_id

    async def put_agent(self, vendor_id: str, name: str, template: Mapping[str, Any]) -> None:
        wanted = {"name": name, "callTemplate": template}
        path = f"/api/agents/{quote(vendor_id, safe='')}"
        await self._client.send("PATCH", path, wanted)
        _compare(await self._client.get(path), wanted)

    async def agent_differs(self, vendor_id: str, name: str, template: Mapping[str, Any]) -> bool:
        kept = await self._client.get(f"/api/agents/{quote(vendor_id, safe='')}")
        return not covers(kept, {"name": name, "callTemplate": template})

    async def delete_agent(self, vendor_id: str) -> None:
        await self._client.delete(f"/api/agents/{quote(vendor_id, safe='')}")

    async def create_tool(self, name: str, definition: Mapping[str, Any]) -> str:
        made = await self._client.send("POST", "/api/tools", {"name": name, "definition": definition})
        return _id(made, "toolId")

    async def put_tool(self, vendor_id: str, name: str, definition: Mapping[str, Any]) -> None:
        path = f"/api/tools/{quote(vendor_id, safe='')}"
        await self._client.send("PUT", path, {"name": name, "definition": definition})

    async def tool_differs(self, vendor_id: str, name: str, definition: Mapping[str, Any]) -> bool:
        kept = await self._client.get(f"/api/tools/{quote(vendor_id, safe='')}")
        return not covers(kept, {"name": name, "definition": definition})

    async def delete_tool(self, vendor_id: str) -> None:
        await self._client.delete(f"/api/tools/{quote(vendor_id, safe='')}")

    async def create_corpus(self, name: str, description: str | None) -> str:
        made = await self._client.send("POST", "/api/corpora", _described(name, description))
        return _id(made, "corpusId")

    async def corpus(self, vendor_id: str) -> Mapping[str, Any]:
        return await self._client.get(_corpus(vendor_id))

    async def change_corpus(self, vendor_id: str, name: str, description: str | None) -> None:
        await self._client.send("PATCH", _corpus(vendor_id), _described(name, description))

    async def delete_corpus(self, vendor_id: str) -> None:
        await self._client.delete(_corpus(vendor_id))

    async def add_url(self, vendor_id: str, name: str, url: str) -> str:
        return await self._source(vendor_id, {"name": name, "crawl": {"startUrls": [url], "maxDepth": 1}})

    async def add_document(self, vendor_id: str, name: str, mime: str, content: bytes) -> str:
        announced = {"mimeType": mime, "fileName": name}
        place = await self._client.send("POST", _corpus(vendor_id) + "/uploads", announced)
        document, url = _id(place, "documentId"), _id(place, "presignedUrl")
        await self._client.upload(url, mime, content)
        return await self._source(vendor_id, {"name": name, "upload": {"documentIds": [document]}})

    async def sources(self, vendor_id: str) -> Sequence[Mapping[str, Any]]:
        return await self._client.pages(_corpus(vendor_id) + "/sources")

    async def _source(self, vendor_id: str, spec: Mapping[str, Any]) -> str:
        return _id(await self._client.send("POST", _corpus(vendor_id) + "/sources", spec), "sourceId")

    async def _take_back(self, path: str) -> None:
        try:
            await self._client.delete(path)
        except VendorError as error:
            # Whoever asked for it knows its name, and that it may be there.
            _log.warning("an agent that is not as asked for stays at Ultravox'", problem=error.sentence)
            raise problem("unknown", "it is not as asked for, and cannot be deleted") from None


def _compare(kept: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    if covers(kept, wanted):
        return
    there = kept.get("callTemplate")
    parts = there if isinstance(there, dict) else {}
    lost = [key for key, value in wanted["callTemplate"].items() if not covers(parts.get(key), value)]
    raise problem("invalid", f"it did not keep {', '.join(lost) or 'the name'}")


def _described(name: str, description: str | None) -> dict[str, str]:
    return {"name": name, "description": description or ""}


def _corpus(vendor_id: str) -> str:
    return f"/api/corpora/{quote(vendor_id, safe='')}"


def _id(answer: Mapping[str, Any], key: str) -> str:
    found = answer.get(key)
    if not isinstance(found, str) or not found:
        raise problem("unknown", f"its answer has no {key}")
    return found
