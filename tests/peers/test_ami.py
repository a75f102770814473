"""The tests' own AMI client against a real Asterisk."""

from __future__ import annotations

import asyncio

import pytest

from tests.peers.ami import Ami, AmiError
from tests.peers.asterisk import AMI_USER, running_pbx

NOTHING = "[trunx-inbound]\nexten => s,1,NoOp()\n"


async def test_actions_events_and_refusals() -> None:
    async with running_pbx(NOTHING) as pbx:
        with pytest.raises(AmiError, match="Authentication failed"):
            await Ami.connect(pbx.ports.ami, AMI_USER, "wrong")
        with pytest.raises(AmiError, match="No such channel"):
            await pbx.ami.action("Hangup", Channel="PJSIP/nobody-00000001")
        with pytest.raises(ValueError, match="line break"):
            await pbx.ami.action("Ping", Note="a\r\nAction: Logoff")
        assert "trunk" in await pbx.ami.command("pjsip show endpoints")

        with pbx.ami.watch("UserEvent", UserEvent="Wanted") as wanted, pbx.ami.watch() as everything:
            for name in ("Other", "Wanted", "Wanted"):
                await pbx.ami.action("UserEvent", UserEvent=name, Who="Jos\udce9 Zoë")
            assert (await wanted.next())["Who"] == "Jos\udce9 Zoë"
            await wanted.next()
            with pytest.raises(TimeoutError):
                await wanted.next(within=0.1)
        assert [event["UserEvent"] for event in everything.seen if event["Event"] == "UserEvent"] == [
            "Other",
            "Wanted",
            "Wanted",
        ]


async def test_a_lost_connection_is_told_to_who_waits() -> None:
    async with running_pbx(NOTHING) as pbx:
        ami = await Ami.connect(pbx.ports.ami, AMI_USER, "trunx-test")
        waiting = asyncio.create_task(ami.action("WaitEvent", Timeout="30"))
        await pbx.ami.action("Ping")
        await pbx.kill()
        with pytest.raises(AmiError, match="gone"):
            await waiting
        with pytest.raises(AmiError, match="gone"):
            await ami.action("Ping")
        await ami.close()
