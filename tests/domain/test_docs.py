"""docs/ivr.md says what is so: its examples are good trees, its tables name every field and warning."""

import json
import re
from pathlib import Path
from typing import Any

from tests.domain.samples import CONTRACT, gather, nodes, tree
from trunx.domain.document import (
    MAX_DOCUMENT_BYTES,
    MAX_NODES,
    ActionNode,
    GatherNode,
    IvrChange,
    IvrDocument,
    TransferNode,
    changed,
)
from trunx.domain.lint import EVERYTHING, Known, warnings
from trunx.domain.strict_json import loads
from trunx.domain.walk import STEP_LIMIT

TEXT = (Path(__file__).parents[2] / "docs" / "ivr.md").read_text("utf-8")
BLOCKS = [
    loads(block.encode()) for block in re.findall(r"^```json\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
]


def _table(title: str) -> dict[str, list[str]]:
    """The rows under a heading cell, by what stands in their first cell."""
    rows = TEXT[TEXT.index(f"| {title} |") :].split("\n\n", 1)[0].splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {row[0].strip("`"): row[1:] for row in cells}


def test_the_examples_are_trees_without_a_flaw() -> None:
    documents = [block for block in BLOCKS if "id" in block]
    assert len(documents) == 4
    assert documents[0] == loads(CONTRACT)
    for document in documents:
        assert warnings(tree(document), EVERYTHING) == []


def test_the_change_makes_a_tree_of_the_contract_s() -> None:
    change = next(block for block in BLOCKS if "id" not in block)
    after = changed(loads(CONTRACT), IvrChange.model_validate(change))
    assert list(tree(after).nodes) == ["welcome", "transfer_ai", "dnc"]


def test_every_field_stands_in_its_table_with_its_default() -> None:
    for title, model in (
        ("of the document", IvrDocument),
        ("of a gather node", GatherNode),
        ("of a transfer node", TransferNode),
        ("of another action node", ActionNode),
    ):
        table = _table(title)
        assert list(table) == sorted(model.model_fields, key=list(table).index)
        for name, field in model.model_fields.items():
            default = table[name][0]
            assert (default == "required") == field.is_required()
            if isinstance(field.default, int | float):
                assert default == str(field.default)


def test_ranges_and_limits_are_those_of_the_model() -> None:
    for title, model, names in (
        ("of a gather node", GatherNode, ("timeout", "attempts")),
        ("of a transfer node", TransferNode, ("timeout",)),
    ):
        fields: dict[str, Any] = json.loads(json.dumps(model.model_json_schema()))["properties"]
        for name in names:
            shown = f"{fields[name]['minimum']:g}-{fields[name]['maximum']:g}"
            assert _table(title)[name][1].endswith(shown)
    assert f"1-{MAX_NODES:,} nodes" in TEXT
    assert f"more than {MAX_DOCUMENT_BYTES // 1024} KB" in TEXT
    assert f"After {STEP_LIMIT:,} nodes" in TEXT


def test_every_warning_stands_in_its_table() -> None:
    odd = nodes(
        a=gather({"1": "a"}, attempts=1, timeout_node="b"),
        b={"action": "transfer", "agent": "a1"},
        c={"action": "transfer", "to": "sip:desk@example.com"},
    )
    nothing = Known(*[lambda _: False] * 3)
    assert {warning.code for warning in warnings(tree(odd), nothing)} == set(_table("code"))
