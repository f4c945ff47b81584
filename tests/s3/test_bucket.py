"""The single calls of S3, against a store that misbehaves on command."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from callsheet import (
    Denied,
    InvalidRequest,
    InvalidResponse,
    NotFound,
    Outcome,
    RateLimited,
    ResponseError,
    Unavailable,
)
from callsheet._http._messages import Body
from callsheet._s3 import Bucket, Found, Part
from faultserver import FaultServer, Line, Request, answer
from support.s3store import MODIFIED, Store, Strike, error, lose_answer, said, slow_down

KEY = "Data/a b+c~é/#?%.xxh128"


def answered(data: bytes) -> Strike:
    """Return the strike that answers so, and does nothing."""

    def strike(line: Line, store: Store, request: Request) -> None:
        line.send(data)

    return strike


def body_of(data: bytes) -> Body:
    """Return the bytes as a body that is read while it is sent."""

    async def chunks() -> AsyncGenerator[bytes, None]:
        yield data

    return Body(chunks, len(data))


async def test_an_object_comes_back_as_it_went(bucket: Bucket, store: Store, server: FaultServer) -> None:
    """Bytes, size, time and metadata of an object with any name are what was stored."""
    assert await bucket.put(KEY, b"bytes", metadata={"asset-root": "/mnt"}) is True
    assert store.objects == {KEY: b"bytes"}
    assert server.requests[0].target == "/bucket/Data/a%20b%2Bc~%C3%A9/%23%3F%25.xxh128"
    assert await bucket.get(KEY, limit=10) == (b"bytes", {"asset-root": "/mnt"})
    found = await bucket.head(KEY)
    assert found is not None
    assert (found.key, found.size, found.metadata) == (KEY, 5, {"asset-root": "/mnt"})
    assert found.modified_at is not None
    assert found.modified_at.strftime("%a, %d %b %Y %H:%M:%S GMT") == MODIFIED
    await bucket.delete(KEY)
    await bucket.delete(KEY)
    assert store.objects == {}
    assert await bucket.head(KEY) is None
    with pytest.raises(NotFound) as caught:
        await bucket.get(KEY, limit=10)
    assert caught.value.code == "NoSuchKey"


@pytest.mark.parametrize("data", [b'{"path":"<Error>.tx"}', b"<Errors/>", b"a <Error>"])
async def test_an_object_that_speaks_of_errors(bucket: Bucket, store: Store, data: bytes) -> None:
    """Bytes that only mention an error are an object like any other."""
    store.objects["a"] = data
    assert await bucket.get("a", limit=100) == (data, {})


@pytest.mark.parametrize("key", ["", ".", "a/../b", "a/."])
async def test_a_name_that_no_url_can_have(bucket: Bucket, store: Store, key: str) -> None:
    """A key that would lead elsewhere is refused before any request."""
    with pytest.raises(InvalidRequest, match="key"):
        await bucket.put(key, b"")
    assert store.calls == []


async def test_part_of_an_object(bucket: Bucket, store: Store) -> None:
    """A download can begin and end anywhere."""
    store.objects["a"] = b"0123456789"
    async with bucket.download("a", start=2, end=5, size=3) as chunks:
        assert b"".join([chunk async for chunk in chunks]) == b"234"
    async with bucket.download("a", size=10) as chunks:
        assert b"".join([chunk async for chunk in chunks]) == b"0123456789"


async def test_an_object_that_is_too_large(bucket: Bucket, store: Store) -> None:
    """No more is read than was allowed."""
    store.objects["a"] = b"0123456789"
    with pytest.raises(InvalidResponse, match="exceeds 9 bytes"):
        await bucket.get("a", limit=9)


async def test_what_is_there_stays(bucket: Bucket, store: Store) -> None:
    """A conditional put writes a new object, and never over another."""
    assert await bucket.put("a", b"first", new_only=True) is True
    assert await bucket.put("a", b"other", new_only=True) is False
    assert store.objects == {"a": b"first"}
    assert await bucket.put("a", b"third") is True
    assert store.objects == {"a": b"third"}


async def test_a_conditional_put_whose_answer_is_lost(bucket: Bucket, store: Store) -> None:
    """Repeating it finds the object there, and that is as good."""
    store.strike("PUT", lose_answer)
    assert await bucket.put("a", b"first", new_only=True) is False
    assert store.objects == {"a": b"first"}
    assert store.calls == [("PUT", "a")] * 2


async def test_a_race_for_one_key(bucket: Bucket, store: Store) -> None:
    """While others write the same key, the request is made again."""
    conflict = answered(error(409, "ConditionalRequestConflict"))
    store.strike("PUT", conflict, conflict)
    assert await bucket.put("a", b"first", new_only=True) is True
    store.strike("PUT", *[conflict] * 9)
    with pytest.raises(ResponseError) as caught:
        await bucket.put("b", b"first", new_only=True)
    assert caught.value.code == "ConditionalRequestConflict"
    assert store.calls == [("PUT", "a")] * 3 + [("PUT", "b")] * 5


async def test_a_store_without_conditions(bucket: Bucket, store: Store) -> None:
    """A store that knows no conditional writes is asked whether the object is there."""
    refused = answered(error(501, "NotImplemented"))
    store.strike("PUT", refused)
    assert await bucket.put("a", b"first", new_only=True) is True
    store.strike("PUT", refused)
    assert await bucket.put("a", b"other", new_only=True) is False
    assert store.objects == {"a": b"first"}
    assert [kind for kind, _ in store.calls] == ["PUT", "HEAD", "PUT", "PUT", "HEAD"]


async def test_too_many_requests(bucket: Bucket, store: Store) -> None:
    """A store that says to slow down is asked again later, and believed in the end."""
    store.strike("PUT", slow_down, slow_down)
    assert await bucket.put("a", b"first") is True
    store.strike("PUT", *[slow_down] * 5)
    with pytest.raises(RateLimited, match="SlowDown") as caught:
        await bucket.put("a", b"first")
    assert (caught.value.status, caught.value.code) == (503, "SlowDown")


@pytest.mark.parametrize("status", [400, 500])
async def test_trouble_that_passes(bucket: Bucket, store: Store, status: int) -> None:
    """A request that was too slow, and a store's own trouble, are tried again."""
    store.strike("PUT", answered(error(status, "RequestTimeout" if status == 400 else "InternalError")))
    assert await bucket.put("a", b"first") is True
    assert len(store.calls) == 2


