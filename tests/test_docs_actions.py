"""What docs/actions.md says is so: its paths, fields, defaults and codes are those of the code."""

from pydantic import BaseModel

from tests.pages import ROOT, table
from trunx.domain.download import DownloadProblem
from trunx.domain.speech import SPOKEN_CHARACTERS
from trunx.engine.actions.record import FILE_SECONDS
from trunx.web import actions, record_actions, transfers
from trunx.web.call_actions_path import ACTING
from trunx.web.recordings import RECORDING_FAILED

PAGE = (ROOT / "docs" / "actions.md").read_text("utf-8")


def section(heading: str) -> str:
    return PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def fields(model: type[BaseModel], heading: str) -> None:
    """A section's table has the model's fields, with their defaults."""
    shown = {row[0].strip("`"): row[1].strip("`") for row in table(section(heading) + "\n\n", "field")}
    assert set(shown) == set(model.model_fields)
    for name, default in shown.items():
        known = model.model_fields[name].default
        if name != "caller_id" and default:
            assert default == (str(known).lower() if isinstance(known, bool) else str(known)), name


def test_its_fields_are_those_of_the_requests() -> None:
    fields(actions.PlayBody, "play")
    fields(record_actions.RecordBody, "record")
    fields(transfers.TransferBody, "transfer")
    for model, heading in ((actions.SpeakBody, "speak"), (actions.DtmfBody, "dtmf")):
        assert all(f"`{name}`" in section(heading) for name in model.model_fields)


def test_its_codes_are_those_of_the_answers() -> None:
    shared = {row[0].strip("`"): int(row[1]) for row in table(PAGE, "problem")}
    assert shared == {kind.code: kind.status for kind in ACTING}
    of_one = (
        record_actions.ALREADY_RECORDING,
        record_actions.NOT_RECORDING,
        RECORDING_FAILED,
        actions.NOT_PLAYING,
        transfers.TRANSFER_UNDER_WAY,
        transfers.NO_TRANSFER,
    )
    assert [kind.code for kind in of_one if f"`{kind.code}`" not in PAGE] == []
    assert {kind.status for kind in of_one} == {409}


def test_why_an_action_fails() -> None:
    told = {code.strip("` ") for row in table(PAGE, "code") for code in row[0].split(",")}
    assert set(DownloadProblem) <= told


def test_its_figures_are_those_of_the_code() -> None:
    assert f"waits up to {FILE_SECONDS:.0f} seconds" in PAGE
    assert f"{SPOKEN_CHARACTERS:,} characters" in PAGE
    assert "`transfer`, which is refused while another one is under way" in PAGE
    operations = (*actions.OPERATIONS, *record_actions.OPERATIONS, *transfers.OPERATIONS)
    creating = {one.path.rpartition("/")[2]: one.idempotent for one in operations if 201 in one.answers}
    assert creating == {"play": True, "speak": True, "dtmf": True, "record": True, "transfer": False}
