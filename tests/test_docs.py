"""What README and docs/ say is so: commands are run as they stand, tables are compared, links are followed.

The contract's examples are run in the same way.
"""

import ast
import http.client
import json
import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from dialplan import render
from tests.cli.command import DID, Serving
from tests.pages import KEY, ROOT, answered, ask, blocks, make_run, paste, table
from trunx.adapters.store.recorder import CLOSE_DEADLINE, MOST_WAITING
from trunx.cli import app
from trunx.domain.call import EndReason, Event, Status
from trunx.domain.log import EventType, as_json
from trunx.domain.sound import sound_name
from trunx.domain.webhook import new_secret
from trunx.settings import Settings, variable
from trunx.web.application import RESOURCES
from trunx.web.bodies import MAX_BODY_BYTES
from trunx.web.outbound import REFUSALS
from trunx.web.paging import MAX_LIMIT, PageQuery

PAGES = {page: page.read_text("utf-8") for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))}
README = PAGES[ROOT / "README.md"]
API, ASTERISK, EVENTS, HOUSE, OPERATING, OUTBOUND = (
    PAGES[ROOT / "docs" / f"{name}.md"]
    for name in ("api", "asterisk", "events", "house", "operating", "outbound")
)

CREATE = """\
curl -X POST https://api.trunx.io/ivr \\
-H "Authorization: Bearer tk_live_..." \\
-H "Content-Type: application/json" \\
-d '{
"id": "qualify-business",
"nodes": {
"welcome": {
"audio": "welcome.wav",
"gather": { "1": "has_business", "9": "dnc" },
"timeout_node": "welcome"
},
"has_business": {
"audio": "business_check.wav",
"gather": { "1": "transfer_ai", "2": "unqualified" }
},
"transfer_ai": { "action": "transfer" },
"unqualified": { "action": "hangup", "audio": "not_qualified.wav" },
"dnc": { "action": "suppress" }
}
}'"""
ASSIGN = """\
curl -X POST "https://api.trunx.io/ivr/qualify-business/assign" \\
-H "Authorization: Bearer tk_live_..." \\
-H "Content-Type: application/json" \\
-d '{ "did": "+19495551234" }'"""


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Who has typed README's first command."""
    with make_run(tmp_path_factory.mktemp("newcomer")) as server:
        yield server


def test_readme_is_followed_from_its_first_command_to_its_last(newcomer: Serving) -> None:
    run, create, assign, speak, call, look, test = blocks(README, "sh")
    assert (run, test) == ("make run\n", "make test\n")
    assert newcomer.get(f"/dids/{DID}", KEY)[1]["ivr"] == "qualify-business"
    document = create[create.index("'{") + 1 : create.rindex("'")]
    assert len(document.splitlines()) <= 15
    created = json.loads(paste(newcomer, create))
    assert created["nodes"] == json.loads(document)["nodes"]
    assert created["warnings"] == []
    assert json.loads(paste(newcomer, assign))["formerIvr"] is None
    assert json.loads(paste(newcomer, speak))["usedBy"] == [
        {"ivr": "reception", "node": "menu", "field": "audio"}
    ]
    assert _timeless(paste(newcomer, call)) == _timeless(blocks(README, "text")[0])
    [kept] = json.loads(paste(newcomer, look))["calls"]
    assert (kept["to"], kept["ivr"], kept["endReason"]) == ("+19495550100", "reception", "hangup")


def _timeless(walk: str) -> list[str]:
    """A printed walk without what differs from call to call."""
    walk = re.sub(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]+){4}|127\.0\.0\.1:[0-9]+", "-", walk)
    return [re.sub(r"^ *[0-9.]+s|[0-9.]+ s$", "-", line) for line in walk.strip().splitlines()]


