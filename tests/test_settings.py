"""What operators write, as settings: lists, names without our prefix, and what is told of mistakes."""

from pathlib import Path

import pytest

from trunx.settings import SettingsError, load, unknown, variable


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file of settings lies about."""
    monkeypatch.chdir(tmp_path)


def test_lists_are_written_by_comma(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNX_SOUNDS_URL", "file:///a, sftp://asterisk@b/sounds,")
    monkeypatch.setenv("TRUNX_SSH_KEYS", "/keys/one,/keys/two")
    monkeypatch.setenv("TRUNX_ELEVENLABS_ALIASES", "rachel=21m00Tcm4TlvDq8ikWAM, boss = EXAVITQu4vr4xnSDxMaL")
    settings = load()
    assert settings.sounds_url == ("file:///a", "sftp://asterisk@b/sounds")
    assert settings.ssh_keys == (Path("/keys/one"), Path("/keys/two"))
    assert settings.elevenlabs_aliases == {
        "rachel": "21m00Tcm4TlvDq8ikWAM",
        "boss": "EXAVITQu4vr4xnSDxMaL",
    }


def test_aliases_that_are_none_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNX_ELEVENLABS_ALIASES", "rachel")
    with pytest.raises(SettingsError, match=r"TRUNX_ELEVENLABS_ALIASES: .*name=id"):
        load()


def test_a_vendors_key_has_the_vendors_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNX_ELEVENLABS_API_KEY", "sk_wrong")
    monkeypatch.setenv("ELEVENLABS_API_KEY", "sk_right")
    settings = load()
    assert settings.elevenlabs_api_key is not None
    assert settings.elevenlabs_api_key.get_secret_value() == "sk_right"
    assert "sk_right" not in repr(settings)
    assert unknown() == ["TRUNX_ELEVENLABS_API_KEY is not a setting: did you mean ELEVENLABS_API_KEY?"]
    assert variable("elevenlabs_api_key") == "ELEVENLABS_API_KEY"
    assert variable("elevenlabs_url") == "TRUNX_ELEVENLABS_URL"


def test_the_key_may_stand_in_the_file_too(tmp_path: Path) -> None:
    (tmp_path / "trunx.toml").write_text(
        'elevenlabs_api_key = "sk_file"\nsounds_url = ["file:///a"]\nhtp_port = 1\n'
    )
    settings = load()
    assert settings.elevenlabs_api_key is not None
    assert settings.elevenlabs_api_key.get_secret_value() == "sk_file"
    assert settings.sounds_url == ("file:///a",)
    assert unknown() == ["htp_port is not a setting: did you mean http_port?"]


def test_what_ultravox_signs_with_is_a_list_of_secrets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ULTRAVOX_API_KEY", "key")
    monkeypatch.setenv("TRUNX_ULTRAVOX_WEBHOOK_SECRETS", "the new one, the former one,")
    monkeypatch.setenv("TRUNX_ULTRAVOX_SIP", "sip:user:word@pbx.example.com")
    settings = load()
    secrets = [secret.get_secret_value() for secret in settings.ultravox_webhook_secrets]
    assert secrets == ["the new one", "the former one"]
    assert unknown() == []
    shown = repr(settings)
    assert not any(secret in shown for secret in ("the new one", "user:word", "ultravox_api_key='key'"))
    monkeypatch.delenv("TRUNX_ULTRAVOX_WEBHOOK_SECRETS")
    (tmp_path / "trunx.toml").write_text('ultravox_webhook_secrets = ["one", "two"]\n')
    assert len(load().ultravox_webhook_secrets) == 2
