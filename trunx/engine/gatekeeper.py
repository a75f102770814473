"""The gate with its facts gathered: the only way to a call, asked at the request and again before dialling.

A call takes its place among the account's and the trunk's calls when it is admitted. Who is refused takes
none, and who is asked again keeps the one it has.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from dialplan.names import ENDPOINT_SIP
from trunx.domain.call import Call
from trunx.domain.errors import UnavailableError
from trunx.domain.gate import Capacity, Facts, Full, Question, Verdict, examine, judge
from trunx.domain.records import Lease
from trunx.engine.ports import Dials, Leases


class RefusedError(Exception):
    """The gate says no; `verdict` says why."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.sentence)
        self.verdict = verdict


@dataclass(frozen=True, slots=True)
class Trunk:
    """The way to the PSTN: a PJSIP endpoint of Asterisk, and what it carries."""

    name: str
    capacity: Capacity


class Gatekeeper:
    """The gate of all calls through one trunk."""

    def __init__(self, dials: Dials, leases: Leases, trunk: Trunk) -> None:
        self._dials = dials
        self._leases = leases
        self.trunk = trunk

    def endpoint(self, to_number: str) -> str:
        """The PJSIP endpoint that carries a call to there. SIP URIs have one of their own: any host may ask
        who we are, and the trunk's would answer with the carrier's password.
        """
        return ENDPOINT_SIP if to_number.startswith("sip:") else self.trunk.name

    async def admit(self, call: str, account: str, from_number: str, to_number: str) -> list[Verdict]:
        """Takes a place for a call that is to be dialled now, to a number or a SIP URI; what each rule says.

        Raises:
            RefusedError: a rule says no; nothing is taken.
            UnavailableError: a store does not answer, and so it is not known whether the call is allowed.
        """
        question = Question(from_number, to_number, datetime.now(UTC))
        facts = await self._dials.standing(account, from_number, to_number)
        verdicts = examine(question, facts)
        for verdict in verdicts:
            _refuse(verdict)
        full = await self._leases.take(
            Lease(call, account, self.endpoint(to_number)), facts.limits.capacity, self.trunk.capacity
        )
        if full is not None:
            _refuse(judge(question, replace(facts, full=full)))
        return verdicts

    async def preview(self, account: str, from_number: str, to_number: str) -> tuple[Verdict, list[Verdict]]:
        """What would be said to a call now, and what each rule says; nothing is taken."""
        question = Question(from_number, to_number, datetime.now(UTC))
        facts = await self._dials.standing(account, from_number, to_number)
        full = await self._full(account, facts)
        facts = replace(facts, full=full)
        return judge(question, facts), examine(question, facts)

    def again(self, call: Call, facts: Facts) -> Verdict:
        """What the rules say directly before dialling, to a call that has its place."""
        return judge(Question(call.from_number, call.to_number, datetime.now(UTC)), facts)

    async def renew(self, leases: Sequence[Lease]) -> None:
        """Keeps the places of calls that live. Where Redis is away they come free, and are taken again."""
        with suppress(UnavailableError):
            await self._leases.renew(leases)

    async def release(self, leases: Sequence[Lease]) -> None:
        """Gives back the places of calls that have ended; what cannot be given back comes free by itself."""
        if leases:
            with suppress(UnavailableError):
                await self._leases.release(*leases)

    async def _full(self, account: str, facts: Facts) -> Full | None:
        return await self._leases.look(account, self.trunk.name, facts.limits.capacity, self.trunk.capacity)


def _refuse(verdict: Verdict) -> None:
    if not verdict.allowed:
        raise RefusedError(verdict)
