"""Whether we live, whether we can work, and our figures: for load balancers, operators and Prometheus."""

import asyncio
from typing import Literal

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import Field

from trunx.web.models import AnswerBody
from trunx.web.operation import Asked, Operation, Reply


class Health(AnswerBody):
    """The process answers."""

    status: Literal["ok"]
    version: str


class PartAnswer(AnswerBody):
    """A part of the outside."""

    name: str
    state: str = Field(description="`ok`, `off` (not configured), `degraded` (we work without it) or `down`.")
    detail: str


class Readiness(AnswerBody):
    """Whether requests and calls can be served."""

    status: Literal["ready", "not-ready"]
    parts: list[PartAnswer]


async def get_health(asked: Asked) -> Reply:
    """Tell that the process lives."""
    return Reply(200, Health(status="ok", version=asked.ports.version))


async def get_readiness(asked: Asked) -> Reply:
    """Tell the state of each part; 503 when one that is needed is down."""
    states = await asyncio.gather(*(part.state() for part in asked.ports.parts))
    parts = [PartAnswer(name=one.name, state=one.state, detail=one.detail) for one in states]
    if any(one.state == "down" for one in states):
        return Reply(503, Readiness(status="not-ready", parts=parts))
    return Reply(200, Readiness(status="ready", parts=parts))


async def get_metrics(_asked: Asked) -> web.Response:
    """Figures for Prometheus."""
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


OPERATIONS = (
    Operation("GET", "/healthz", get_health, {200: Health}, open=True),
    Operation("GET", "/readyz", get_readiness, {200: Readiness, 503: Readiness}, open=True),
    Operation("GET", "/metrics", get_metrics, {200: "text/plain"}, open=True),
)
