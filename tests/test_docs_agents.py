"""What docs/agents.md says of agents, tools and knowledge is so: commands are typed, tables compared."""

import json
import re
import typing
from collections.abc import Iterator

import pytest

from tests.cli.command import Serving
from tests.pages import KEY, ROOT, blocks, make_run, paste, table
from trunx.domain.agent import MAX_SECONDS
from trunx.domain.agent_template import TOOL_TIMEOUT
from trunx.engine.making import Condition
from trunx.web import ai_problems
from trunx.web.agents import MOST_GIVEN, AgentNew
from trunx.web.knowledge import LARGEST_DOCUMENT

PAGE = (ROOT / "docs" / "agents.md").read_text("utf-8")


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Who has typed the page's first command."""
    with make_run(tmp_path_factory.mktemp("newcomer"), demo_ai=1) as server:
        yield server


def test_the_commands_make_what_the_page_says(newcomer: Serving) -> None:
    commands = [block for block in blocks(PAGE, "sh") if block.startswith("curl -X POST")]
    made = {}
    for resource in ("agents", "tools", "knowledge"):
        [command] = [each for each in commands if f"/api/voice/{resource} " in each]
        made[resource] = json.loads(paste(newcomer, command))
    assert made["agents"]["ultravoxId"]
    for resource, body in made.items():
        got = newcomer.get(f"/api/voice/{resource}/{body['id']}", KEY)[1]
        assert {"ready", "empty"} & {got["status"]}


def test_the_table_of_fields_is_the_model() -> None:
    rows = table(PAGE, "field")
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(named) == sorted(AgentNew.model_fields)
    told = " ".join(row[1] for row in rows)
    assert f"at most {MOST_GIVEN} of each" in told
    assert f"; {MAX_SECONDS} when absent" in told


def test_the_tables_of_words_are_those_of_the_api() -> None:
    conditions = [word for row in table(PAGE, "`status`") for word in re.findall(r"`(\w+)`", row[0])]
    assert sorted(conditions) == sorted(typing.get_args(Condition))
    codes = {(row[0].strip("`"), int(row[1])) for row in table(PAGE, "code")}
    assert codes == {(kind.code, kind.status) for kind in ai_problems.PROBLEMS}


def test_numbers_on_the_page_are_those_in_the_code() -> None:
    assert TOOL_TIMEOUT == "10s"
    assert "after ten the agent goes on" in PAGE
    assert f"of {LARGEST_DOCUMENT // 1_000_000} MB at most" in PAGE