def test_the_contracts_examples_answer_as_written(tmp_path: Path) -> None:
    with make_run(tmp_path, demo=0) as server:
        assert server.get("/ivr", KEY) == (200, {"ivrs": [], "count": 0, "next": None})
        document = json.loads(CREATE[CREATE.index("'") + 1 : -1])
        status, created = answered(server, CREATE)
        assert status == 201
        assert list(created["nodes"].items()) == list(document["nodes"].items())
        assert {warning["code"] for warning in created["warnings"]} == {"audio-missing"}
        assert answered(server, CREATE)[0] == 409
        assigned = {"id": "qualify-business", "did": DID, "formerIvr": None}
        assert answered(server, ASSIGN) == (200, assigned)
        assert answered(server, ASSIGN) == (200, assigned | {"formerIvr": "qualify-business"})

        status, listed = server.get("/ivr", KEY)
        assert (status, listed["count"], listed["ivrs"][0]["id"]) == (200, 1, "qualify-business")
        assert server.get("/ivr/qualify-business", KEY)[1]["dids"] == [DID]
        change = {"nodes": {"dnc": None, "welcome": {"audio": "hi.wav", "gather": {"1": "has_business"}}}}
        status, changed = ask(server, "PATCH", "/ivr/qualify-business", change)
        assert (status, changed["version"]) == (200, 2)
        assert list(changed["nodes"]) == ["welcome", "has_business", "transfer_ai", "unqualified"]

        status, refused = ask(server, "DELETE", "/ivr/qualify-business")
        assert (status, refused["code"], refused["dids"]) == (409, "ivr-assigned", [DID])
        assert ask(server, "DELETE", f"/dids/{DID}")[0] == 200
        assert ask(server, "DELETE", "/ivr/qualify-business") == (
            200,
            {"deleted": True, "id": "qualify-business"},
        )
        assert server.get("/ivr/qualify-business", KEY)[0] == 404


def test_the_page_s_problem_is_what_the_server_answers(newcomer: Serving) -> None:
    shown = json.loads(blocks(API.replace("\n  ", "\n"), "json")[0])
    tree = {"welcome": {"audio": "welcome.wav", "gather": {"9": "dnc"}}}
    status, answer = ask(newcomer, "POST", "/ivr", {"id": "shown", "nodes": tree})
    assert status == shown["status"]
    for problem in (shown, answer):
        problem["type"] = urldefrag(problem["type"]).fragment
        problem["instance"] = re.sub(r"[0-9a-f]{32}$", "", problem["instance"])
    assert answer == shown


def test_the_page_lists_every_operation_and_no_other() -> None:
    listed: set[tuple[str, str]] = set()
    methods: list[str] = []
    for token in re.findall(r"`([^`]+)`", " ".join(row[0] for row in table(API, "operation"))):
        *words, path = token.rsplit(" ", 1)
        methods += words or [path]
        if words:
            listed |= {(method, path) for method in methods}
            methods = []
    operations = [operation for group in RESOURCES.values() for operation in group]
    assert listed == {(operation.method, operation.path) for operation in operations}
    limit = PageQuery.model_fields["limit"]
    assert f"`limit` is 1 to {MAX_LIMIT} ({limit.default})" in API
    assert f"at most {MAX_BODY_BYTES // 2**20} MiB" in API


def test_the_table_of_settings_is_the_settings() -> None:
    def shown(default: object) -> str:
        return f"`{int(default) if isinstance(default, bool) else default}`"

    assert table(OPERATING, "variable") == [
        [
            f"`{variable(name)}`",
            "" if field.default_factory or field.default in (None, ()) else shown(field.default),
            field.description,
        ]
        for name, field in Settings.model_fields.items()
    ]


def test_no_page_names_a_setting_or_a_command_that_there_is_not() -> None:
    known = {variable(name) for name in Settings.model_fields} | {"TRUNX_DID", "TRUNX_DEMO_AI"}
    program = get_command(app)
    assert isinstance(program, TyperGroup)
    for page, text in PAGES.items():
        assert set(re.findall(r"\bTRUNX_[A-Z_]+\b", text)) <= known, page
        for words in re.findall(r"(?:`|\.venv/bin/)trunx ([a-z ]+)", text):
            command = program.commands[words.split()[0]]
            if isinstance(command, TyperGroup):
                # `trunx call` without a subcommand takes a number.
                assert set(words.split()[1:2]) <= set(command.commands), (page, words)
                assert words.split()[1:2] or words.split() == ["call"], (page, words)
        for target in re.findall(r"`(?:[A-Z_]+=\S+ )?make ([a-z]+)`", text):
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), (page, target)


def test_the_example_of_several_servers_is_a_file_of_settings() -> None:
    [example] = blocks(OPERATING, "toml")
    given = tomllib.loads(example)
    assert set(given) <= set(Settings.model_fields)
    assert [str(network) for network in Settings(**given).agi_allow] == ["10.0.7.11/32", "10.0.7.12/32"]


