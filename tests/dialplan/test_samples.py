"""The manager and pjsip samples use the names of `dialplan.names`, and parse as Asterisk reads them."""

import re
from pathlib import Path

import pytest

import dialplan
from dialplan import names, render

SAMPLES = Path(dialplan.__file__).parent
MANAGER = (SAMPLES / "manager.conf.sample").read_text(encoding="utf-8")
PJSIP = (SAMPLES / "pjsip.conf.sample").read_text(encoding="utf-8")

SECTION = re.compile(r"\[(?P<name>[a-z-]+)\](?:\(\+\))?")
SETTING = re.compile(r"(?P<key>[a-z_]+(?:\(\S+\))?) = ?(?P<value>(?<= )\S.*|$)")

Section = tuple[str, dict[str, list[str]]]


def sections(text: str) -> list[Section]:
    """Reads a sample as Asterisk does: sections may repeat, so may keys; a line from `;` on is a comment."""
    found: list[Section] = []
    for line in text.splitlines():
        if not line or line.startswith(";"):
            continue
        if heading := SECTION.fullmatch(line):
            found.append((heading["name"], {}))
            continue
        setting = SETTING.fullmatch(line)
        assert setting, line
        assert found, f"before any section: {line}"
        found[-1][1].setdefault(setting["key"], []).append(setting["value"])
    return found


def uncommented(text: str) -> str:
    """What an operator has after taking the `;` from each setting; sentences have a space behind theirs."""
    return re.sub(r"^;(?! |$)", "", text, flags=re.MULTILINE)


def of_type(text: str, kind: str) -> dict[str, list[str]]:
    [(name, settings)] = [section for section in sections(text) if section[1].get("type") == [kind]]
    assert name == names.ENDPOINT_TRUNK
    return settings


def test_manager_logs_us_in_on_loopback_without_the_right_to_run_programs() -> None:
    general, ours = sections(MANAGER)
    assert general == (
        "general",
        {"enabled": ["yes"], "bindaddr": ["127.0.0.1"], "port": [str(names.MANAGER_PORT)]},
    )
    assert ours[0] == names.MANAGER_USER
    assert set(ours[1]["write"][0].split(",")).isdisjoint({"system", "command", "config", "all"})
    assert ours[1]["permit"] == ["127.0.0.1/255.255.255.255"]
    heard = {
        name
        for key in ours[1]
        for name in re.findall(r"^eventfilter\(action\(include\),name\((\w+)\)\)$", key)
    }
    assert {"Newstate", "HangupRequest", "Hangup", "OriginateResponse", "FullyBooted"} <= heard
    url = f"ami://{names.MANAGER_USER}:{ours[1]['secret'][0]}@127.0.0.1:{names.MANAGER_PORT}"
    assert f"TRUNX_AMI_URL={url}\n" in MANAGER


def test_the_trunk_enters_our_context() -> None:
    endpoint = of_type(PJSIP, "endpoint")
    assert endpoint["context"] == [names.CONTEXT_INBOUND]
    assert endpoint["allow"] == ["ulaw,alaw,g722"]
    assert endpoint["dtmf_mode"] == ["rfc4733"]
    assert of_type(PJSIP, "identify")["endpoint"] == [names.ENDPOINT_TRUNK]
    assert of_type(PJSIP, "aor")["contact"]


def test_by_registration() -> None:
    text = uncommented(PJSIP)
    assert of_type(text, "endpoint")["outbound_auth"] == [names.ENDPOINT_TRUNK]
    assert of_type(text, "auth")["username"] == of_type(text, "endpoint")["from_user"]
    registration = of_type(text, "registration")
    assert registration["endpoint"] == registration["outbound_auth"] == [names.ENDPOINT_TRUNK]
    assert registration["line"] == ["yes"]


SPELT = {name: str(value) for name, value in vars(names).items() if name.isupper()}


@pytest.mark.parametrize("name", SPELT)
def test_every_name_is_used_by_a_sample(name: str) -> None:
    assert SPELT[name] in render() + MANAGER + PJSIP


def test_every_name_is_spelt_once() -> None:
    assert len(set(SPELT.values())) == len(SPELT)
    code = (SAMPLES / "render.py").read_text(encoding="utf-8")
    for name in ("CONTEXT_INBOUND", "VARIABLE_DID", "SOUND_TROUBLE", "AGI_URL", "ENDPOINT_TRUNK"):
        assert SPELT[name] not in code
