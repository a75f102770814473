"""OpenAPI 3.1, made of the same operations and models that answer requests."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema
from pydantic_core.core_schema import DictSchema

from trunx.web import idempotency, problems, request_log
from trunx.web.operation import Operation, Sends
from trunx.web.problems import Kind, Problem

Schema = dict[str, Any]
Resources = Mapping[str, Sequence[Operation]]

_REQUEST_ID = {
    "description": "Names this request in our log.",
    "schema": {"type": "string"},
    "required": True,
}
_REPLAYED = {
    "description": "`true`: this is the answer that the first request with this key got.",
    "schema": {"type": "string", "const": "true"},
}
_IDEMPOTENCY_KEY = {
    "name": idempotency.HEADER,
    "in": "header",
    "description": "A name for this request: sent again within 24 hours, it is answered as before.",
    "schema": {"type": "string", "pattern": idempotency.PATTERN, "minLength": 1, "maxLength": 255},
}


_FILE_HEADERS: Schema = {
    "ETag": {"description": "Names the content.", "schema": {"type": "string"}},
    "Accept-Ranges": {"description": "`bytes`.", "schema": {"type": "string"}},
}


def document(resources: Resources, public_url: str, version: str) -> Schema:
    """The description of `resources` (operations by tag)."""
    reference = _Reference([operation for group in resources.values() for operation in group])
    paths: dict[str, Schema] = {}
    for tag, group in resources.items():
        for operation in group:
            described = {"tags": [tag], **reference.operation(operation)}
            paths.setdefault(operation.path, {})[operation.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "trunx",
            "version": version,
            "description": "Phone calls walk IVR trees on your own Asterisk.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": public_url}],
        "security": [{"key": []}],
        "tags": [{"name": tag} for tag in resources],
        "paths": paths,
        "x-problems": _problems(resources),
        "components": {
            "schemas": reference.components,
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key of an account: `tk_live_...`.",
                },
                "link": {
                    "type": "apiKey",
                    "in": "query",
                    "name": "signature",
                    "description": "Part of a link that an answer holds, together with what else is in that.",
                },
            },
        },
    }


def _problems(resources: Resources) -> list[Schema]:
    """Every kind of problem, for `/docs`, where the `type` of each leads."""
    kinds = {problems.NOT_FOUND, problems.METHOD_NOT_ALLOWED}
    for group in resources.values():
        for operation in group:
            kinds.update(operation.all_problems)
    return [asdict(kind) for kind in sorted(kinds, key=lambda kind: (kind.status, kind.code))]


class _Schemas(GenerateJsonSchema):
    """Pydantic's own schemas, without titles that repeat a field's name."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        """Never."""
        return False

    def dict_schema(self, schema: DictSchema) -> Schema:
        """Says that a key that does not fit its pattern is refused; `patternProperties` alone allows it."""
        told = super().dict_schema(schema)
        for pattern, values in told.pop("patternProperties", {}).items():
            told["propertyNames"] = {**told.get("propertyNames", {}), "pattern": pattern}
            told["additionalProperties"] = values
        return told


class _Reference:
    """The schemas of all models, under one name each."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {(Problem, "serialization"): None}
        for operation in operations:
            wanted |= {(model, "validation"): None for model in operation.reads.values()}
            wanted |= {(model, "serialization"): None for model in _answer_models(operation)}
        self._schemas, definitions = models_json_schema(
            list(wanted), ref_template="#/components/schemas/{model}", schema_generator=_Schemas
        )
        self.components: Schema = definitions["$defs"]
        # Paths and queries are told as parameters, one by one; as components they would say it twice.
        self._parameters = {
            model: _parameters(self.components.pop(self._name(model)), place)
            for place, model in {
                (place, operation.reads[place])
                for operation in operations
                for place in ("path", "query")
                if place in operation.reads
            }
        }

    def _name(self, model: type[BaseModel]) -> str:
        return str(self._schemas[(model, "validation")]["$ref"]).rpartition("/")[2]

    def operation(self, operation: Operation) -> Schema:
        """One operation in OpenAPI's words."""
        described: Schema = {
            "operationId": operation.id,
            "summary": operation.summary,
            "parameters": [
                parameter
                for place in ("path", "query")
                if place in operation.reads
                for parameter in self._parameters[operation.reads[place]]
            ],
            "responses": self._responses(operation),
        }
        if operation.description:
            described["description"] = operation.description
        if operation.idempotent:
            described["parameters"].append(_IDEMPOTENCY_KEY)
        if "body" in operation.reads:
            schema = self._schemas[(operation.reads["body"], "validation")]
            described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
        if "form" in operation.reads:
            schema = self._schemas[(operation.reads["form"], "validation")]
            described["requestBody"] = {
                "required": True,
                "content": {"multipart/form-data": {"schema": schema}},
            }
        if operation.open:
            described["security"] = []
        elif operation.signed:
            described["security"] = [{"key": []}, {"link": []}]
        return described

    def _content(self, answer: type[BaseModel] | Sends | str) -> Schema:
        match answer:
            case Sends():
                # Of bytes JSON Schema has nothing to say.
                return {media_type: {} for media_type in answer.media_types}
            case "text/event-stream":
                # An endless text; what an event holds is said in words.
                return {answer: {}}
            case str():
                return {answer: {"schema": {"type": "string"}}}
            case _:
                return {"application/json": {"schema": self._schemas[(answer, "serialization")]}}

    def _responses(self, operation: Operation) -> Schema:
        responses: Schema = {}
        for kind in operation.all_problems:
            response = responses.setdefault(
                str(kind.status),
                {
                    "description": "",
                    "headers": {request_log.HEADER: _REQUEST_ID, **_headers(kind, operation)},
                    "content": {problems.MEDIA_TYPE: {"schema": self._schemas[(Problem, "serialization")]}},
                },
            )
            response["description"] += f"`{kind.code}`: {kind.title}. "
        for status, answer in operation.answers.items():
            headers: Schema = {request_log.HEADER: _REQUEST_ID}
            if operation.idempotent:
                headers[idempotency.REPLAYED] = _REPLAYED
            ours: Schema = {
                "description": HTTPStatus(status).phrase,
                "headers": headers,
                "content": self._content(answer),
            }
            if isinstance(answer, Sends):
                ours["headers"] = headers | _FILE_HEADERS
                responses["206"] = {**ours, "description": "The part that `Range` asked for"}
                responses["304"] = {
                    "description": "The client has it already (`If-None-Match`)",
                    "headers": headers | {"ETag": _FILE_HEADERS["ETag"]},
                }
            theirs = responses.get(str(status))
            if theirs is not None:
                ours["description"] += ". " + theirs["description"]
                ours["content"] |= theirs["content"]
            responses[str(status)] = ours
        return dict(sorted(responses.items()))


