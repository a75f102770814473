"""Log lines for the operator at 3 a.m.: time, level, what happened, and the facts as key=value or JSON."""

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import structlog
from pydantic_core import to_json


def _json(logger: object, method: str, event: dict[str, Any]) -> bytes:
    """One line. Level and time are put in here: a line is written for every call, and processors cost."""
    event["level"] = method
    event["timestamp"] = datetime.now(UTC)
    if "exc_info" in event:
        structlog.processors.format_exc_info(logger, method, event)
    return to_json(event, fallback=str)


def _json_text(logger: object, method: str, event: dict[str, Any]) -> str:
    return _json(logger, method, event).decode()


def configure(*, as_json: bool, level: int = logging.INFO) -> None:
    """Sends structlog's lines and the standard library's to standard error, in one form."""
    contexts, level_of = structlog.contextvars.merge_contextvars, structlog.processors.add_log_level
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    foreign: list[structlog.typing.Processor] = [contexts, level_of, structlog.stdlib.ExtraAdder()]
    processors: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if as_json:
        own: list[Any] = [contexts, _json]
        factory: Any = structlog.BytesLoggerFactory(file=sys.stderr.buffer)
        processors += [_json_text]
    else:
        # A plain traceback: structlog's own shows the variables too, and passwords are among them.
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        own = [contexts, level_of, stamp, renderer]
        factory = structlog.WriteLoggerFactory(file=sys.stderr)
        processors += [stamp, renderer]
    structlog.configure(
        processors=own,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=foreign, processors=processors)
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("aiohttp.access").disabled = True  # the API writes its own line for each request
