"""What docs/recordings.md says is so: its request, its fields and its figures are those of the code."""

import json
from pathlib import Path

from dialplan.names import RECORDINGS
from tests.pages import ROOT, blocks, make_run, paste, table
from trunx.adapters.studio.finishing import PAD_SECONDS
from trunx.domain import signed_link
from trunx.engine import recording_keeper
from trunx.settings import MONITOR, Settings
from trunx.web.recordings import RecordingAnswer

PAGE = (ROOT / "docs" / "recordings.md").read_text("utf-8")


def test_its_request_is_answered(tmp_path: Path) -> None:
    [listed] = blocks(PAGE, "sh")
    with make_run(tmp_path, demo=0) as server:
        typed = listed.partition("\n")[2]  # the key is the server's own
        assert json.loads(paste(server, typed)) == {"recordings": [], "count": 0, "next": None}


def test_its_fields_are_those_of_the_answer() -> None:
    shown = RecordingAnswer.model_json_schema(mode="serialization")["properties"]
    assert {row[0].strip("`") for row in table(PAGE, "field")} <= set(shown)


def test_its_figures_are_those_of_the_code() -> None:
    assert f"for {signed_link.LIFE.total_seconds() / 3600:.0f} hours" in PAGE
    assert f"serves it for {Settings.model_fields['recording_days'].default} days" in PAGE
    assert f"but for {PAD_SECONDS:g} s" in PAGE
    assert recording_keeper.CLAIM.total_seconds() == 1_800
    assert "after half an hour" in PAGE
    assert f"after {recording_keeper._LONGEST_PAUSE / 60:.0f} minutes at the\n  longest" in PAGE
    assert f"{recording_keeper.PATIENCE.total_seconds():.0f} seconds after the end" in PAGE
    assert f"{MONITOR}/{RECORDINGS}" in PAGE


def test_where_asterisk_records_unless_it_is_said() -> None:
    assert Settings().recordings() == f"file://{MONITOR}"
    sftp = "sftp://trunx:a%2Fb@pbx.internal:2222/var/lib/asterisk/sounds"
    assert Settings(sounds_url=(sftp,)).recordings() == f"sftp://trunx:a%2Fb@pbx.internal:2222{MONITOR}"
    assert Settings(sounds_url=(sftp, sftp + "2")).recordings() == f"file://{MONITOR}"
    assert Settings(sounds_url=("file:///sounds",)).recordings() == f"file://{MONITOR}"
    assert Settings(sounds_url=(sftp,), recordings_url="file:///m").recordings() == "file:///m"
