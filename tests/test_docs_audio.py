"""What docs/audio.md says is so: its commands are typed as they stand, its tables and figures compared."""

import getpass
import inspect
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adapters.recordings import speech, written
from tests.cli.command import Serving
from tests.pages import ROOT, blocks, make_run, paste, table
from tests.peers.ssh import OpenSsh
from trunx.adapters.hosts import staging
from trunx.adapters.hosts.host import parse
from trunx.adapters.hosts.supply import _LONGEST_BACKOFF, LOOKED_THROUGH_EVERY
from trunx.adapters.studio import lint as sound_lint
from trunx.adapters.studio import mastering
from trunx.adapters.studio.decoding import READABLE
from trunx.adapters.voices.answers import _CODES, Again
from trunx.adapters.voices.elevenlabs import _TRIES, Deadlines
from trunx.domain.speech import PROMPT_CHARACTERS
from trunx.engine.library import PATIENCE
from trunx.settings import Settings
from trunx.web import audio_problems

PAGE = (ROOT / "docs" / "audio.md").read_text("utf-8")
_, NODE, AUDIO, VOICES, UPLOAD, LISTEN, SYNC, SSH_KEY, SSH_HOST, SSH_FIRST = blocks(PAGE, "sh")


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Who has typed `make run`."""
    with make_run(tmp_path_factory.mktemp("newcomer")) as server:
        yield server


def test_the_page_is_followed_from_speech_to_deletion(newcomer: Serving) -> None:
    spoken = json.loads(paste(newcomer, NODE))
    assert spoken["usedBy"] == [{"ivr": "qualify-business", "node": "unqualified", "field": "audio"}]
    made = json.loads(paste(newcomer, AUDIO))
    assert (made["name"], made["status"], made["provider"]) == ("closed", "ready", "local")
    assert json.loads(paste(newcomer, VOICES))["count"] > 0

    written(newcomer.folder / "greeting.mp3", speech(3, 44_100), 44_100)
    uploaded = json.loads(paste(newcomer, UPLOAD))
    assert (uploaded["filename"], uploaded["warnings"]) == ("greeting.mp3", [])

    *listed, deleted = paste(newcomer, LISTEN.replace("aud_...", made["id"])).splitlines()
    assert made["id"] in "".join(listed) + deleted
    assert deleted.endswith(f'{{"deleted":true,"id":"{made["id"]}","usedBy":[]}}')
    assert (newcomer.folder / "heard.mp3").stat().st_size > 1_000

    assert "nothing is copied" in paste(newcomer, SYNC)


async def test_an_sftp_host_is_set_up_as_the_page_says(newcomer: Serving, tmp_path: Path) -> None:
    peer = OpenSsh(tmp_path)
    await peer.start()
    try:
        home = {"HOME": str(tmp_path)}
        key = paste(newcomer, SSH_KEY, env=home)
        with peer.authorized.open("a") as authorized:
            authorized.write(f"restrict {key}")
        (shown,) = paste(newcomer, _at(peer, SSH_HOST), env=home).splitlines()[1:2]
        assert " ED25519 SHA256:" in shown or " RSA SHA256:" in shown
        said = paste(newcomer, _at(peer, SSH_FIRST), env=home)
    finally:
        await peer.kill()
    assert "0 missing" in said
    staged = {path.relative_to(peer.folder).as_posix() for path in peer.folder.rglob("*.*")}
    assert "trunx/engine/trouble.ulaw" in staged
    assert any(re.fullmatch(r"trunx/audio/[0-9a-f]{32}\.sln16", name) for name in staged)


def _at(peer: OpenSsh, commands: str) -> str:
    """The commands for our Asterisk's host instead of the page's."""
    commands = commands.replace("ssh-keyscan pbx.internal", f"ssh-keyscan -p {peer.port} 127.0.0.1")
    commands = commands.replace("-F pbx.internal", f"-F '[127.0.0.1]:{peer.port}'")
    url = f"sftp://{getpass.getuser()}@127.0.0.1:{peer.port}{peer.folder}"
    return commands.replace("sftp://trunx@pbx.internal/var/lib/asterisk/sounds", url)


def test_the_example_of_staging_is_a_file_of_settings() -> None:
    [example] = blocks(PAGE, "toml")
    given = Settings(**tomllib.loads(example))
    assert [parse(url).host for url in given.sounds_url] == [None, "pbx.internal"]
    assert [key.name for key in given.ssh_keys] == ["id_trunx"]


def test_the_table_of_codes_is_what_the_api_answers() -> None:
    rows = {row[0].strip("`"): row[1:3] for row in table(PAGE, "code")}
    kinds = (*audio_problems.SPEECH, *audio_problems.UNUSABLE)
    assert {code: int(status) for code, (status, _) in rows.items()} == {
        kind.code: kind.status for kind in kinds
    }
    tried = {Again.NO: "once", Again.SOON: f"{_TRIES} times", Again.LATER: f"{_TRIES} times"}
    assert {code: rows[code][1] for code in _CODES} == {
        code: tried[again] for code, (again, _) in _CODES.items()
    }


def test_the_table_of_warnings_is_what_is_warned_of() -> None:
    told = set(re.findall(r'found\["([a-z-]+)"\]', inspect.getsource(sound_lint.lint)))
    assert {row[0].strip("`") for row in table(PAGE, "warning")} == told


def test_figures_are_those_of_the_code() -> None:
    settings = Settings.model_fields
    patience = inspect.signature(staging.Staging).parameters["patience"].default
    for sentence in (
        f"At most {PROMPT_CHARACTERS:,} characters",
        f"longer than {PATIENCE:.0f} s is answered as `processing`",
        READABLE,
        f"at most {settings['upload_bytes'].default >> 20} MiB and {settings['audio_seconds'].default:g} s",
        f"No silence at the ends but {mastering.PAD_SECONDS:g} s",
        f"fades of {mastering._FADE_SECONDS * 1e3:g} ms",
        f"One level: {mastering.TARGET_LUFS:g} LUFS",
        f"nothing under {mastering._LOWEST_HZ:g} Hz",
        f"within {Deadlines().speech:g} s in all",
        f"waits for the copies for {patience:g} s at most",
        f"pauses of up to {_LONGEST_BACKOFF:g} s",
        f"Every {LOOKED_THROUGH_EVERY / 60:g} minutes",
    ):
        assert sentence in " ".join(PAGE.split()), sentence
    assert mastering.CEILING_DBTP <= -3, "True peaks at most -3 dBTP"
