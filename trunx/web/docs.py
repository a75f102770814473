"""`/docs`: the reference for people. One page that loads nothing from elsewhere and reads `/openapi.json`."""

import base64
import hashlib
from importlib.resources import files
from typing import Any

from aiohttp import web

from trunx.domain.strict_json import dumps


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


_folder = files("trunx.web") / "page"
_style, _script = ((_folder / name).read_text("utf-8") for name in ("docs.css", "docs.js"))
_page = (
    (_folder / "docs.html").read_text("utf-8").replace("{{style}}", _style).replace("{{script}}", _script)
).encode()
# The page holds a key while requests are tried out: nothing but its own script may run in it.
_policy = (
    f"default-src 'none'; style-src {_hash(_style)}; script-src {_hash(_script)}; connect-src 'self'; "
    "media-src blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


_headers = {
    "Content-Security-Policy": _policy,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def routes(openapi: dict[str, Any]) -> list[web.RouteDef]:
    """`/docs`, `/openapi.json`, and `/`, which leads to the former."""
    described = dumps(openapi).encode()

    async def root(_request: web.Request) -> web.Response:
        # Relative, so that it is right behind a proxy that puts us in a folder.
        return web.Response(status=302, headers={"Location": "docs"})

    async def page(_request: web.Request) -> web.Response:
        return web.Response(body=_page, content_type="text/html", charset="utf-8", headers=_headers)

    async def description(_request: web.Request) -> web.Response:
        return web.Response(body=described, content_type="application/json")

    return [web.get("/", root), web.get("/docs", page), web.get("/openapi.json", description)]
