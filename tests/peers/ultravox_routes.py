"""Which request asks for which of the stand-in's things, and how it is answered."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from aiohttp import web

from tests.peers.ultravox_things import Things, one, remove

Answer = Callable[[web.Request], Awaitable[web.Response]]
Result = Callable[[web.Request, Any], Any]
Rows = Callable[[web.Request], list[dict[str, Any]]]


class Paging(Protocol):
    """Makes a list's answer of its rows."""

    def __call__(self, rows: Rows, search: str | None = None) -> Answer: ...


async def body_of(request: web.Request) -> Any:
    """The JSON that came with it, or None; it can be asked for again and again."""
    return await request.json() if request.body_exists else None


def shown(result: Result, status: int = 200) -> Answer:
    """200 with what `result` is, given the request and its body."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response(result(request, await body_of(request)), status=status)

    return answer


def made(result: Result) -> Answer:
    """201 with what `result` is."""
    return shown(result, 201)


def gone(removal: Result) -> Answer:
    """204."""

    async def answer(request: web.Request) -> web.Response:
        removal(request, None)
        return web.Response(status=204)

    return answer


def table_of(things: Things, page: Paging) -> list[tuple[str, str, Answer]]:
    """The routes of everything but calls and webhooks."""
    agent, tool = "/api/agents/{agent}", "/api/tools/{tool}"
    corpus, source = "/api/corpora/{corpus}", "/api/corpora/{corpus}/sources/{source}"

    def sources(request: web.Request) -> list[dict[str, Any]]:
        corpus_id = request.match_info["corpus"]
        ids = [row["sourceId"] for row in things.sources_of(corpus_id)]
        return [things.look_at_source(corpus_id, source_id) for source_id in ids]

    def upload(request: web.Request, body: Any) -> dict[str, Any]:
        url = f"{request.scheme}://{request.host}"
        return things.create_upload(request.match_info["corpus"], body, url)

    return [
        ("GET", "/api/agents", page(lambda _: [*things.agents.values()], search="name")),
        ("POST", "/api/agents", made(lambda _, body: things.create_agent(body))),
        ("GET", agent, shown(lambda r, _: one(things.agents, r.match_info["agent"], "Agent"))),
        ("PATCH", agent, shown(lambda r, body: things.change_agent(r.match_info["agent"], body))),
        ("DELETE", agent, gone(lambda r, _: remove(things.agents, r.match_info["agent"], "Agent"))),
        ("GET", "/api/tools", page(lambda _: things.all_tools(), search="name")),
        ("POST", "/api/tools", made(lambda _, body: things.put_tool(body))),
        ("GET", tool, shown(lambda r, _: one(things.tools, r.match_info["tool"], "Tool"))),
        ("PUT", tool, shown(lambda r, body: things.put_tool(body, r.match_info["tool"]))),
        ("DELETE", tool, gone(lambda r, _: remove(things.tools, r.match_info["tool"], "Tool"))),
        ("GET", "/api/corpora", page(lambda _: [*things.corpora.values()])),
        ("POST", "/api/corpora", made(lambda _, body: things.create_corpus(body))),
        ("GET", corpus, shown(lambda r, _: things.look_at_corpus(r.match_info["corpus"]))),
        ("PATCH", corpus, shown(lambda r, body: things.change_corpus(r.match_info["corpus"], body))),
        ("DELETE", corpus, gone(lambda r, _: things.delete_corpus(r.match_info["corpus"]))),
        ("POST", corpus + "/query", shown(lambda r, body: things.found_in(r.match_info["corpus"], body))),
        ("GET", corpus + "/sources", page(sources)),
        (
            "POST",
            corpus + "/sources",
            made(lambda r, body: things.create_source(r.match_info["corpus"], body)),
        ),
        (
            "GET",
            source,
            shown(lambda r, _: things.look_at_source(r.match_info["corpus"], r.match_info["source"])),
        ),
        ("DELETE", source, gone(lambda r, _: remove(things.sources, r.match_info["source"], "CorpusSource"))),
        ("POST", corpus + "/uploads", made(upload)),
        ("GET", "/api/voices", page(lambda _: _voices(things), search="name")),
        ("GET", "/api/models", page(lambda _: [{"name": name} for name in things.models])),
        ("GET", "/api/sip", shown(lambda *_: things.sip)),
        ("PATCH", "/api/sip", shown(lambda _, body: things.change_sip(body))),
        ("GET", "/api/sip/registrations", page(lambda _: [*things.registrations.values()])),
        ("POST", "/api/sip/registrations", made(lambda _, body: things.register(body))),
    ]


def _voices(things: Things) -> list[dict[str, Any]]:
    return [
        {"voiceId": voice, "name": name, "primaryLanguage": "en", "ownership": "public"}
        for voice, name in things.voices.items()
    ]