@pytest.mark.parametrize("blanks", ["", " \n" * 500])
async def test_an_error_with_status_200(bucket: Bucket, store: Store, blanks: str) -> None:
    """Completing an upload can fail after its answer has begun; that is tried again, too."""
    upload = await bucket.begin("a")
    e_tag = await bucket.put_part("a", upload, 1, body_of(b"part"))
    xml = "<Error><Code>InternalError</Code><Message>late</Message></Error>"
    late = answered(said(blanks + xml))
    store.strike("COMPLETE", answered(answer(200, (blanks + xml).encode())), late)
    assert await bucket.complete("a", upload, {1: e_tag}) is True
    assert store.objects == {"a": b"part"}
    store.strike("COMPLETE", *[late] * 5)
    with pytest.raises(Unavailable, match="InternalError") as caught:
        await bucket.complete("a", "other", {1: e_tag})
    assert caught.value.message == "late"


async def test_a_listing_of_several_pages(bucket: Bucket, store: Store) -> None:
    """Every object under a prefix comes once, by key; coded names are decoded by those who ask for it."""
    store.page = 2
    store.objects = {f"a/{number}": b"x" * number for number in range(5)} | {"b": b""}
    found = await bucket.list("a/")
    assert [(one.key, one.size) for one in found] == [(f"a/{number}", number) for number in range(5)]
    assert await bucket.list("c/") == []
    store.page = 1000
    store.objects = {f"long/{number:0250}": b"" for number in range(1000)}
    assert [one.key for one in await bucket.list("long/")] == sorted(store.objects)
    store.strike(
        "LIST",
        answered(
            said(
                "<ListBucketResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'>"
                "<EncodingType>url</EncodingType>"
                "<Contents><Key>a%0A+%2B</Key><Size>1</Size></Contents></ListBucketResult>"
            )
        ),
    )
    assert await bucket.list("a") == [Found("a\n +", 1, "")]


