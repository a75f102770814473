"""Tools of AI agents over HTTP."""

from typing import Any

import pytest

from tests.web.house import Client, House

TOOL: dict[str, Any] = {
    "modelToolName": "lookUpOrder",
    "description": "Looks {{up}} an order.",
    "dynamicParameters": [
        {
            "name": "order",
            "location": "PARAMETER_LOCATION_PATH",
            "schema": {"type": "string", "description": "Digits only."},
            "required": True,
        }
    ],
    "http": {"baseUrlPattern": "https://example.com/orders/{order}", "httpMethod": "GET"},
}


async def test_a_tool_s_life(house: House, ada: Client) -> None:
    got = await ada.post("/api/voice/tools", TOOL)
    assert got.status == 201
    tool = got.body
    assert tool == {
        "id": tool["id"],
        "ultravoxId": tool["ultravoxId"],
        **TOOL,
        "createdAt": tool["createdAt"],
        "status": "ready",
    }
    there = house.ultravox.things.tools[tool["ultravoxId"]]
    assert there["definition"] == {**TOOL, "description": "Looks { {up}} an order.", "timeout": "10s"}

    path = f"/api/voice/tools/{tool['id']}"
    assert (await ada.get(path)).body == tool
    listed = (await ada.get("/api/voice/tools")).body
    assert (listed["count"], listed["next"]) == (1, None)
    assert listed["tools"] == [{name: value for name, value in tool.items() if name != "status"}]

    other = {"baseUrlPattern": "https://example.com/v2/{order}"}
    changed = await ada.patch(path, {"http": other})
    assert changed.status == 200
    assert changed.body == tool | {"http": other | {"httpMethod": "POST"}}
    there = house.ultravox.things.tools[tool["ultravoxId"]]
    assert there["definition"]["http"] == changed.body["http"]
    assert there["definition"]["dynamicParameters"] == TOOL["dynamicParameters"]

    there["definition"]["description"] = "Buys something."
    assert (await ada.get(path)).body == changed.body | {"status": "healed"}
    assert (await ada.get(path)).body == changed.body

    assert (await ada.delete(path)).body == {"deleted": True, "id": tool["id"]}
    assert tool["ultravoxId"] not in house.ultravox.things.tools
    got = await ada.get(path)
    assert (got.status, got.code) == (404, "tool-not-found")


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"http": {"baseUrlPattern": "http://example.com/"}}, "/http/baseUrlPattern"),
        ({"http": {"baseUrlPattern": "https://user:password@example.com/"}}, "/http/baseUrlPattern"),
        ({"http": {"baseUrlPattern": "https://example.com/", "httpMethod": "BREW"}}, "/http/httpMethod"),
        ({"http": None}, "/http"),
        ({"modelToolName": "look up"}, "/modelToolName"),
        ({"description": ""}, "/description"),
        ({"dynamicParameters": [{"name": "x", "schema": {}}]}, "/dynamicParameters/0/schema"),
        ({"timeout": "40s"}, "/timeout"),
    ],
)
async def test_what_cannot_be_a_tool(ada: Client, fields: dict[str, Any], pointer: str) -> None:
    for got in (
        await ada.post("/api/voice/tools", TOOL | fields),
        await ada.patch("/api/voice/tools/a1b2c3d4-e5f6-7890-abcd-ef1234567890", fields),
    ):
        assert (got.status, got.code, got.pointers) == (422, "invalid-body", [pointer])


async def test_a_tool_that_is_kept_has_an_address(ada: Client) -> None:
    bare = {name: value for name, value in TOOL.items() if name != "http"}
    got = await ada.post("/api/voice/tools", bare)
    assert (got.status, got.pointers) == (422, ["/http"])


async def test_what_ultravox_refuses(ada: Client) -> None:
    lost = {"http": {"baseUrlPattern": "https://example.com/orders"}}
    got = await ada.post("/api/voice/tools", TOOL | lost)
    assert (got.status, got.code) == (422, "ai-refused")
    assert "order" in got.body["detail"]
    assert (await ada.get("/api/voice/tools")).body["count"] == 0
