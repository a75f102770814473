"""Files that arrive: what of a form is accepted, what ends it, and that nothing is left behind."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.web.house import Client, House, open_house
from tests.web.tones import wav
from trunx.web.uploads import Limits

TONE = wav()
FORM = "multipart/form-data; boundary=b"


def part(content: bytes, disposition: str, *headers: str) -> bytes:
    lines = [f"Content-Disposition: form-data; {disposition}", *headers]
    return b"--b\r\n" + "\r\n".join(lines).encode() + b"\r\n\r\n" + content + b"\r\n"


FILE = part(TONE, 'name="file"; filename="a.wav"')
END = b"--b--\r\n"


async def test_the_filename_is_the_name_unless_one_is_given(ada: Client) -> None:
    plain = await ada.upload(TONE, "greeting.wav")
    named = await ada.upload(TONE, "greeting.wav", name="After Hours Greeting")
    assert (plain.status, named.status) == (201, 201), plain.body
    assert (plain.body["name"], plain.body["filename"]) == ("greeting.wav", "greeting.wav")
    assert (named.body["name"], named.body["filename"]) == ("After Hours Greeting", "greeting.wav")
    assert named.body["source"] == "upload"
    for got, saved in ((plain, "greeting.mp3"), (named, "After Hours Greeting.mp3")):
        file = await ada.get(f"/audio/{got.body['id']}/file?format=mp3")
        assert f'filename="{saved}"' in file.headers["Content-Disposition"]
    assert (named.body["status"], named.body["reason"], named.body["text"]) == ("ready", None, None)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("../../etc/passwd.wav", "passwd.wav"),
        (r"C:\\fakepath\\grüße.wav", "grüße.wav"),
        ("%2e%2e%2fx.wav", "%2e%2e%2fx.wav"),
        ("$(reboot).wav", "$(reboot).wav"),
        ("...", "..."),
    ],
)
async def test_a_filename_is_only_text(house: House, ada: Client, sent: str, kept: str) -> None:
    form = part(TONE, f'name="file"; filename="{sent}"') + END
    got = await ada.post("/audio/upload", form, Content_Type=FORM)
    assert (got.status, got.body["filename"]) == (201, kept)
    names = {path.name for path in house.sounds.root.rglob("*")}
    assert not [name for name in names if "passwd" in name or "reboot" in name or "%" in name]


@pytest.mark.parametrize(
    ("form", "place"),
    [
        (END, "/file"),
        (part(b"x", 'name="name"') + END, "/file"),
        (part(TONE, 'name="file"') + END, "/file"),
        (part(TONE, 'name="file"; filename=""') + END, "/file"),
        (part(TONE, 'name="file"; filename="a/"') + END, "/file"),
        (part(TONE, f'name="file"; filename="{"x" * 201}"') + END, "/file"),
        (part(TONE, "name=\"file\"; filename*=UTF-8''a%07.wav") + END, "/file"),
        (FILE + FILE + END, "/file"),
        (part(TONE, 'name="file"; filename="a.wav"', "Content-Transfer-Encoding: base64") + END, "/file"),
        (FILE + part(b"x" * 201, 'name="name"') + END, "/name"),
        (FILE + part(b"x" * 50_000, 'name="name"') + END, "/name"),
        (FILE + part(b"", 'name="name"') + END, "/name"),
        (FILE + part(b"a\nb", 'name="name"') + END, "/name"),
        (FILE + part(b"\xff\xfe", 'name="name"') + END, "/name"),
        (FILE + part(b"x", 'name="name"; filename="n"') + END, "/name"),
        (FILE + part(b"1", 'name="name"') + part(b"2", 'name="name"') + END, "/name"),
        (FILE + part(b"x", 'name="voice"') + END, "/voice"),
        (FILE + part(TONE, 'name="a~/b"; filename="x"') + END, "/a~0~1b"),
    ],
)
async def test_a_fault_names_its_field(house: House, ada: Client, form: bytes, place: str) -> None:
    got = await ada.post("/audio/upload", form, Content_Type=FORM)
    assert (got.status, got.code) == (422, "invalid-body"), got.body
    assert got.pointers == [place]
    assert house.incoming == []


@pytest.mark.parametrize(
    "form",
    [
        b"",
        b"nonsense",
        FILE,
        FILE[:-20],
        b"--b\r\n",
        b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n" + END,
        b"--b\r\nno header\r\n\r\nx\r\n" + END,
        b"--b\r\n" + b"X: y\r\n" * 500 + b"\r\nx\r\n" + END,
        b"--b\r\nX: " + b"y" * 100_000 + b"\r\n\r\nx\r\n" + END,
        part(b"--c\r\n\r\n--c--\r\n", 'name="file"', "Content-Type: multipart/mixed; boundary=c") + END,
    ],
)
async def test_what_is_no_form_is_refused(house: House, ada: Client, form: bytes) -> None:
    got = await ada.post("/audio/upload", form, Content_Type=FORM)
    assert (got.status, got.code) == (400, "invalid-request"), got.body
    assert house.incoming == []


@pytest.mark.parametrize("declared", ["multipart/form-data", f"multipart/form-data; boundary={'x' * 71}"])
async def test_a_form_needs_its_boundary(ada: Client, declared: str) -> None:
    got = await ada.post("/audio/upload", FILE + END, Content_Type=declared)
    assert (got.status, got.code) == (400, "invalid-request")


@pytest.mark.parametrize("declared", ["application/json", "multipart/mixed; boundary=b", "audio/wav"])
async def test_another_kind_of_body_is_refused(ada: Client, declared: str) -> None:
    got = await ada.post("/audio/upload", FILE + END, Content_Type=declared)
    assert (got.status, got.code) == (415, "not-a-form")


async def test_what_is_too_large_is_refused_while_it_arrives(house: House, ada: Client) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield part(b"", 'name="file"; filename="a.wav"')[:-2]
        while True:
            sent += 100_000
            yield b"\0" * 100_000

    try:
        got = await ada.post("/audio/upload", endless(), Content_Type=FORM)
    except aiohttp.ClientError:  # the server need not read to the end
        pass
    else:
        assert (got.status, got.code, got.pointers) == (413, "too-large", ["/file"])
    assert sent < 50_000_000
    await nothing_incoming(house, ada)


async def test_what_says_that_it_is_too_large_is_not_read(house: House, ada: Client) -> None:
    reader, writer = await begun(house, ada, 3_000_000, b"")
    assert b" 413 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


async def test_a_client_that_leaves_leaves_nothing_behind(house: House, ada: Client) -> None:
    _, writer = await begun(house, ada, 1_000_000, FILE[:-2] + b"\0" * 300_000)
    async with asyncio.timeout(5):
        while not house.incoming:
            await ada.get("/audio")
    writer.close()
    await writer.wait_closed()
    await nothing_incoming(house, ada)
    assert (await ada.get("/audio")).body["count"] == 0


async def test_a_disk_that_takes_nothing_is_no_fault_of_the_client(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        ada = await house.client("Ada")
        (tmp_path / "incoming").rmdir()
        got = await ada.upload(TONE)
        assert (got.status, got.code) == (503, "store-unavailable")
        assert "Retry-After" in got.headers


async def nothing_incoming(house: House, ada: Client) -> None:
    async with asyncio.timeout(5):
        while house.incoming:  # each look at the folder is a turn of the loop that removes it
            await ada.get("/audio")


async def test_what_does_not_arrive_in_time_is_refused(tmp_path: Path) -> None:
    async with open_house(tmp_path, Limits(2_000_000, 0.3)) as house:
        ada = await house.client("Ada")
        reader, writer = await begun(house, ada, 1_000_000, FILE[:200])
        assert b" 408 " in await reader.readline()
        assert house.incoming == []
        writer.close()
        await writer.wait_closed()


async def begun(
    house: House, client: Client, length: int, sent: bytes
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """An upload of `length` bytes, of which some are `sent`."""
    host, _, port = house.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = (
        f"POST /audio/upload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {client.secret}\r\n"
        f"Content-Type: {FORM}\r\nContent-Length: {length}\r\n\r\n"
    )
    writer.write(head.encode() + sent)
    await writer.drain()
    return reader, writer


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 422, "empty"),
        (b"this is a letter, not a song\n" * 100, 415, "unsupported-format"),
        (TONE[:60], 422, "damaged"),
        (wav(0.5, 0.0), 422, "silent"),
    ],
)
async def test_what_is_no_sound_is_told_and_not_kept(
    house: House, ada: Client, content: bytes, status: int, code: str
) -> None:
    got = await ada.upload(content)
    assert (got.status, got.code, got.pointers) == (status, code, ["/file"]), got.body
    assert (await ada.get("/audio")).body["count"] == 0
    assert house.incoming == []


async def test_a_key_makes_it_once(house: House, ada: Client) -> None:
    form = FILE + part(b"Tone", 'name="name"') + END
    first = await ada.post("/audio/upload", form, Content_Type=FORM, Idempotency_Key="k")
    again = await ada.post(
        "/audio/upload", form.replace(b"--b", b"--c"), Content_Type=FORM[:-1] + "c", Idempotency_Key="k"
    )
    assert (first.status, again.body) == (201, first.body)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (await ada.get("/audio")).body["count"] == 1
    for other in (
        form.replace(b"a.wav", b"b.wav"),
        form.replace(b"Tone", b"Tune"),
        form.replace(TONE, wav(0.6)),
    ):
        got = await ada.post("/audio/upload", other, Content_Type=FORM, Idempotency_Key="k")
        assert (got.status, got.code) == (422, "idempotency-key-reused")
    assert house.incoming == []


async def test_one_content_is_one_sound(ada: Client) -> None:
    one, two = await ada.upload(TONE), await ada.upload(TONE, "other.wav")
    assert one.body["id"] != two.body["id"]
    files = [await ada.get(f"/audio/{got.body['id']}/file") for got in (one, two)]
    assert len({hashlib.sha256(got.body).hexdigest() for got in files}) == 1
    assert files[0].headers["ETag"] == files[1].headers["ETag"]
