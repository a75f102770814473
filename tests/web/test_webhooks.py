"""`/api/webhooks`: registering, changing, secrets shown once, and what was sent."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.web.house import Client, House
from trunx.adapters.store.webhooks import Webhooks
from trunx.domain.call import Event
from trunx.engine import log_ports

URL = "https://example.com/hook"


async def made(client: Client, **fields: Any) -> dict[str, Any]:
    got = await client.post("/api/webhooks", {"url": URL, **fields})
    assert got.status == 201
    return dict(got.body)


async def happened(house: House, client: Client, *types: str) -> None:
    for type_ in types:
        house.recorder.event(Event(client.account, None, type_, datetime.now(UTC), {}))
    await house.recorder.flush()


async def test_a_webhook_is_registered_and_its_secret_shown_once(ada: Client) -> None:
    hook = await made(ada, types=["call.completed", "call.failed", "call.completed"], label="CRM")
    assert hook["secret"].startswith("whsec_")
    assert len(hook["secret"]) == 50
    shown = (await ada.get(f"/api/webhooks/{hook['id']}")).body
    assert shown == {name: value for name, value in hook.items() if name != "secret"}
    assert (shown["types"], shown["label"], shown["enabled"]) == (
        ["call.completed", "call.failed"],
        "CRM",
        True,
    )
    assert (await ada.get("/api/webhooks")).body == {"webhooks": [shown], "count": 1, "next": None}
    assert hook["secret"] not in str((await ada.get("/api/webhooks")).body)


async def test_a_secret_is_changed_and_the_former_one_stays_for_a_day(ada: Client) -> None:
    hook = await made(ada)
    turned = await ada.post(f"/api/webhooks/{hook['id']}/rotate", None, Idempotency_Key="turn-1")
    assert turned.status == 201
    assert turned.body["secret"] != hook["secret"]
    assert turned.body["formerSecretUntil"] is not None
    again = await ada.post(f"/api/webhooks/{hook['id']}/rotate", None, Idempotency_Key="turn-1")
    assert again.body == turned.body


async def test_it_is_changed_and_deleted(ada: Client) -> None:
    hook = await made(ada, label="CRM")
    path = f"/api/webhooks/{hook['id']}"
    changed = await ada.patch(
        path, {"url": "http://example.com:8080/x?y=z", "types": ["ivr.step"], "label": None}
    )
    assert changed.status == 200
    assert (changed.body["url"], changed.body["types"]) == ("http://example.com:8080/x?y=z", ["ivr.step"])
    assert changed.body["label"] is None
    assert (await ada.patch(path, {})).body == changed.body
    off = (await ada.patch(path, {"enabled": False})).body
    assert (off["enabled"], off["disabledBecause"]) == (False, "asked for")
    on = (await ada.patch(path, {"enabled": True})).body
    assert (on["enabled"], on["disabledBecause"]) == (True, None)
    assert (await ada.delete(path)).body == {"deleted": True, "id": hook["id"]}
    assert (await ada.get(path)).code == "webhook-not-found"


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/url"]),
        ({"url": "http://127.0.0.1/"}, ["/url"]),
        ({"url": "https://inside.example.com/"}, ["/url"]),
        ({"url": "https://me:secret@example.com/"}, ["/url"]),
        ({"url": "gopher://example.com/"}, ["/url"]),
        ({"url": URL, "types": ["call.complete"]}, ["/types/0"]),
        ({"url": URL, "secret": "mine"}, ["/secret"]),
    ],
)
async def test_what_is_refused(ada: Client, body: dict[str, Any], pointers: list[str]) -> None:
    got = await ada.post("/api/webhooks", body)
    assert (got.status, got.code, got.pointers) == (422, "invalid-body", pointers)
    hook = await made(ada)
    if "url" in body:
        assert (await ada.patch(f"/api/webhooks/{hook['id']}", body)).pointers == pointers


async def test_deliveries_and_sending_again(house: House, ada: Client) -> None:
    await happened(house, ada, "call.answered")
    hook = await made(ada, types=["call.completed"])
    path = f"/api/webhooks/{hook['id']}"
    await happened(house, ada, "call.completed", "ivr.step", "call.completed", "call.completed")
    assert (await ada.get(f"{path}/deliveries")).body["deliveries"] == []  # nobody is at work here
    got = await ada.post(f"{path}/redeliver", {"from": 1, "to": 4})
    assert (got.status, got.body) == (202, {"redelivered": 2})
    first = (await ada.get(f"{path}/deliveries?limit=1")).body
    rest = (await ada.get(f"{path}/deliveries?limit=1&cursor={first['next']}")).body
    assert [first["deliveries"][0]["id"], rest["deliveries"][0]["id"], rest["next"]] == [4, 2, None]
    delivery = rest["deliveries"][0]
    assert (delivery["status"], delivery["attempts"], delivery["type"]) == ("waiting", 0, "call.completed")
    assert (await ada.get(f"{path}/deliveries?status=dead")).body["count"] == 0
    again = await ada.post(f"{path}/deliveries/2/redeliver", None)
    assert (again.status, again.body["id"]) == (202, 2)
    assert (await ada.post(f"{path}/deliveries/3/redeliver", None)).code == "delivery-not-found"
    assert (await ada.post(f"{path}/redeliver", {"from": 4, "to": 3})).pointers == ["/to"]
    assert (await ada.post(f"{path}/redeliver", {"from": 1, "to": 10_001})).pointers == ["/to"]
    assert (await ada.get(f"{path}/deliveries?cursor=x")).code == "invalid-query"
    await ada.patch(path, {"enabled": False})
    assert {each["status"] for each in (await ada.get(f"{path}/deliveries")).body["deliveries"]} == {"dead"}
    assert (await ada.post(f"{path}/redeliver", {"from": 1, "to": 4})).code == "webhook-disabled"
    assert (await ada.post(f"{path}/deliveries/2/redeliver", None)).code == "webhook-disabled"


async def test_an_account_sees_only_its_own(house: House, ada: Client, bob: Client) -> None:
    store: log_ports.Webhooks = house.ports.webhooks
    assert isinstance(store, Webhooks)
    hook = await made(ada)
    path = f"/api/webhooks/{hook['id']}"
    for got in (
        await bob.get(path),
        await bob.patch(path, {"label": "mine"}),
        await bob.delete(path),
        await bob.get(f"{path}/deliveries"),
        await bob.post(f"{path}/rotate", None),
        await bob.post(f"{path}/redeliver", {"from": 1, "to": 2}),
        await bob.post(f"{path}/deliveries/1/redeliver", None),
    ):
        assert (got.status, got.code) == (404, "webhook-not-found")
    assert (await bob.get("/api/webhooks")).body["webhooks"] == []
    assert (await ada.get("/api/webhooks/nonsense")).status in {404, 422}
