"""Takes down the RTP that arrives at a range of ports on 127.0.0.1, each packet with the kernel's time of
arrival.

Why not Asterisk's own recording: MixMonitor pairs received with sent frames, queues up to four of either, and
loses the ones its timer was late for; measured against this tap, prompts stood up to 80 ms from where they
were heard. Needs root (CAP_NET_RAW). The kernel's clock makes it exact even while our own event loop is busy.
"""

from __future__ import annotations

import asyncio
import ctypes
import socket
import struct
from bisect import bisect_left
from typing import NamedTuple

import numpy as np

from tests.peers.hearing import FRAME, RATE, Audio, decode_ulaw

_SO_ATTACH_FILTER = 26  # asm-generic/socket.h, as are the next two; Python has no names for them
_SO_RCVBUFFORCE = 33
_SO_TIMESTAMPNS = 35
_PACKET_OUTGOING = 4  # linux/if_packet.h: each packet on the loopback is seen twice, going out and coming in
_PCMU = 0  # RFC 3551, payload type
_LATE = 2 * FRAME
_BUFFER = 11  # packets, the late one too
BUFFERED = 0.2
"""Seconds that a phone's buffer hides, as much as Asterisk's own (JITTERBUFFER())."""


class Packet(NamedTuple):
    """One RTP packet: time of arrival (Unix seconds), timestamp, marker, µ-law sound."""

    at: float
    timestamp: int
    marked: bool
    sound: bytes


class Wiretap:
    """The packets for each port; listens on the running event loop from its making until `close`."""

    def __init__(self, ports: range) -> None:
        self._packets: dict[int, list[Packet]] = {}
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 64 << 20)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        attach_filter(self._socket, ports)
        self._socket.bind(("lo", 0x0800))
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self.take)

    def packets(self, port: int) -> list[Packet]:
        """What has arrived at the port so far, in the order of arrival."""
        return self._packets.setdefault(port, [])

    def close(self) -> None:
        """Stops listening."""
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def take(self) -> None:
        """Takes over what the kernel holds: called when there is something, and by who needs the latest."""
        while True:
            try:
                datagram, control, _, _ = self._socket.recvmsg(2048, 64)
            except BlockingIOError:
                return
            rtp = datagram[28:]  # after an IP header without options and the UDP header
            if len(rtp) < 12 or rtp[0] >> 6 != 2 or rtp[1] & 0x7F != _PCMU:
                continue
            seconds, nanoseconds = struct.unpack("qq", control[0][2][:16])
            self.packets(int.from_bytes(datagram[22:24], "big")).append(
                Packet(seconds + nanoseconds / 1e9, int.from_bytes(rtp[4:8], "big"), rtp[1] > 0x7F, rtp[12:])
            )


def played(packets: list[Packet], since: float, until: float) -> Audio:
    """What a phone makes of the packets, from one Unix time to another.

    Packets that belong together are played without a seam from the moment the first arrived. One that is more
    than two frames late is played when it arrives, and so is one that starts anew (marker, leap of the
    timestamp); but when those after it make up for it, it was held up on the way, which a phone's buffer
    hides. Elsewhere is silence.
    """
    audio = np.zeros(max(0, round((until - since) * RATE)), np.float32)
    place = expected = 0
    for number in range(bisect_left(packets, since, key=lambda packet: packet.at), len(packets)):
        packet = packets[number]
        arrived = round((packet.at - since) * RATE)
        starts = packet.marked or packet.timestamp != expected
        if starts:
            place = max(place, arrived)
        elif arrived > place + _LATE and not _made_up_for(packets[number : number + _BUFFER], since, place):
            place = arrived
        sound = decode_ulaw(packet.sound)[: max(0, len(audio) - place)]
        audio[place : place + len(sound)] = sound
        place += len(packet.sound)
        expected = packet.timestamp + len(packet.sound)
    return audio


def _made_up_for(packets: list[Packet], since: float, place: int) -> bool:
    """Whether one of the packets is in time again, the first of which should have been played at `place`."""
    for packet in packets:
        due = place + packet.timestamp - packets[0].timestamp
        if packet is not packets[0] and packet.marked:
            return False
        if round((packet.at - since) * RATE) <= due + _LATE:
            return True
    return False


def attach_filter(tap: socket.socket, ports: range) -> None:
    """Has the kernel keep all but incoming UDP to those ports from us (linux/filter.h, classic BPF)."""
    load_word, load_half, load_byte, equal, at_least, answer = 0x20, 0x28, 0x30, 0x15, 0x35, 0x06
    packet_type = 0xFFFFF000 + 4  # SKF_AD_OFF + SKF_AD_PKTTYPE
    program = [
        (load_word, 0, 0, packet_type),
        (equal, 6, 0, _PACKET_OUTGOING),
        (load_byte, 0, 0, 9),
        (equal, 0, 4, socket.IPPROTO_UDP),
        (load_half, 0, 0, 22),
        (at_least, 0, 2, ports.start),
        (at_least, 1, 0, ports.stop),
        (answer, 0, 0, 0xFFFF),
        (answer, 0, 0, 0),
    ]
    code = b"".join(struct.pack("HBBI", *step) for step in program)
    memory = ctypes.create_string_buffer(code, len(code))
    tap.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(program), ctypes.addressof(memory))
    )
