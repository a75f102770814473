"""What places and transfers calls in the tests of the API; nobody hears what becomes of them."""

from trunx.adapters.ami.desk import Desk
from trunx.adapters.cache.leases import Leases
from trunx.adapters.cache.redis import RedisServer
from trunx.adapters.internet.post import Post
from trunx.adapters.store.actions import Actions
from trunx.adapters.store.database import Database
from trunx.adapters.store.dials import Dials
from trunx.adapters.store.ivr_lines import IvrLines
from trunx.adapters.store.recorder import Recorder
from trunx.adapters.store.standings import Standings
from trunx.domain.gate import Capacity
from trunx.engine.actions.frame import Frame
from trunx.engine.actions.transfer import CallTransfers
from trunx.engine.gatekeeper import Gatekeeper, Trunk
from trunx.engine.outbound import Outbound
from trunx.engine.picking import Picking
from trunx.engine.ports import Switch
from trunx.engine.settling import Settling


def placing(
    database: Database, cache: RedisServer, switch: Switch | None, picking: Picking | None = None
) -> Outbound:
    """What places calls; nobody hears what becomes of them."""
    dials = Dials(database, server="web-tests")
    gate = Gatekeeper(dials, Leases(cache), Trunk("carrier", Capacity(per_second=1_000, at_once=1_000)))
    settling = Settling(dials, gate, Recorder(database, server="web-tests"))
    return Outbound(
        dials=dials,
        gate=gate,
        settling=settling,
        lines=IvrLines(database),
        switch=switch,
        picking=picking or Picking(Standings(database)),
    )


def transfers(
    database: Database, cache: RedisServer, outbound: Outbound, desk: Desk, post: Post
) -> CallTransfers:
    """Transfers by request; nobody hears what becomes of them."""
    dials = Dials(database, server="web-tests")
    gate = Gatekeeper(dials, Leases(cache), Trunk("carrier", Capacity(per_second=1_000, at_once=1_000)))
    settling = Settling(dials, gate, Recorder(database, server="web-tests"))
    return CallTransfers(
        frame=Frame(Actions(database), desk), dials=dials, outbound=outbound, settling=settling, post=post
    )
