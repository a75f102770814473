"""What `trunx check` finds in the trees that callers walk: transfers that reach nobody."""

import json
from collections.abc import AsyncIterator

from pydantic import ValidationError

from trunx.adapters.store.account_limits import AccountLimits
from trunx.adapters.store.agents import Agents
from trunx.adapters.store.database import Database
from trunx.adapters.store.truth import Truth
from trunx.domain.document import IvrDocument
from trunx.domain.errors import NotFoundError
from trunx.domain.ivr import InvalidTreeError, Transfer, Tree, build
from trunx.domain.records import Published
from trunx.domain.sip import is_listed

_PORTION = 200


async def lost_transfers(database: Database, *, agents: bool) -> AsyncIterator[str]:
    """The transfer nodes behind DIDs that have no agent, or a SIP URI that may not be called, as `DID NODE`.

    `agents`: whether agents can talk here at all.
    """
    async for published, tree in _trees(database):
        for node in tree.nodes.values():
            if isinstance(node, Transfer) and not await _reaches(database, published, node, agents=agents):
                yield f"{published.did} {node.name}"


async def _reaches(database: Database, published: Published, node: Transfer, *, agents: bool) -> bool:
    account = published.account or ""
    if node.to is not None:
        listed = (await AccountLimits(database).get(account)).sip_uris
        return not node.to.startswith("sip:") or is_listed(node.to, listed)
    try:
        return agents and bool(await Agents(database).serving(account, node.agent, published.did))
    except NotFoundError:
        return False


async def _trees(database: Database) -> AsyncIterator[tuple[Published, Tree]]:
    truth, revision, did = Truth(database), -1, ""
    while portion := await truth.after(revision, did, _PORTION):
        revision, did = portion[-1].revision, portion[-1].did
        versions = {one.did: (one.uid, one.version) for one in portion if one.uid and one.version}
        documents = await truth.documents(list(set(versions.values())))
        for published in portion:
            document = documents.get(versions.get(published.did, ("", 0)))
            if document is None:
                continue
            try:
                tree = build(IvrDocument.model_validate(json.loads(document)))
            except (ValidationError, InvalidTreeError):
                continue  # the server says so in its log
            yield published, tree
