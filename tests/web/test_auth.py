"""Whose request it is."""

import pytest

from tests.web.house import Client, House


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "tk_live_something"])
async def test_a_request_without_a_key_is_told_what_is_wanted(stranger: Client, header: str) -> None:
    got = await stranger.ask("GET", "/ivr", Authorization=header)
    assert (got.status, got.code) == (401, "invalid-key")
    assert got.headers["WWW-Authenticate"] == 'Bearer realm="trunx"'


@pytest.mark.parametrize("key", ["tk_live_unknown", "x" * 5000, "é", "a b"])
async def test_an_unknown_key_is_refused(stranger: Client, key: str) -> None:
    got = await stranger.ask("GET", "/ivr", Authorization=f"Bearer {key}")
    assert (got.status, got.code) == (401, "invalid-key")
    assert 'error="invalid_token"' in got.headers["WWW-Authenticate"]


async def test_a_revoked_key_is_refused(house: House, ada: Client) -> None:
    assert (await ada.get("/ivr")).status == 200
    [key] = await house.accounts.list_keys(ada.account)
    await house.accounts.revoke_key(key.id)
    assert (await ada.get("/ivr")).status == 401


async def test_the_scheme_s_case_does_not_matter(ada: Client) -> None:
    assert (await ada.ask("GET", "/ivr", Authorization=f"bearer {ada.secret}")).status == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"])
async def test_what_is_open_needs_no_key(stranger: Client, path: str) -> None:
    assert (await stranger.get(path)).status == 200