@pytest.mark.parametrize(
    ("xml", "why"),
    [
        ("<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>", "without Key"),
        ("<ListBucketResult><Contents><Key>a</Key><Size>x</Size></Contents></ListBucketResult>", "without"),
        ("<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>", "no token"),
        ("<ListBucketResult>", "cannot be read"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><ListBucketResult>&b;</ListBucketResult>", "declares entities"),
        ("", "cannot be read"),
    ],
)
async def test_a_listing_that_makes_no_sense(bucket: Bucket, store: Store, xml: str, why: str) -> None:
    """A damaged listing is an error, never a short listing."""
    store.strike("LIST", answered(said(xml)))
    with pytest.raises(InvalidResponse, match=why):
        await bucket.list("a")


async def test_a_listing_that_goes_round_in_circles(bucket: Bucket, store: Store) -> None:
    """The same token twice is an error, not a listing without end."""
    page = said(
        "<ListBucketResult><IsTruncated>true</IsTruncated>"
        "<NextContinuationToken>again</NextContinuationToken></ListBucketResult>"
    )
    store.strike("LIST", *[answered(page)] * 3)
    with pytest.raises(InvalidResponse, match="token of the page before"):
        await bucket.list("a")
    assert len(store.calls) == 2


async def test_an_upload_in_parts(bucket: Bucket, store: Store) -> None:
    """Parts sent in any order become the object, in theirs; what is there can be asked for."""
    store.page = 2
    upload = await bucket.begin("a")
    e_tags = {
        number: await bucket.put_part("a", upload, number, body_of(b"%d" % number)) for number in (3, 1, 2)
    }
    assert await bucket.parts("a", upload) == {
        number: Part(number, 1, e_tags[number]) for number in (1, 2, 3)
    }
    assert await bucket.complete("a", upload, e_tags) is True
    assert store.objects == {"a": b"123"}
    with pytest.raises(NotFound):
        await bucket.parts("a", upload)
    other = await bucket.begin("a")
    tag = await bucket.put_part("a", other, 1, body_of(b"other"))
    assert await bucket.complete("a", other, {1: tag}, new_only=True) is False
    await bucket.abort("a", other)
    await bucket.abort("a", other)
    assert (store.objects, store.uploads) == ({"a": b"123"}, {})


@pytest.mark.parametrize(
    ("xml", "why"),
    [
        ("<ListPartsResult><Part><PartNumber>1</PartNumber></Part></ListPartsResult>", "a part without"),
        (
            "<ListPartsResult><IsTruncated>true</IsTruncated>"
            "<NextPartNumberMarker>7</NextPartNumberMarker></ListPartsResult>",
            "marker of the page before",
        ),
    ],
)
async def test_parts_that_make_no_sense(bucket: Bucket, store: Store, xml: str, why: str) -> None:
    """A damaged list of parts is an error, never a short one."""
    store.strike("PARTS", *[answered(said(xml))] * 2)
    with pytest.raises(InvalidResponse, match=why):
        await bucket.parts("a", "upload")


async def test_an_upload_without_an_id(bucket: Bucket, store: Store) -> None:
    """An answer that lacks what it is for is an error."""
    store.strike("BEGIN", answered(said("<InitiateMultipartUploadResult/>")))
    with pytest.raises(InvalidResponse, match="no UploadId"):
        await bucket.begin("a")
    store.strike("PART", answered(said("")))
    with pytest.raises(InvalidResponse, match="no ETag"):
        await bucket.put_part("a", "upload", 1, body_of(b"part"))


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (403, b"<html><body>no</body></html>", Denied),
        (403, b"<Error", Denied),
        (404, b"no XML", NotFound),
        (418, b"<!DOCTYPE a><Error><Code>x</Code></Error>", ResponseError),
        (200, b"<Error", InvalidResponse),
    ],
)
async def test_errors_that_are_no_xml(
    bucket: Bucket, store: Store, status: int, body: bytes, kind: type[ResponseError]
) -> None:
    """What something on the way says is an error by its status, in its own words."""
    store.strike("PUT", answered(answer(status, body)))
    with pytest.raises(ResponseError) as caught:
        await bucket.put("a", b"x")
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.code) == (status, None)
    # A page of whatever stands in the way is no proof that the object was stored.
    assert caught.value.outcome is (Outcome.UNKNOWN if status == 200 else Outcome.NOT_DONE)


async def test_the_owner_is_named(server: FaultServer) -> None:
    """Each request says whose bucket it must be, so that no stranger's bucket of the name is used."""
    async with Bucket(f"{server.url}/bucket", provider="test", owner="123456789012") as bucket:
        await bucket.put("a", b"x")
        assert await bucket.head("a") is not None
    assert {request.headers["x-amz-expected-bucket-owner"] for request in server.requests} == {"123456789012"}
