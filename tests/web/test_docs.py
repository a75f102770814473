"""The reference for people: one page, nothing from elsewhere."""

import re

from tests.web.house import Client


async def test_the_page_loads_nothing_from_elsewhere(stranger: Client) -> None:
    got = await stranger.get("/docs")
    assert got.status == 200
    assert got.headers["Content-Type"] == "text/html; charset=utf-8"
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//|@import|url\(""", got.body)
    policy = got.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert len(re.findall(r"'sha256-[A-Za-z0-9+/]{43}='", policy)) == 2


async def test_the_root_leads_to_it(stranger: Client) -> None:
    got = await stranger.get("/")
    assert (got.status, got.headers["Location"]) == (302, "docs")