def _answer_models(operation: Operation) -> Iterator[type[BaseModel]]:
    yield from (answer for answer in operation.answers.values() if not isinstance(answer, str | Sends))


def _parameters(schema: Schema, place: str) -> list[Schema]:
    required = schema.get("required", ())
    found = []
    for name, told in schema["properties"].items():
        rest = {
            key: value
            for key, value in told.items()
            if key not in {"title", "description", "default", "anyOf"}
        }
        # A parameter that may be left out is no null: there is no way to write one in a URL.
        some = [one for one in told.get("anyOf", ()) if one != {"type": "null"}]
        if told.get("default") is not None:
            rest["default"] = told["default"]
        for one in some:
            rest |= one
        parameter = {"name": name, "in": place, "required": name in required, "schema": rest}
        if "description" in told:
            parameter["description"] = told["description"]
        found.append(parameter)
    return found


def _headers(kind: Kind, operation: Operation) -> Schema:
    """The headers that come with a kind of problem."""
    text: Schema = {"schema": {"type": "string"}}
    match kind.status:
        case 401:
            return {
                "WWW-Authenticate": {"description": "Which kind of key is wanted.", "required": True, **text}
            }
        case 416:
            return {"Content-Range": {"description": "How large the file is: `bytes */SIZE`.", **text}}
        case 503:
            return {"Retry-After": {"description": "Seconds to wait.", **text}}
        case 409 if operation.idempotent:
            return {
                "Retry-After": {"description": "Seconds to wait, with `request-in-progress`.", **text},
                idempotency.REPLAYED: _REPLAYED,
            }
        case _:
            return {}
