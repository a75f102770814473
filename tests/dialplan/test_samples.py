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


def of_type(text: str, kind: str, name: str = names.ENDPOINT_TRUNK) -> dict[str, list[str]]:
    [settings] = [found for called, found in sections(text) if (called, found.get("type")) == (name, [kind])]
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


def test_agents_come_with_a_password_and_reach_nothing_but_their_caller() -> None:
    endpoint = of_type(PJSIP, "endpoint", names.ENDPOINT_AGENT)
    assert endpoint["context"] == [names.CONTEXT_AGENT]
    assert endpoint["allow"] == ["g722,ulaw,alaw"]
    assert endpoint["allow_transfer"] == ["no"]
    assert endpoint["identify_by"] == ["username"]
    assert "transport" not in endpoint  # the answer goes the way that the question came
    auth = of_type(PJSIP, "auth", endpoint["auth"][0])
    assert auth["username"] == [names.ENDPOINT_AGENT]
    url = f"sip:{names.ENDPOINT_AGENT}:{auth['password'][0]}@pbx.example.com:5060;transport=udp"
    assert f"TRUNX_ULTRAVOX_SIP={url}\n" in PJSIP
    ways = [settings["protocol"] for _, settings in sections(uncommented(PJSIP)) if "protocol" in settings]
    assert ways == [["udp"], ["tcp"], ["tls"]]


def test_nobody_comes_in_by_the_way_out_to_sip_uris() -> None:
    """An endpoint is also known by the user that a stranger says to be, unless it is told not to."""
    endpoint = of_type(uncommented(PJSIP), "endpoint", names.ENDPOINT_SIP)
    assert endpoint["identify_by"] == ["ip"]
    matched = [settings["endpoint"] for _, settings in sections(uncommented(PJSIP)) if "match" in settings]
    assert [names.ENDPOINT_SIP] not in matched
    assert not {"outbound_auth", "auth", "from_user"} & endpoint.keys()


SPELT = {name: str(value) for name, value in vars(names).items() if name.isupper()}


@pytest.mark.parametrize("name", SPELT)
def test_every_name_is_used_by_a_sample(name: str) -> None:
    assert SPELT[name] in render() + MANAGER + PJSIP


def test_every_name_is_spelt_once() -> None:
    assert len(set(SPELT.values())) == len(SPELT)
    code = (SAMPLES / "render.py").read_text(encoding="utf-8")
    for name in ("CONTEXT_INBOUND", "VARIABLE_DID", "SOUND_TROUBLE", "AGI_URL", "ENDPOINT_TRUNK"):
        assert SPELT[name] not in code
