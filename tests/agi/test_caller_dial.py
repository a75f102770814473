"""The scripted Asterisk when somebody else is called from within a session."""

import asyncio

from agi import Channel, HangupError
from agi.caller import Caller, Dialled, Dialling, Ended, Ring, Took
from tests.agi.test_caller import Call, presses


class TestDial:
    """Somebody else is called: what becomes of it is as the ring says."""

    async def dialled(
        self, *dials: str, talk: float = 0.0, leaves: bool = False
    ) -> tuple[Call, list[object]]:
        call = Call({Dialling("PJSIP/1", 30, "g"): Caller.hang_up} if leaves else None)
        call.caller.ring = Ring("+19495551234", dials=dials, talk=talk)
        told: list[object] = []

        async def handler(channel: Channel) -> None:
            for _ in range(max(1, len(dials))):
                told.append(await channel.exec("Dial", "PJSIP/1", "30", "g"))
                await channel.status()
                told.append(await channel.get_variable("DIALSTATUS"))

        await call.to(handler)
        return call, told

    async def test_one_after_the_other(self) -> None:
        call, told = await self.dialled("BUSY", "NOANSWER", "ANSWER")
        assert told == ["0", "BUSY", "0", "NOANSWER", "0", "ANSWER"]
        assert call.happened[:2] == [Dialling("PJSIP/1", 30, "g"), Dialled("PJSIP/1", "BUSY")]

    async def test_nobody_is_there_unless_told(self) -> None:
        assert (await self.dialled())[1] == ["0", "CHANUNAVAIL"]

    async def test_they_talk_for_as_long_as_told(self) -> None:
        began = asyncio.get_running_loop().time()
        assert (await self.dialled("ANSWER", talk=10))[1] == ["0", "ANSWER"]
        assert asyncio.get_running_loop().time() - began >= 0.1

    async def test_the_caller_leaves_the_talk(self) -> None:
        call, told = await self.dialled("ANSWER", talk=3_600, leaves=True)
        assert told == ["-1"]
        assert call.results == [HangupError]
        assert call.happened[-1] == Ended("caller")

    async def test_whoever_hangs_up_first_can_be_told(self) -> None:
        """The other side, the caller by a key, the clock: only the first leaves its name."""
        told: list[str | None] = []

        async def handler(channel: Channel) -> None:
            await channel.set_variable("FEATUREMAP(disconnect)", "0")
            for options in ("gH", "gHS(5)", "gS(5)"):
                await channel.exec("Dial", "PJSIP/1", "30", options)
                told.append(
                    await channel.get_full_variable(
                        "${CHANNEL(hangupsource)} ${DIALEDPEERNAME} ${DIALSTATUS}"
                    )
                )

        call = Call(
            {Dialling("PJSIP/1", 30, "gHS(5)"): presses("10"), Dialling("PJSIP/1", 30, "gS(5)"): presses("0")}
        )
        call.caller.ring = Ring("+19495551234", dials=("ANSWER",) * 3, talk=5)
        await call.to(handler)
        first = "PJSIP/1-00000001"
        assert told == [
            f"{first} {first} ANSWER",
            f"{first} PJSIP/1-00000002 ANSWER",
            f"{first} PJSIP/1-00000003 ANSWER",
        ]
        assert [happened for happened in call.happened if isinstance(happened, Took)] == [Took("0")]
        assert call.caller.keys_lost == 2, "the other side hears them"

    async def test_the_server_finds_what_it_has_set(self) -> None:
        call = Call()

        async def handler(channel: Channel) -> list[str | None]:
            await channel.set_variable("X", "mine")
            return [await channel.get_variable(name) for name in ("X", "NONE")]

        await call.to(handler)
        assert call.results == [["mine", None]]
