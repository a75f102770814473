"""A stand-in for ElevenLabs: its contract, its accounts' limits, and each of its faults by a switch.

What it says is sound: a tone for each character, 60 ms long, so that every text and voice sounds different.
It refuses what the vendor refuses; what goes wrong beyond that is a `Trouble`.
"""

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.peers.elevenlabs_troubles import PLAIN, PROBLEMS, Trouble, damaged, spoken

KEY = "sk_0123456789abcdef0123456789abcdef"
GEORGE, SARAH, RACHEL = "JBFqnCBsd6RMkjVDRZzb", "EXAVITQu4vr4xnSDxMaL", "21m00Tcm4TlvDq8ikWAM"

FORMATS = {
    *("alaw_8000", "ulaw_8000"),
    *(
        f"{kind}_{rate}"
        for kind in ("pcm", "wav")
        for rate in (8000, 16000, 22050, 24000, 32000, 44100, 48000)
    ),
    *("mp3_22050_32", "mp3_24000_48", *(f"mp3_44100_{kbps}" for kbps in (32, 64, 96, 128, 192))),
    *(f"opus_48000_{kbps}" for kbps in (32, 64, 96, 128, 192)),
}
MODELS = {
    **dict.fromkeys(["eleven_flash_v2_5", "eleven_turbo_v2_5"], 40_000),
    **dict.fromkeys(["eleven_flash_v2", "eleven_turbo_v2"], 30_000),
    **dict.fromkeys(["eleven_multilingual_v2"], 10_000),
    **dict.fromkeys(["eleven_v3"], 3_000),
}
TIERS = ("free", "starter", "creator", "pro", "scale", "business")
_TYPES = {"pcm": "audio/pcm", "wav": "audio/wav", "mp3": "audio/mpeg", "opus": "audio/ogg"}


