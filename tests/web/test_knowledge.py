"""Knowledge of AI agents over HTTP."""

import io
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.peers.ultravox_troubles import Trouble
from tests.web.house import Client, House, open_house
from trunx.web.uploads import Limits

BOOK = {"name": "Opening hours", "description": "When we are open, and where."}
NOBODY = "/api/voice/knowledge/a1b2c3d4-e5f6-7890-abcd-ef1234567890"


def document(content: bytes, filename: str, **fields: str) -> aiohttp.FormData:
    """An upload, of any size."""
    form = aiohttp.FormData(fields)
    form.add_field("file", io.BytesIO(content), filename=filename)
    return form


async def made(client: Client) -> dict[str, Any]:
    got = await client.post("/api/voice/knowledge", BOOK)
    assert got.status == 201, got
    body: dict[str, Any] = got.body
    return body


async def test_knowledge_s_life(house: House, ada: Client) -> None:
    book = await made(ada)
    assert book == {
        "id": book["id"],
        **BOOK,
        "ultravoxId": book["ultravoxId"],
        "createdAt": book["createdAt"],
        "condition": "ready",
        "status": "empty",
        "documents": 0,
    }
    path = f"/api/voice/knowledge/{book['id']}"
    assert (await ada.get(path)).body == book
    listed = (await ada.get("/api/voice/knowledge")).body
    live = {"condition", "status", "documents"}
    assert listed["knowledge"] == [{name: value for name, value in book.items() if name not in live}]

    page = await ada.post(f"{path}/sources", {"url": "https://example.com/faq"})
    assert (page.status, page.body["name"]) == (201, "https://example.com/faq")
    text = b"We open at nine."
    file = await ada.post(f"{path}/sources/upload", document(text, "hours.md", name="Hours"))
    assert (file.status, file.body["name"]) == (201, "Hours")
    [kept] = [one for one in house.ultravox.things.documents.values() if one["corpus"] == book["ultravoxId"]]
    assert (kept["content"], kept["mime"]) == (text, "text/markdown")
    assert house.incoming == []

    sources = (await ada.get(f"{path}/sources")).body
    assert sources["count"] == 2
    assert {one["id"]: (one["name"], one["urls"], one["status"]) for one in sources["sources"]} == {
        page.body["id"]: ("https://example.com/faq", ["https://example.com/faq"], "initializing"),
        file.body["id"]: ("Hours", [], "initializing"),
    }
    assert [(await ada.get(path)).body["status"] for _ in range(2)][-1] == "ready"
    got = await ada.get(path)
    assert (got.body["status"], got.body["documents"]) == ("ready", 2)

    changed = await ada.patch(path, {"description": None})
    assert (changed.body["name"], changed.body["description"]) == (BOOK["name"], None)
    assert house.ultravox.things.corpora[book["ultravoxId"]]["description"] == ""

    assert (await ada.delete(path)).body == {"deleted": True, "id": book["id"]}
    assert book["ultravoxId"] not in house.ultravox.things.corpora
    assert (await ada.get(path)).code == "knowledge-not-found"


async def test_what_ultravox_has_lost_is_empty_again(house: House, ada: Client) -> None:
    book = await made(ada)
    path = f"/api/voice/knowledge/{book['id']}"
    await ada.post(f"{path}/sources", {"url": "https://example.com/faq"})
    del house.ultravox.things.corpora[book["ultravoxId"]]
    got = await ada.get(path)
    assert (got.status, got.body["condition"], got.body["status"]) == (200, "healed", "empty")
    assert (await ada.get(f"{path}/sources")).body == {"sources": [], "count": 0}


async def test_knowledge_is_there_though_ultravox_is_away(house: House, ada: Client) -> None:
    book = await made(ada)
    path = f"/api/voice/knowledge/{book['id']}"
    house.ultravox.always(Trouble.ERROR_500)
    try:
        got = await ada.get(path)
        assert (got.body["condition"], got.body["status"], got.body["documents"]) == (
            "unavailable",
            None,
            None,
        )
        got = await ada.get(f"{path}/sources")
        assert (got.status, got.code) == (503, "ai-unavailable")
        got = await ada.post(f"{path}/sources/upload", document(b"x", "x.txt"))
        assert (got.status, got.code) == (503, "ai-unavailable")
    finally:
        house.ultravox.always(None)
    assert house.incoming == []


async def test_one_more_than_the_plan_has_is_refused(house: House, ada: Client) -> None:
    most = house.ultravox.things.most_corpora
    house.ultravox.things.most_corpora = len(house.ultravox.things.corpora)
    try:
        got = await ada.post("/api/voice/knowledge", BOOK)
    finally:
        house.ultravox.things.most_corpora = most
    assert (got.status, got.code) == (422, "ai-refused")
    assert "Maximum number of corpora" in got.body["detail"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"url": "ftp://example.com/"}, "/url"),
        ({"url": "https://user:password@example.com/"}, "/url"),
        ({"url": "https://example.com/ x"}, "/url"),
        ({"url": "https://example.com/", "name": ""}, "/name"),
        ({"urls": []}, "/url"),
    ],
)
async def test_what_is_no_page(ada: Client, body: dict[str, Any], pointer: str) -> None:
    got = await ada.post(f"{NOBODY}/sources", body)
    assert (got.status, got.code, got.pointers[0]) == (422, "invalid-body", pointer)


async def test_there_is_no_such_knowledge(house: House, ada: Client) -> None:
    for got in (
        await ada.get(NOBODY),
        await ada.patch(NOBODY, {}),
        await ada.delete(NOBODY),
        await ada.get(f"{NOBODY}/sources"),
        await ada.post(f"{NOBODY}/sources", {"url": "https://example.com/"}),
        await ada.post(f"{NOBODY}/sources/upload", document(b"x", "x.txt")),
    ):
        assert (got.status, got.code) == (404, "knowledge-not-found")
    assert house.incoming == []


async def test_a_document_that_is_too_large(tmp_path: Path) -> None:
    async with open_house(tmp_path, Limits(12_000_000, 10)) as house:
        ada = await house.client("Ada")
        path = f"/api/voice/knowledge/{(await made(ada))['id']}/sources/upload"
        got = await ada.post(path, document(bytes(10_000_001), "hours.pdf"))
        assert (got.status, got.code, got.pointers) == (413, "too-large", ["/file"])
        assert house.incoming == []
        assert house.ultravox.things.documents == {}
        assert (await ada.post(path, document(bytes(10_000_000), "hours.pdf"))).status == 201
