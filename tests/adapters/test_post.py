"""Where webhooks may go: the internet only, whatever a name says, and exactly to what was looked at."""

import pytest
from aiohttp import web
from yarl import URL

from tests.peers.names import Names
from tests.peers.receiver import Receiver
from trunx.adapters.internet.post import Post
from trunx.domain.address import RefusedAddressError
from trunx.domain.webhook import new_secret
from trunx.engine import log_ports

_PRIVATE = [
    *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
    *("224.0.0.1", "240.0.0.1", "198.18.0.1", "::1", "::", "fe80::1", "fc00::1", "fec0::1", "ff02::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::", "::127.0.0.1"),
]


def host_of(address: str) -> str:
    return f"[{address}]" if ":" in address else address


@pytest.mark.parametrize("address", _PRIVATE)
async def test_private_addresses_are_refused_as_written_and_as_found(address: str) -> None:
    names = Names({"moves.example.com": ["93.184.215.14"]})
    async with Post.open(private=False, resolver=names) as opened:
        post: log_ports.Post = opened
        for url in (f"http://{host_of(address)}/", f"https://{host_of(address)}:8080/x"):
            with pytest.raises(RefusedAddressError):
                await post.check(url)
            outcome = await post.send(url, "e1", [new_secret()], "{}")
            assert (outcome.answer, outcome.is_taken) == (None, False)
            assert "no address of the internet" in (outcome.problem or "")
        await post.check("https://moves.example.com/")
        names.table["moves.example.com"] = [address]
        with pytest.raises(RefusedAddressError):
            await post.check("https://moves.example.com/")
        outcome = await post.send("http://moves.example.com/", "e1", [new_secret()], "{}")
        assert "no address of the internet" in (outcome.problem or "")


async def test_one_private_address_among_others_is_enough() -> None:
    names = Names({"both.example.com": ["93.184.215.14", "10.0.0.1"]})
    async with Post.open(private=False, resolver=names) as post:
        with pytest.raises(RefusedAddressError):
            await post.check("https://both.example.com/")


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://example.com/", "example.com", "https://", "//example.com/", "javascript:alert(1)", ""),
        *("https://me:secret@example.com/", "https://me@example.com/", "https://example.com/#part"),
        *("https://example.com/ä", "https://example.com/a b", "https://example.com:99999/", "http://[::1/"),
        *("http://localhost/", "http://LOCALHOST./", "http://db/", "http://printer.local/"),
        *("http://metadata.google.internal/", "http://2130706433/", "https://exa\nmple.com/"),
    ],
)
async def test_urls_that_are_refused(url: str) -> None:
    async with Post.open(private=False, resolver=Names({})) as post:
        with pytest.raises(RefusedAddressError):
            await post.check(url)


@pytest.mark.parametrize("host", ["127.1", "0x7f.0.0.1", "0177.0.0.1"])
async def test_other_ways_to_write_an_address(host: str) -> None:
    """The system's own resolver reads them as addresses."""
    async with Post.open(private=False) as post:
        with pytest.raises(RefusedAddressError):
            await post.check(f"http://{host}/")
        assert (await post.send(f"http://{host}:1/", "e", [new_secret()], "{}")).problem is not None


async def test_a_name_that_is_not_there_yet_may_be_registered() -> None:
    async with Post.open(private=False, resolver=Names({})) as post:
        await post.check("https://soon.example.com/")
        outcome = await post.send("https://soon.example.com/", "e", [new_secret()], "{}")
        assert outcome.answer is None
        assert "not known" in (outcome.problem or "")


async def test_an_operator_may_allow_them() -> None:
    async with Receiver.open() as receiver, Post.open(private=True) as post:
        receiver.secret = new_secret()
        await post.check(receiver.url)
        body = '{"type":"x","data":{"id":"e1","n":"ä"}}'
        outcome = await post.send(receiver.url, "e1", [new_secret(), receiver.secret], body)
        assert outcome.is_taken
        assert receiver.got[0]["data"]["n"] == "ä"


async def test_it_connects_to_the_address_that_was_looked_at() -> None:
    async with Receiver.open() as receiver:
        names = Names({"hook.example.com": ["127.0.0.1"]})
        async with Post.open(private=True, resolver=names) as post:
            receiver.secret = new_secret()
            url = str(URL(receiver.url).with_host("hook.example.com"))
            outcome = await post.send(url, "e1", [receiver.secret], '{"type":"x","data":{"id":"e1"}}')
            assert outcome.is_taken
            assert names.asked == ["hook.example.com"]


async def test_a_slow_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")  # which is nobody's business here
    async with Receiver.open() as receiver, Post.open(private=True, deadline=0.3) as post:
        receiver.secret = new_secret()

        async def drip(_body: dict[str, object]) -> web.StreamResponse:
            await receiver.until(lambda: False)
            return web.Response()

        receiver.behave = drip
        outcome = await post.send(receiver.url, "e1", [receiver.secret], '{"type":"x","data":{"id":"e1"}}')
    assert (outcome.answer, outcome.problem) == (None, "no answer in time")
    assert 250 < outcome.ms < 2_000