@dataclass(frozen=True, slots=True)
class FakeVoice:
    """`plan` is the first tier that may use it; a library voice of a free account has one of its own."""

    name: str
    plan: str = "free"
    language: str | None = "en"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to speak."""

    voice: str
    text: str
    model: str
    format: str
    body: dict[str, Any]


@dataclass
class ElevenLabsPeer:
    """One account. Everything may be changed while it runs."""

    url: str = ""
    key: str = KEY
    tier: str = "creator"
    credits_left: int = 100_000
    at_once: int = 5
    may_speak: bool = True
    may_read_voices: bool = True
    retry_after: str | None = None
    garbled: bytes | None = None
    """What every lookup is answered with, as JSON, instead of the truth."""
    voices: dict[str, FakeVoice] = field(
        default_factory=lambda: {
            GEORGE: FakeVoice("George"),
            SARAH: FakeVoice("Sarah - Mature, Reassuring, Confident"),
            RACHEL: FakeVoice("Rachel"),
        }
    )
    speeches: list[Asked] = field(default_factory=list)
    lookups: list[str] = field(default_factory=list)
    most_at_once: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Speech is answered while it is set, which it is; clear it to hold the requests back."""
    _speaking: int = 0
    _ending: asyncio.Event = field(default_factory=asyncio.Event)
    _troubles: list[Trouble] = field(default_factory=list)
    _always: Trouble | None = None
    _arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator["ElevenLabsPeer"]:
        """The server, on a free port of the loopback, until the block ends."""
        peer = cls()
        peer.gate.set()
        app = web.Application(middlewares=[peer._authorised])
        app.add_routes(
            [
                web.post("/v1/text-to-speech/{voice}", peer._speak),
                web.post("/v1/text-to-speech/{voice}/stream", peer._speak),
                web.get("/v1/voices", peer._all_voices),
                web.get("/v2/voices", peer._page_of_voices),
                web.get("/v1/voices/{voice}", peer._one_voice),
                web.get("/v1/models", peer._models),
                web.get("/v1/user", peer._user),
                web.get("/v1/user/subscription", peer._subscription),
            ]
        )
        runner = web.AppRunner(app, shutdown_timeout=1.0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            peer.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield peer
        finally:
            peer.gate.set()
            peer._ending.set()
            await runner.cleanup()

    def befall(self, *troubles: Trouble) -> None:
        """The next requests to speak, one after the other."""
        self._troubles += troubles

    def always(self, trouble: Trouble | None) -> None:
        """Every request to speak, until it is None again."""
        self._always = trouble

    async def asked(self, count: int, within: float = 5.0) -> None:
        """Returns when so many requests to speak have come, since the start."""
        async with asyncio.timeout(within), self._arrived:
            await self._arrived.wait_for(lambda: len(self.speeches) >= count)

    @web.middleware
    async def _authorised(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        given = request.headers.get("xi-api-key", "")
        if not hmac.compare_digest(given.encode(), self.key.encode()):
            return _problem(401, "invalid_api_key", f"Invalid API key: {given}")
        if request.method == "GET":
            self.lookups.append(request.path)
            if self.garbled is not None:
                return web.Response(body=self.garbled, content_type="application/json")
        return await handler(request)

    # Speech

    async def _speak(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        wanted = request.query.get("output_format", "mp3_44100_128")
        voice = request.match_info["voice"]
        model = body.get("model_id", "eleven_multilingual_v2")
        async with self._arrived:
            self.speeches.append(Asked(voice, body.get("text", ""), model, wanted, body))
            self._arrived.notify_all()
        self._speaking += 1
        self.most_at_once = max(self.most_at_once, self._speaking)
        try:
            await self.gate.wait()
            refusal = self._refusal(voice, body, model, wanted)
            if refusal is not None:
                return refusal
            trouble = self._always or (self._troubles.pop(0) if self._troubles else None)
            return await self._answer(request, trouble, voice, body["text"], wanted)
        finally:
            self._speaking -= 1

    def _refusal(self, voice: str, body: dict[str, Any], model: str, wanted: str) -> web.Response | None:
        text = body.get("text")
        if not self.may_speak:
            return _problem(
                401, "missing_permissions", "The API key is missing the permission text_to_speech"
            )
        if not isinstance(text, str) or not text:
            return _invalid("body", "text", "Field required" if text is None else "Input should be a text")
        if wanted not in FORMATS:
            return _invalid("query", "output_format", "Input should be one of the formats")
        if voice not in self.voices:
            return _problem(404, "voice_not_found", f"A voice with the voice_id {voice} was not found.")
        if model not in MODELS:
            return _problem(400, "model_not_found", f"A model with id {model} was not found.")
        if len(text) > MODELS[model]:
            return _problem(400, "max_character_limit_exceeded", f"{len(text)} characters of {MODELS[model]}")
        return self._not_in_plan(self.voices[voice], wanted) or self._over_limit(len(text))

    def _over_limit(self, characters: int) -> web.Response | None:
        if self._speaking > self.at_once:
            return _problem(429, "too_many_concurrent_requests", f"More than {self.at_once} at once")
        if characters > self.credits_left:
            message = f"You have {self.credits_left} credits remaining, while {characters} are required."
            return _problem(401, "quota_exceeded", message)
        return None

    def _not_in_plan(self, voice: FakeVoice, wanted: str) -> web.Response | None:
        tier = TIERS.index(self.tier)
        if tier < TIERS.index(voice.plan):
            if self.tier != "free":
                return _problem(403, f"only_for_{voice.plan}+", f"This voice is for {voice.plan} and above")
            detail = {
                "type": "payment_required",
                "code": "paid_plan_required",
                "message": "Free users cannot use library voices via the API.",
                "status": "payment_required",
                "request_id": "abc",
                "param": None,
            }
            return web.json_response({"detail": detail}, status=402)
        needed = {"mp3_44100_192": "creator", "pcm_44100": "pro", "wav_44100": "pro"}.get(wanted, "free")
        if tier < TIERS.index(needed):
            return _problem(403, "output_format_not_allowed", f"{wanted} is for {needed} and above")
        return None

    async def _answer(
        self, request: web.Request, trouble: Trouble | None, voice: str, text: str, wanted: str
    ) -> web.StreamResponse:
        if trouble in PROBLEMS:
            status, name = PROBLEMS[trouble]
            problem = _problem(status, name, f"Injected: {name}")
            if self.retry_after is not None:
                problem.headers["Retry-After"] = self.retry_after
            return problem
        if trouble in PLAIN:
            status, kind, plain = PLAIN[trouble]
            return web.Response(status=status, body=plain, headers={"Content-Type": kind, "Location": "/"})
        if trouble is Trouble.STALL_BEFORE:
            await self._ending.wait()
        if trouble is Trouble.DROPPED:
            return _torn(request, web.Response())
        self.credits_left -= len(text)
        sound = spoken(voice, text if trouble is not Trouble.TOO_SHORT else text[:3], wanted)
        return await self._send(request, trouble, damaged(sound, trouble), len(text), wanted)

    async def _send(
        self, request: web.Request, trouble: Trouble | None, sound: bytes, cost: int, wanted: str
    ) -> web.StreamResponse:
        answer = web.StreamResponse()
        answer.content_type = _TYPES.get(wanted.partition("_")[0], "audio/basic")
        answer.headers["request-id"] = f"request-{len(self.speeches)}"
        answer.headers["character-cost"] = str(cost)
        if trouble is Trouble.CUT_OFF_IN_CHUNKS or request.path.endswith("/stream"):
            answer.enable_chunked_encoding()
        else:
            answer.content_length = len(sound)
        await answer.prepare(request)
        if trouble in {Trouble.STALL_AMID, Trouble.CUT_OFF, Trouble.CUT_OFF_IN_CHUNKS}:
            await answer.write(sound[: len(sound) // 2])
            if trouble is Trouble.STALL_AMID:
                await self._ending.wait()
            return _torn(request, answer)
        await answer.write(sound)
        await answer.write_eof()
        return answer

    # The account

    async def _all_voices(self, _request: web.Request) -> web.Response:
        return self._unreadable() or web.json_response(
            {"voices": [self._shown(voice) for voice in self.voices]}
        )

    async def _page_of_voices(self, request: web.Request) -> web.Response:
        size = int(request.query.get("page_size", "10"))
        if not 1 <= size <= 100:
            return _invalid("query", "page_size", "Input should be less than or equal to 100")
        start = int(request.query.get("next_page_token", "0"))
        ids = list(self.voices)
        more = start + size < len(ids)
        page = {
            "voices": [self._shown(voice) for voice in ids[start : start + size]],
            "has_more": more,
            "total_count": len(ids),
            "next_page_token": str(start + size) if more else None,
        }
        return self._unreadable() or web.json_response(page)

    async def _one_voice(self, request: web.Request) -> web.Response:
        voice = request.match_info["voice"]
        if voice not in self.voices:
            return _problem(400, "voice_not_found", f"A voice with the voice_id {voice} was not found.")
        return self._unreadable() or web.json_response(self._shown(voice))

    def _unreadable(self) -> web.Response | None:
        if self.may_read_voices:
            return None
        return _problem(401, "missing_permissions", "The API key is missing the permission voices_read")

    def _shown(self, voice_id: str) -> dict[str, Any]:
        voice = self.voices[voice_id]
        labels = {"language": voice.language} if voice.language else {}
        return {"voice_id": voice_id, "name": voice.name, "category": "premade", "labels": labels}

    async def _models(self, _request: web.Request) -> web.Response:
        return web.json_response(
            [
                {
                    "model_id": model,
                    "name": model,
                    "can_do_text_to_speech": True,
                    "maximum_text_length_per_request": most,
                    "languages": [{"language_id": "en", "name": "English"}],
                }
                for model, most in MODELS.items()
            ]
        )

    async def _user(self, _request: web.Request) -> web.Response:
        return web.json_response({"user_id": "u1", "subscription": self._plan()})

    async def _subscription(self, _request: web.Request) -> web.Response:
        return web.json_response(self._plan())

    def _plan(self) -> dict[str, Any]:
        used = sum(len(speech.text) for speech in self.speeches)
        return {
            "tier": self.tier,
            "character_count": used,
            "character_limit": used + self.credits_left,
            "status": "active",
        }


def _problem(status: int, name: str, message: str) -> web.Response:
    return web.json_response({"detail": {"status": name, "message": message}}, status=status)


def _invalid(place: str, name: str, message: str) -> web.Response:
    detail = [{"loc": [place, name], "msg": message, "type": "value_error"}]
    return web.Response(status=422, body=json.dumps({"detail": detail}), content_type="application/json")


def _torn(request: web.Request, answer: web.StreamResponse) -> web.StreamResponse:
    """The connection breaks here, without an end to the answer."""
    if request.transport is not None:
        request.transport.close()
    return answer
