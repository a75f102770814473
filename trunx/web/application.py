"""The table of contents of the API: one resource, one file, one line."""

from collections.abc import AsyncIterator, Collection

from aiohttp import web

from trunx.web import (
    actions,
    agents,
    ai_calls,
    audio,
    calls,
    did_health,
    dids,
    docs,
    events,
    health,
    ivrs,
    knowledge,
    outbound,
    record_actions,
    recordings,
    streams,
    suppressions,
    timeline,
    tools,
    transfers,
    vendor_hooks,
    webhooks,
)
from trunx.web.bodies import MAX_BODY_BYTES
from trunx.web.dispatch import Dispatch, Unbroken
from trunx.web.openapi import document
from trunx.web.ports import Ports
from trunx.web.request_log import request_log

RESOURCES = {
    "IVRs": ivrs.OPERATIONS,
    "Audio": audio.OPERATIONS,
    "DIDs": (*dids.OPERATIONS, *did_health.OPERATIONS),
    "Suppressions": suppressions.OPERATIONS,
    # Before the calls, whose ids would stand in for these names.
    "Agents": (*agents.OPERATIONS, *ai_calls.OPERATIONS),
    "Tools": tools.OPERATIONS,
    "Knowledge": knowledge.OPERATIONS,
    "Calls": (*outbound.OPERATIONS, *calls.OPERATIONS, *timeline.OPERATIONS),
    "Actions": (*actions.OPERATIONS, *record_actions.OPERATIONS, *transfers.OPERATIONS),
    "Recordings": recordings.OPERATIONS,
    "Events": events.OPERATIONS,
    "Webhooks": webhooks.OPERATIONS,
    "Health": health.OPERATIONS,
}


def create_application(ports: Ports) -> web.Application:
    """The API over `ports`; its cleanup waits for the changes that are being made."""
    unbroken = Unbroken()

    async def carried_through(_application: web.Application) -> AsyncIterator[None]:
        yield
        await unbroken.close()

    quiet = frozenset(operation.path for operation in health.OPERATIONS)
    application = web.Application(
        middlewares=[request_log(ports.public_url, quiet)], client_max_size=MAX_BODY_BYTES
    )
    application.cleanup_ctx.append(carried_through)
    streams.prepare(application)
    application.add_routes(docs.routes(document(RESOURCES, ports.public_url, ports.version)))
    application.add_routes(vendor_hooks.routes(ports.ai))
    paths = {operation.path for group in RESOURCES.values() for operation in group}
    for group in RESOURCES.values():
        for operation in group:
            answer = Dispatch(operation, ports, unbroken).answer
            route = _route(operation.path, paths)
            application.router.add_route(operation.method, route, answer)
            if operation.method == "GET":
                application.router.add_route("HEAD", route, answer)
    return application


def _route(path: str, paths: Collection[str]) -> str:
    """`path` as aiohttp takes it: `/audio/{id}` must not stand in for methods that `/audio/voices` lacks."""
    before, brace, _ = path.rpartition("{")
    if not brace or not path.endswith("}"):
        return path
    fixed = [other.removeprefix(before) for other in paths if other.startswith(before)]
    names = sorted(name for name in fixed if not set(name) & set("{/"))
    return path.removesuffix("}") + f":(?!(?:{'|'.join(names)})$)[^{{}}/]+}}" if names else path