def test_what_the_log_is_said_to_say_it_says() -> None:
    sources = [path for room in ("agi", "trunx") for path in (ROOT / room).rglob("*.py")]
    written = [
        node.value
        for path in sources
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    quoted = [
        line for row in table(OPERATING, "line begins with") for line in re.findall(r"`([^`]+)`", row[0])
    ]
    assert len(quoted) > 20
    assert [line for line in quoted if not any(text.startswith(line) for text in written)] == []


def test_the_table_of_metrics_is_what_is_measured(newcomer: Serving) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", newcomer.http_port, timeout=10)
    connection.request("GET", "/metrics")
    measured = connection.getresponse().read().decode()
    connection.close()
    ours = set(re.findall(r"^# TYPE (trunx_\w+) ", measured, re.MULTILINE))
    named = {row[0].strip("`") for row in table(OPERATING, "metric")}
    assert named == {name for name in ours if not name.endswith("_created")}


def test_figures_are_those_of_the_code() -> None:
    drain = Settings.model_fields["drain_seconds"].default
    sessions = Settings.model_fields["agi_sessions"].default
    assert f"{drain + CLOSE_DEADLINE + 5:.0f} s with the default" in OPERATING
    assert f"({MOST_WAITING:,} at most)" in OPERATING
    assert f"Events go after {Settings.model_fields['events_days'].default} days" in EVENTS
    assert f"`TRUNX_AGI_SESSIONS` calls at once ({sessions:,})" in ASTERISK
    assert f"`TRUNX_DRAIN_SECONDS` ({drain})" in ASTERISK
    assert sound_name("ACCOUNT", "hours.wav") == "trunx/ACCOUNT/hours"
    assert sound_name("ACCOUNT", "one moment.wav").endswith("/one%20moment")


def test_the_pages_of_calls_and_events_name_all_there_is() -> None:
    def first(page: str, head: str) -> list[str]:
        return [row[0].strip("`") for row in table(page, head)]

    assert sorted(first(OUTBOUND, "code")) == sorted(REFUSALS)
    assert all(row[1] == str(REFUSALS[row[0].strip("`")].status) for row in table(OUTBOUND, "code"))
    assert sorted(first(OUTBOUND, "endReason")) == sorted(EndReason)
    assert first(OUTBOUND, "status") == list(Status)
    assert first(EVENTS, "type") == list(EventType)
    event = json.loads(blocks(EVENTS, "json")[0])
    assert first(EVENTS, "field") == list(event) == list(as_json(Event("", None, "", datetime.now(UTC), {})))


def test_calls_are_judged_and_events_are_told_as_the_pages_show(newcomer: Serving) -> None:
    preview, limits = blocks(OUTBOUND, "sh")
    assert json.loads(paste(newcomer, preview))["allowed"] in (True, False)
    assert "08:00-21:00, where it rings" in paste(newcomer, limits)
    log, create = blocks(EVENTS, "sh")
    assert paste(newcomer, log).startswith("retry: 2000\n\n")
    assert json.loads(paste(newcomer, create))["secret"].startswith("whsec_")


def test_a_signature_is_verified_as_the_page_shows() -> None:
    names: dict[str, Any] = {}
    exec(blocks(EVENTS, "python")[0], names)
    secret, moment, body = new_secret(), datetime.now(UTC), '{"data": {"seq": 1}}'
    signature = names["Webhook"](secret).sign("one", moment, body)
    headers = {"webhook-id": "one", "webhook-timestamp": str(int(moment.timestamp()))}
    headers["webhook-signature"] = signature
    assert names["event_of"](secret, headers, body.encode()) == {"seq": 1}
    assert names["event_of"](new_secret(), headers, body.encode()) is None


def test_a_backup_is_made_and_put_back(newcomer: Serving, tmp_path: Path) -> None:
    backup, restore = blocks(OPERATING, "sh")
    paste(newcomer, backup)
    (tmp_path / "data").mkdir()
    (newcomer.folder / "backup.db").rename(tmp_path / "backup.db")
    paste(newcomer, restore, tmp_path)
    with make_run(tmp_path) as restored:
        assert restored.get(f"/dids/{DID}", KEY)[1]["ivr"] == "qualify-business"


def test_every_link_leads_somewhere() -> None:
    for page, text in PAGES.items():
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            if not link.startswith("https://"):
                path, fragment = urldefrag(link)
                target = (page.parent / path).resolve() if path else page
                assert target.exists(), (page, link)
                assert not fragment or fragment in _anchors(target), (page, link)


def _anchors(page: Path) -> list[str]:
    """What GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_every_page_is_reached_from_the_first() -> None:
    linked = {(ROOT / urldefrag(link).url).resolve() for link in re.findall(r"\]\(([^)\s]+)\)", README)}
    assert linked >= set(PAGES) - {ROOT / "README.md"}


def test_every_file_that_the_house_names_is_there() -> None:
    named = re.findall(r"(?<![\w/])((?:agi|dialplan|docs|sounds|tests|trunx)/[\w/.-]*[\w/])", HOUSE)
    assert len(named) > 50
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_sample_is_what_the_code_prints() -> None:
    assert (ROOT / "extensions.conf.sample").read_text("utf-8") == render()
