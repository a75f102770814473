"""The contract's example tree with spoken prompts, for a first start on an empty data folder."""

import asyncio
import struct

import structlog

from sounds import DEMO, Prompt
from trunx.domain.document import IvrDocument, written
from trunx.engine.incoming import Incoming, passing
from trunx.engine.library import Library
from trunx.engine.ports import Ivrs, Lines

log = structlog.get_logger(__name__)

DID = "+19495551234"
TREE = {
    "id": "qualify-business",
    "nodes": {
        "welcome": {
            "audio": "welcome.wav",
            "gather": {"1": "has_business", "9": "dnc"},
            "timeout_node": "welcome",
        },
        "has_business": {
            "audio": "business_check.wav",
            "gather": {"1": "transfer_ai", "2": "unqualified"},
        },
        "transfer_ai": {"action": "transfer"},
        "unqualified": {"action": "hangup", "audio": "not_qualified.wav"},
        "dnc": {"action": "suppress"},
    },
}


async def load(account: str, ivrs: Ivrs, lines: Lines, library: Library, incoming: Incoming) -> None:
    """Makes the tree, its sounds and its number for `account`, which has none of them."""

    async def upload(prompt: Prompt) -> None:
        name = f"{prompt.name}.wav"
        with passing(incoming.path()) as file:
            file.write_bytes(_wav(prompt.path.read_bytes()))
            await library.upload(account, name=name, filename=name, file=file, words=prompt.words)

    await asyncio.gather(*(upload(prompt) for prompt in DEMO.values()))
    document = IvrDocument.model_validate(TREE)
    await ivrs.create(account, document.id, written(document))
    await ivrs.assign(account, document.id, DID)
    await lines.publish([DID])
    log.info("the demo IVR is loaded", ivr=document.id, did=DID)


def _wav(ulaw: bytes) -> bytes:
    """A file of G.711 as people upload it: WAVE_FORMAT_MULAW (7), mono, 8 kHz, a byte a sample."""
    form = struct.pack("<4sIHHIIHHH", b"fmt ", 18, 7, 1, 8_000, 8_000, 1, 8, 0)
    length = struct.pack("<4sII", b"fact", 4, len(ulaw))
    data = struct.pack("<4sI", b"data", len(ulaw)) + ulaw + b"\0" * (len(ulaw) % 2)
    inside = b"WAVE" + form + length + data
    return struct.pack("<4sI", b"RIFF", len(inside)) + inside
