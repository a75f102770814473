"""What an account of the stand-in has beside calls: agents, tools, corpora, webhooks, its SIP settings."""

import json
import re
import uuid
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.peers.ultravox_checks import BUILT_IN, RefusedError, fields, template, tool

MARK, JESSICA = "aa601962-1cbd-4bbd-9d96-3c7a93c3414a", "a0000000-1111-4222-8333-444455556666"
EVENTS = {"call.started", "call.joined", "call.ended", "call.billed"}


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


@dataclass
class Things:
    """The rows, by id, as the API shows them. Tests change and delete them, as a user of the console may."""

    agents: dict[str, dict[str, Any]] = field(default_factory=dict)
    tools: dict[str, dict[str, Any]] = field(default_factory=dict)
    corpora: dict[str, dict[str, Any]] = field(default_factory=dict)
    sources: dict[str, dict[str, Any]] = field(default_factory=dict)
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    """`mime`, `name`, `corpus`, `content` (None: not uploaded yet)."""
    registrations: dict[str, dict[str, Any]] = field(default_factory=dict)
    voices: dict[str, str] = field(default_factory=lambda: {MARK: "Mark", JESSICA: "Jessica"})
    models: list[str] = field(
        default_factory=lambda: [
            *("ultravox-v0.7", "ultravox-v0.6", "ultravox-v0.6-llama3.3-70b", "ultravox-v0.6-gemma3-27b"),
            *("fixie-ai/ultravox", "fixie-ai/ultravox-70B"),
        ]
    )
    sip: dict[str, Any] = field(
        default_factory=lambda: {
            "allowedCidrRanges": [],
            "allowAllAgents": False,
            "allowedAgents": [],
            "fallbackHandler": None,
            "domain": "acme.sip.example.test",
        }
    )
    most_corpora: int = 100
    """Ultravox: 2, unless they give you more."""

    @property
    def tool_names(self) -> dict[str, str]:
        return {
            tool_id: row["definition"].get("modelToolName") or row["name"]
            for tool_id, row in self.tools.items()
        }

    # Agents

    def create_agent(self, body: Any) -> dict[str, Any]:
        row: dict[str, Any] = {
            "agentId": str(uuid.uuid4()),
            "publishedRevisionId": str(uuid.uuid4()),
            "name": "",
            "created": _now(),
            "callTemplate": None,
            "statistics": {"calls": 0},
        }
        self._fill(row, body)
        if not row["name"]:
            raise RefusedError('{"name": ["This field is required."]}')
        self.agents[row["agentId"]] = row
        return row

    def change_agent(self, agent_id: str, body: Any) -> dict[str, Any]:
        """What the body names is replaced: `callTemplate` whole, whatever else it had."""
        row = deepcopy(one(self.agents, agent_id, "Agent"))
        self._fill(row, body)
        self.agents[agent_id] = row | {"publishedRevisionId": str(uuid.uuid4())}
        return self.agents[agent_id]

    def _fill(self, row: dict[str, Any], body: Any) -> None:
        # Keys that an agent does not have are ignored here, without a word.
        if not isinstance(body, dict):
            raise RefusedError("Invalid data. Expected a dictionary.")
        if "name" in body:
            if not isinstance(body["name"], str) or not 1 <= len(body["name"]) <= 64:
                raise RefusedError("name: Ensure this field has 1 to 64 characters.")
            row["name"] = body["name"]
        if "callTemplate" in body:
            wanted = body["callTemplate"]
            template(wanted, voices=self.voices, models=self.models, tools=self.tool_names)
            kept = {key: value for key, value in deepcopy(wanted).items() if key != "sharedSecrets"}
            row["callTemplate"] = {
                "temperature": 0,
                "joinTimeout": "30s",
                "maxDuration": "3600s",
                **kept,
                "name": row["name"],
                "created": row["created"],
                "updated": _now(),
            }

    # Tools

    def put_tool(self, body: Any, tool_id: str | None = None) -> dict[str, Any]:
        fields("Tool", body, {"name", "definition", "toolId", "created", "ownership"})
        if not isinstance(body.get("name"), str) or not 1 <= len(body["name"]) <= 40:
            raise RefusedError("name: Ensure this field has 1 to 40 characters.")
        definition = tool(body.get("definition"))
        former = {"toolId": str(uuid.uuid4()), "created": _now()}
        if tool_id is not None:
            former = one(self.tools, tool_id, "Tool")
        row = {**former, "name": body["name"], "definition": deepcopy(definition), "ownership": "private"}
        self.tools[row["toolId"]] = row
        return row

    def all_tools(self) -> list[dict[str, Any]]:
        built_in = [
            {"toolId": tool_id, "name": name, "definition": {"modelToolName": name}, "ownership": "public"}
            for tool_id, name in BUILT_IN.items()
        ]
        return [*self.tools.values(), *built_in]

    # Corpora

    def create_corpus(self, body: Any) -> dict[str, Any]:
        fields("Corpus", body, {"name", "description"})
        if len(self.corpora) >= self.most_corpora:
            raise RefusedError(f"Maximum number of corpora ({self.most_corpora}) reached.")
        row: dict[str, Any] = {
            "corpusId": str(uuid.uuid4()),
            "created": _now(),
            "name": "",
            "description": "",
            "stats": {"status": "CORPUS_STATUS_EMPTY", "numChunks": 0, "numDocs": 0, "numVectors": 0},
        }
        self.corpora[row["corpusId"]] = row | body
        return self.corpora[row["corpusId"]]

    def change_corpus(self, corpus_id: str, body: Any) -> dict[str, Any]:
        row = one(self.corpora, corpus_id, "Corpus")
        row |= fields("Corpus", body, {"name", "description"})
        return row

    def delete_corpus(self, corpus_id: str) -> None:
        remove(self.corpora, corpus_id, "Corpus")
        self.sources = {key: row for key, row in self.sources.items() if row["corpusId"] != corpus_id}

    def look_at_corpus(self, corpus_id: str) -> dict[str, Any]:
        """As it is now. Each look finds it further on: first reading, then ready."""
        row = one(self.corpora, corpus_id, "Corpus")
        shown = deepcopy(row)
        if row["stats"]["status"] in {"CORPUS_STATUS_INITIALIZING", "CORPUS_STATUS_UPDATING"}:
            count = len(self.sources_of(corpus_id))
            row["stats"] = {"status": "CORPUS_STATUS_READY", "lastUpdated": _now(), "numDocs": count}
            row["stats"] |= {"numChunks": 12 * count, "numVectors": 12 * count}
        return shown

    def sources_of(self, corpus_id: str) -> list[dict[str, Any]]:
        one(self.corpora, corpus_id, "Corpus")
        return [row for row in self.sources.values() if row["corpusId"] == corpus_id]

    def create_source(self, corpus_id: str, body: Any) -> dict[str, Any]:
        corpus = one(self.corpora, corpus_id, "Corpus")
        fields("CorpusSource", body, {"name", "description", "crawl", "upload", "advanced"})
        if len({"crawl", "upload", "advanced"} & body.keys()) != 1:
            raise RefusedError("Sources must have exactly one of crawl, upload, advanced")
        if len(self.sources_of(corpus_id)) >= 20:
            raise RefusedError("Maximum number of sources (20) reached.")
        if "crawl" in body:
            _crawl(body["crawl"])
        if "upload" in body:
            wanted = fields("UploadSpec", body["upload"], {"documentIds"}).get("documentIds") or []
            known = [self.documents.get(document, {}) for document in wanted]
            if not wanted or not all(
                one["corpus"] == corpus_id and one["content"] is not None for one in known if one
            ):
                raise RefusedError("Some documents have not been uploaded.")
            if not all(known):
                raise RefusedError("Some documents do not exist.")
        row = {
            "corpusId": corpus_id,
            "sourceId": str(uuid.uuid4()),
            "created": _now(),
            **body,
            "stats": {"status": "SOURCE_STATUS_INITIALIZING", "numDocs": 0},
        }
        self.sources[row["sourceId"]] = row
        ready = corpus["stats"]["status"] == "CORPUS_STATUS_READY"
        corpus["stats"]["status"] = f"CORPUS_STATUS_{'UPDATING' if ready else 'INITIALIZING'}"
        return row

    def look_at_source(self, corpus_id: str, source_id: str) -> dict[str, Any]:
        row = one(self.sources, source_id, "CorpusSource")
        if row["corpusId"] != corpus_id:
            raise RefusedError("No CorpusSource matches the given query.", 404)
        shown = deepcopy(row)
        row["stats"] = {"status": "SOURCE_STATUS_READY", "numDocs": 1}
        return shown

    def create_upload(self, corpus_id: str, body: Any, url: str) -> dict[str, Any]:
        one(self.corpora, corpus_id, "Corpus")
        fields("UploadRequest", body, {"mimeType", "fileName"})
        if not re.fullmatch(r"[\w.+-]+/[\w.+-]+", body.get("mimeType") or ""):
            raise RefusedError("mimeType is required")
        document = str(uuid.uuid4())
        self.documents[document] = {
            "corpus": corpus_id,
            "mime": body["mimeType"],
            "name": body.get("fileName"),
            "content": None,
        }
        return {"documentId": document, "presignedUrl": f"{url}/storage/{document}?X-Amz-Signature=abc"}

    def found_in(self, corpus_id: str, body: Any) -> list[dict[str, Any]]:
        """Every uploaded text that has a word of the query."""
        one(self.corpora, corpus_id, "Corpus")
        fields("CorpusQueryRequest", body, {"query", "maxResults"})
        words = set(str(body.get("query", "")).lower().split())
        found = []
        for source in self.sources_of(corpus_id):
            for document in source.get("upload", {}).get("documentIds", ()):
                text = (self.documents[document]["content"] or b"").decode("utf-8", "replace")
                if words & set(re.findall(r"\w+", text.lower())):
                    citation = {"sourceId": source["sourceId"], "documentId": document}
                    found.append({"content": text, "score": 0.83, "citation": citation})
        return found[: body.get("maxResults", 5)]

    # Webhooks and SIP

    def webhook(self, body: Any, row: dict[str, Any] | None = None) -> dict[str, Any]:
        known = fields("Webhook", body, {"url", "events", "secrets", "agentId"})
        new: dict[str, Any] = {
            "webhookId": str(uuid.uuid4()),
            "agentId": None,
            "created": _now(),
            "status": "normal",
        }
        new |= {"lastStatusChange": None, "recentFailures": [], "secrets": [uuid.uuid4().hex], "events": []}
        made = (row or new) | known
        if not 0 < len(made.get("url", "")) <= 200 or any(len(secret) > 120 for secret in made["secrets"]):
            raise RefusedError("url: at most 200 characters; secrets: at most 120 each")
        if unknown := set(made["events"]) - EVENTS:
            raise RefusedError(f"events: {json.dumps(sorted(unknown))} is not a valid choice.")
        return made

    def change_sip(self, body: Any) -> dict[str, Any]:
        known = {"allowedCidrRanges", "allowAllAgents", "allowedAgents", "fallbackHandler"}
        fields("SipConfig", body, known)
        if len(body.get("allowedAgents", ())) > 20:
            raise RefusedError("allowedAgents: Ensure this field has no more than 20 elements.")
        self.sip |= body
        return self.sip

    def register(self, body: Any) -> dict[str, Any]:
        known = {"username", "password", "proxy", "outboundProxy", "authUser"}
        fields("SipRegistration", body, known)
        row: dict[str, Any] = {
            "registrationId": uuid.uuid4().hex,
            "created": _now(),
            "outboundProxy": None,
            "authUser": None,
        }
        row |= {key: value for key, value in body.items() if key != "password"} | {"successful": None}
        self.registrations[row["registrationId"]] = row
        return row


def _crawl(body: Any) -> None:
    known = {"startUrls", "maxDepth", "maxDocuments", "maxDocumentBytes", "relevantDocumentTypes"}
    urls = fields("CrawlSpec", body, known).get("startUrls") or []
    if not urls or not all(re.match(r"https?://", url) for url in urls):
        raise RefusedError("startUrls: Enter a valid URL.")


def one(rows: dict[str, dict[str, Any]], key: str, kind: str) -> dict[str, Any]:
    if key not in rows:
        raise RefusedError(f"No {kind} matches the given query.", 404)
    return rows[key]


def remove(rows: dict[str, dict[str, Any]], key: str, kind: str) -> None:
    one(rows, key, kind)
    del rows[key]
