"""Counts INVITEs on the wire, before anybody who answers them: each dialling has a Call-ID of its own.

What is sent again because no answer came (RFC 3261, 17.1.1.2) has the same one, and is not counted again.
Needs root (CAP_NET_RAW).
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections import defaultdict

from tests.peers.wiretap import attach_filter

_SO_RCVBUFFORCE = 33  # asm-generic/socket.h
_NUMBER = re.compile(rb"INVITE sip:([^@;>]+)@")
_CALL_ID = re.compile(rb"^(?:Call-ID|i)\s*:\s*(\S+)", re.IGNORECASE | re.MULTILINE)


class Invites:
    """The INVITEs that reach a UDP port of 127.0.0.1 from its making until `close`."""

    def __init__(self, port: int) -> None:
        self._dialled: defaultdict[str, set[bytes]] = defaultdict(set)
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 64 << 20)
        attach_filter(self._socket, range(port, port + 1))
        self._socket.bind(("lo", 0x0800))
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._take)

    def close(self) -> None:
        """Stops listening."""
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def of(self, number: str) -> int:
        """How often the number was dialled."""
        return len(self._dialled.get(number, ()))

    @property
    def numbers(self) -> set[str]:
        """All that were dialled."""
        return set(self._dialled)

    def _take(self) -> None:
        while True:
            try:
                datagram = self._socket.recv(1 << 16)
            except BlockingIOError:
                return
            sip = datagram[28:]  # after an IP header without options and the UDP header
            number = _NUMBER.match(sip)
            call = _CALL_ID.search(sip)
            if number is not None and call is not None:
                self._dialled[number[1].decode()].add(call[1])
