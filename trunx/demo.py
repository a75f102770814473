"""The contract's example tree with spoken prompts, for a first start on an empty data folder."""

import structlog

from sounds import DEMO
from trunx.adapters.sound_folder import SoundFolder
from trunx.domain.document import IvrDocument, written
from trunx.domain.sound import sound_name
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


async def load(account: str, ivrs: Ivrs, lines: Lines, folder: SoundFolder) -> None:
    """Makes the tree, its sounds and its number for `account`, which has none of them."""
    for prompt in DEMO.values():
        await folder.stage(sound_name(account, prompt.name), ".ulaw", prompt.path.read_bytes(), prompt.words)
    document = IvrDocument.model_validate(TREE)
    await ivrs.create(account, document.id, written(document))
    await ivrs.assign(account, document.id, DID)
    await lines.publish([DID])
    log.info("the demo IVR is loaded", ivr=document.id, did=DID)
