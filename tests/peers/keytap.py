"""Takes down the keys that arrive by RTP (RFC 4733) at a range of ports on 127.0.0.1, each with its times.

By the kernel's clock, from an event's first packet to the first that says that it is over. The duration that
packets tell is not believed: Asterisk counts the three packets it begins with as 60 ms (res_rtp_asterisk.c).
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import NamedTuple, Self

from tests.peers.wiretap import attach_filter

_SO_RCVBUFFORCE = 33  # asm-generic/socket.h, as is the next
_SO_TIMESTAMPNS = 35
_EVENT = 101  # telephone-event, as both our Asterisks call it
_KEYS = "0123456789*#ABCD"


class Key(NamedTuple):
    """A key that is over. Unix times."""

    key: str
    began: float
    ended: float


class Keytap:
    """The keys at each port; listens on the running event loop inside its `with` block."""

    def __init__(self, ports: range) -> None:
        self._begun: dict[tuple[int, int], float] = {}
        self._keys: dict[int, list[Key]] = {}
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 64 << 20)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        attach_filter(self._socket, ports)
        self._socket.bind(("lo", 0x0800))

    def __enter__(self) -> Self:
        asyncio.get_running_loop().add_reader(self._socket, self.take)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def keys(self, port: int) -> list[Key]:
        """Those that have come to the port and are over."""
        self.take()
        return self._keys.get(port, [])

    def take(self) -> None:
        """Takes over what the kernel holds."""
        while True:
            try:
                datagram, control, _, _ = self._socket.recvmsg(2048, 64)
            except BlockingIOError:
                return
            rtp = datagram[28:]  # after an IP header without options and the UDP header
            if len(rtp) < 16 or rtp[0] >> 6 != 2 or rtp[1] & 0x7F != _EVENT:
                continue
            seconds, nanoseconds = struct.unpack("qq", control[0][2][:16])
            at, port = seconds + nanoseconds / 1e9, int.from_bytes(datagram[22:24], "big")
            event = port, int.from_bytes(rtp[4:8], "big")
            began = self._begun.setdefault(event, at)
            if rtp[13] & 0x80 and began:
                self._begun[event] = 0.0  # the end is sent three times
                self._keys.setdefault(port, []).append(Key(_KEYS[rtp[12]], began, at))
