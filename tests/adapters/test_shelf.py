"""The cache's rule: in whatever order publications arrive, the newest revision stays."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.adapters.valkey_peer import ValkeyPeer
from trunx.adapters.cache.redis import open_redis
from trunx.adapters.cache.shelf import Shelf, decode, encode
from trunx.domain.records import Published

_DIDS = ["+19490000001", "+19490000002", "+19490000003"]
_published = st.builds(
    Published,
    did=st.sampled_from(_DIDS),
    revision=st.integers(1, 2**40),
    account=st.one_of(st.none(), st.just("MA1")),
    uid=st.one_of(st.none(), st.sampled_from(["u1", "u2"])),
    ivr=st.just("menu"),
    version=st.integers(1, 5),
    sounds=st.dictionaries(
        st.sampled_from(["welcome.wav", "aud_1", "Grüße \U0001f600"]), st.just("trunx/audio/0a")
    ),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(_published, max_size=4), min_size=1, max_size=6))
def test_the_newest_revision_stays(valkey: ValkeyPeer, batches: list[list[Published]]) -> None:
    async def publish() -> None:
        valkey.command("FLUSHALL")
        async with open_redis(valkey.url) as one, open_redis(valkey.url) as two:
            shelves = Shelf(one.client), Shelf(two.client)
            await asyncio.gather(*(shelves[n % 2].put(batch, {}) for n, batch in enumerate(batches)))
            read = await shelves[0].read(_DIDS)
        for did, pointer in zip(_DIDS, read.pointers, strict=True):
            revisions = [item.revision for batch in batches for item in batch if item.did == did]
            stands = None if pointer is None else decode(did, pointer).revision
            assert stands == max(revisions, default=None)

    asyncio.run(publish())


@given(_published)
def test_a_pointer_is_read_as_it_was_written(published: Published) -> None:
    assert decode(published.did, encode(published)) == published


def test_equal_pointers_are_equal_to_the_byte() -> None:
    """By which a call knows that it has seen what it reads, whoever wrote it."""
    one = Published("+1", 7, "MA1", "u1", "menu", 2, {"a": "trunx/audio/0a", "b": "trunx/audio/0b"})
    two = Published("+1", 7, "MA1", "u1", "menu", 2, {"b": "trunx/audio/0b", "a": "trunx/audio/0a"})
    assert encode(one) == encode(two)


def test_a_pointer_of_before_there_was_audio() -> None:
    """It is read, and is what would be written today: calls need not decode it again and again."""
    written = b'{"revision":7,"account":"MA1","uid":"u1","ivr":"menu","version":2}'
    published = decode("+1", written)
    assert published == Published("+1", 7, "MA1", "u1", "menu", 2, {})
    assert encode(published) == written


@given(st.binary(max_size=50))
def test_what_is_no_pointer_is_said_to_be_none(written: bytes) -> None:
    with pytest.raises(ValueError, match="not a pointer of ours"):
        decode("+1", written)


async def test_the_tide_rises_only_from_where_it_stood(valkey: ValkeyPeer) -> None:
    async with open_redis(valkey.url) as server:
        shelf = Shelf(server.client)
        assert (await shelf.read([])).tide is None
        assert await shelf.raise_tide(0, 0)
        assert (await shelf.read([])).tide == 0
        assert await shelf.raise_tide(0, 7)
        assert await shelf.raise_tide(3, 5)  # others were faster
        assert (await shelf.read([])).tide == 7
        valkey.command("FLUSHALL")
        assert not await shelf.raise_tide(7, 9)
        assert (await shelf.read([])).tide is None
