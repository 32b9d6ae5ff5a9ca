"""A form is read as it comes, wherever it is cut, and what is no form is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from server.errors import InvalidRequest
from server.uploads import FIELD_BYTES, UploadForm

TAGS = b'Content-Disposition: form-data; name="tags"\r\n\r\n{"a": "b"}'
FILE = (
    b'Content-Disposition: form-data; name="file"; filename="\xc3\xa4.csv"\r\nContent-Type: text/csv\r\n\r\n'
    b"a,b\r\n--c\r\n--cut"
)
CONTENT = b"a,b\r\n--c\r\n--cut"


def form(*parts: bytes, end: bytes = b"--cut-here--\r\n") -> bytes:
    return b"".join(b"--cut-here\r\n" + part + b"\r\n" for part in parts) + end


def field(name: str, content: bytes = b"x") -> bytes:
    return f'Content-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + content


def file(name: str, filename: str = "a.txt") -> bytes:
    return f'Content-Disposition: form-data; name="{name}"; filename="{filename}"\r\n\r\nx'.encode()


def request(
    body: bytes, *, at_a_time: int = 65536, kind: str = 'multipart/form-data; boundary="cut-here"'
) -> tuple[Request, list[Message]]:
    """A request, and the messages of it that nobody has read yet."""

    def messages() -> Iterator[Message]:
        for at in range(0, len(body), at_a_time):
            yield {"type": "http.request", "body": body[at : at + at_a_time], "more_body": True}
        yield {"type": "http.request", "body": b"", "more_body": False}

    left = list(messages())

    async def receive() -> Message:
        return left.pop(0)

    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive), left


async def read(given: Request) -> tuple[str, str | None, bytes, dict[str, str]]:
    found = UploadForm(given)
    part = await found.file()
    content = b"".join([piece async for piece in found.content()])
    return part.name, part.media_type, content, found.fields


@pytest.mark.parametrize("at_a_time", [1, 2, 7, 64, 65536])
@pytest.mark.parametrize("parts", [(TAGS, FILE), (FILE, TAGS)])
async def test_file_and_fields_are_found_however_they_come(
    parts: tuple[bytes, bytes], at_a_time: int
) -> None:
    given, _ = request(form(*parts), at_a_time=at_a_time)
    assert await read(given) == ("ä.csv", "text/csv", CONTENT, {"tags": '{"a": "b"}'})


async def test_the_file_goes_on_while_the_rest_is_on_its_way() -> None:
    given, left = request(form(FILE[:-3] + bytes(5000), TAGS), at_a_time=1000)
    found = UploadForm(given)
    await found.file()
    content = found.content()
    assert (await anext(content)).startswith(CONTENT[:9])
    assert len(left) == 6
    assert found.fields == {}
    assert sum([len(piece) async for piece in content]) > 4000
    assert "tags" in found.fields


async def test_what_was_announced_says_how_much_will_come_at_least() -> None:
    large, _ = request(form(FILE + bytes(3 * FIELD_BYTES)))
    small, _ = request(form(FILE))
    assert (await UploadForm(small).file()).at_least == 0
    told = (await UploadForm(large).file()).at_least
    assert FIELD_BYTES < told <= 2 * FIELD_BYTES + len(FILE)


async def test_words_that_are_no_utf_8_are_read_all_the_same() -> None:
    given, _ = request(form(field("tags", b"caf\xe9"), file("file")))
    assert (await read(given))[3] == {"tags": "café"}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (form(file("file"), file("file")), "more than one file"),
        (form(file("other"), file("file")), "no part 'file'"),
        (form(file("file", "")), "no part 'file'"),
        (form(field("file")), "no part 'file'"),
        (form(), "no part 'file'"),
        (form(b"Content-Transfer-Encoding: Base64\r\n" + file("file")), "content-transfer-encoding"),
        (b"", "breaks off"),
        (form(file("file"), end=b""), "breaks off"),
        (form(FILE)[:120], "breaks off"),
        (b"no form at all", "no form"),
        (form(b"Content-Disposition: form-data\r\n\r\nx", file("file")), "has no name"),
        (form(b"Content-Type: text/plain\r\n\r\nx", file("file")), "has no name"),
        (form(*[field(f"f{n}") for n in range(12)], file("file")), "more than 10 fields"),
        (form(file("file"), *[field(f"f{n}") for n in range(12)]), "more than 10 fields"),
        (form(field("a", bytes(FIELD_BYTES)), field("b", b"xx"), file("file")), "more than 1048576 bytes"),
        (form(b"\r\n".join([b"X: y"] * 20) + b"\r\n\r\nx", file("file")), "no form"),
    ],
)
async def test_what_is_no_form_with_one_file_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        await read(request(body)[0])


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("multipart/form-data", "names no boundary"),
        ("multipart/form-data; boundary=", "names no boundary"),
        ("multipart/form-data; boundary=" + "x" * 300, "too long"),
    ],
)
async def test_a_form_without_a_boundary_is_refused(kind: str, why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        await read(request(form(FILE), kind=kind)[0])


async def test_a_client_that_goes_away_is_no_end_of_the_file() -> None:
    given, left = request(form(FILE), at_a_time=100)
    left[1:] = [{"type": "http.disconnect"}]
    with pytest.raises(ClientDisconnect):
        await read(given)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        (b'filename="a \\"b\\".txt"', 'a "b".txt'),
        # curl, browsers, requests, httpx
        (b'filename="a %22b%22%0D%0A 5% %41.txt"', 'a "b"\r\n 5% %41.txt'),
        # aiohttp
        (b'filename="%C3%BCber%20%22a%22%2Etxt"', 'über "a".txt'),
        (b'filename="%FF.txt"', "%FF.txt"),
        # .NET
        (b"filename=\"=?utf-8?B?w7xiZXIudHh0?=\"; filename*=utf-8''%C3%BCber.txt", "über.txt"),
        (b"filename*=ISO-8859-1'de'%FCber.txt; filename=other", "über.txt"),
        (b"filename=plain; filename*=utf-8''%FF", "plain"),
        (b"filename=plain; filename*=idna''x", "plain"),
        (b"filename=\"a; filename*=utf-8''b\"", "a; filename*=utf-8''b"),
    ],
)
async def test_a_name_is_read_as_its_client_wrote_it(written: bytes, name: str) -> None:
    part = b'Content-Disposition: form-data; name="file"; ' + written + b"\r\n\r\nx"
    assert (await read(request(form(part))[0]))[0] == name


async def test_a_part_with_endless_headers_is_told_what_is_wrong() -> None:
    for headers in (b"x: " + b"y" * 100_000 + b"\r\n", b"".join(b"x-%d: y\r\n" % n for n in range(1000))):
        part = b'Content-Disposition: form-data; name="file"; filename="a"\r\n' + headers + b"\r\nx"
        with pytest.raises(InvalidRequest, match="a part has headers that are too many, too long"):
            await read(request(form(part))[0])
