"""The table of contents of the API: one resource, one file, one line."""

from collections.abc import AsyncIterator

from aiohttp import web

from trunx.web import calls, dids, docs, health, ivrs, suppressions
from trunx.web.bodies import MAX_BODY_BYTES
from trunx.web.dispatch import Dispatch, Unbroken
from trunx.web.openapi import document
from trunx.web.ports import Ports
from trunx.web.request_log import request_log

RESOURCES = {
    "IVRs": ivrs.OPERATIONS,
    "DIDs": dids.OPERATIONS,
    "Suppressions": suppressions.OPERATIONS,
    "Calls": calls.OPERATIONS,
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
    application.add_routes(docs.routes(document(RESOURCES, ports.public_url, ports.version)))
    for group in RESOURCES.values():
        for operation in group:
            answer = Dispatch(operation, ports, unbroken).answer
            application.router.add_route(operation.method, operation.path, answer)
            if operation.method == "GET":
                application.router.add_route("HEAD", operation.path, answer)
    return application
