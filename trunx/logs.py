"""Log lines for the operator at 3 a.m.: time, level, what happened, and the facts as key=value or JSON."""

import logging
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any

import structlog
from pydantic_core import to_json


def _json(logger: object, method: str, event: MutableMapping[str, Any]) -> bytes:
    """One line. Level and time are put in here: a line is written for every call, and processors cost."""
    event["level"] = method
    event["timestamp"] = datetime.now(UTC)
    if "exc_info" in event:
        structlog.processors.format_exc_info(logger, method, event)
    return to_json(event, fallback=str)


def _json_text(logger: object, method: str, event: dict[str, Any]) -> str:
    return _json(logger, method, event).decode()


class _JsonLines(structlog.BoundLoggerBase):
    """Writes a line without structlog's chain of processors, whose upkeep costs more than the line."""

    def _proxy_to_logger(self, method_name: str, event: str | None = None, **event_kw: Any) -> None:
        event_kw["event"] = event
        whole = structlog.contextvars.merge_contextvars(
            self._logger, method_name, {**self._context, **event_kw}
        )
        self._logger.msg(_json(self._logger, method_name, whole))


def configure(*, as_json: bool, level: int = logging.INFO) -> None:
    """Sends structlog's lines and the standard library's to standard error, in one form."""
    contexts, level_of = structlog.contextvars.merge_contextvars, structlog.processors.add_log_level
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    foreign: list[structlog.typing.Processor] = [contexts, level_of, structlog.stdlib.ExtraAdder()]
    processors: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    wrapper: type[Any] = structlog.make_filtering_bound_logger(level)
    if as_json:
        wrapper = type("JsonLogger", (_JsonLines, wrapper), {})
        own: list[Any] = []
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
        wrapper_class=wrapper,
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
