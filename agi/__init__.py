"""FastAGI for asyncio: serve Asterisk's `AGI(agi://...)` calls, or play Asterisk to such a server.

    async def greet(channel: Channel) -> None:
        await channel.answer()
        pressed = await channel.get_data("welcome", wait=5, max_digits=1)
        await channel.verbose(f"the caller pressed {pressed.key}")
        await channel.hangup()

    async with Server(greet, host="127.0.0.1", port=4573) as server:
        await server.serve_until_signal()

Standard library only. The wire itself is in `agi.protocol`, without I/O.
"""

from agi.channel import Channel, Digits, Playback
from agi.errors import (
    AgiError,
    CallEndedError,
    CommandError,
    ConcurrencyError,
    DisconnectedError,
    HangupError,
    ProtocolError,
    SoundError,
)
from agi.protocol import Reply, encode
from agi.server import Handler, Limits, Server

__all__ = [
    "AgiError",
    "CallEndedError",
    "Channel",
    "CommandError",
    "ConcurrencyError",
    "Digits",
    "DisconnectedError",
    "Handler",
    "HangupError",
    "Limits",
    "Playback",
    "ProtocolError",
    "Reply",
    "Server",
    "SoundError",
    "encode",
]
