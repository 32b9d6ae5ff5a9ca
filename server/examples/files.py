"""Examples of the routes under /files."""

from __future__ import annotations

from server.examples.form import BYTES, FORM, Example

KEY = "f_HnxWPzLr1nPngkxAE4wtoXGp"
PATH = {"key": KEY}
TEXT = "length,fee\n8,12\n"
FILE = {
    "key": KEY,
    "filename": "fees.csv",
    "size": 16,
    "content_type": "text/csv",
    "last_modified": "2026-11-25T13:51:24.256682+00:00",
    "etag": "965427f42cfca288705184d45e936fbe1af65abf05dcdc6ae519fc8fab5ef202",
    "tags": {"year": "2026"},
    "file_type": "user",
    "thread_id": None,
}

LISTED = {**FILE, "cursor": "c.WyJmaWxlIiwxNzk2MDQ2Njg0MjQ0ODY3MDAwLCJmX3giXQ"}

FILES = {
    ("POST", "/files"): Example(
        body={"file": TEXT, "tags": '{"year": "2026"}'},
        sends=FORM,
        answer=FILE,
    ),
    ("GET", "/files"): Example(query={"file_type": "user", "limit": 100}, answer=[LISTED]),
    ("GET", "/files/search"): Example(
        query={"q": "fee", "limit": 10},
        answer={
            "hits": [{**FILE, "where": "lines 1-2", "text": TEXT.strip(), "score": 1.213}],
            "searched": 1,
            "left_out": 0,
        },
    ),
    ("POST", "/files/direct"): Example(
        body={
            "filename": "fees.csv",
            "size": 16,
            "sha256": FILE["etag"],
            "content_type": "text/csv",
        },
        answer={
            "key": KEY,
            "upload": {
                "method": "PUT",
                "url": "https://my-bucket.s3.amazonaws.com/waystation/ada-0f5e/f_HnxW?X-Amz-Signature=c2ln",
                "headers": {"content-type": "text/csv", "content-length": "16"},
                "seconds": 600,
            },
        },
    ),
    ("GET", "/files/{key}/preview"): Example(
        path=PATH,
        answer={"kind": "text", "media_type": "text/csv", "size": 8, "content": "a,b", "cut": False},
    ),
    ("POST", "/files/{key}/uploaded"): Example(path=PATH, answer=FILE),
    ("POST", "/files/{key}/copy"): Example(path=PATH, body={"filename": "fees.csv"}, answer=FILE),
    ("PATCH", "/files/{key}"): Example(path=PATH, body={"tags": {"year": "2026"}}, answer=FILE),
    ("PUT", "/files/{key}/tags"): Example(path=PATH, body={"tags": {"year": "2026"}}, answer=FILE),
    ("GET", "/files/{key}"): Example(path=PATH, answer=FILE),
    ("GET", "/files/{key}/content"): Example(path=PATH, media=BYTES, answer=TEXT),
    ("GET", "/files/link/{token}"): Example(
        path={"token": "eyJrIjoiZl9IbnhXUHpMcjFuUG5na3hBRTR3dG9YR3AifQ.c2ln"},
        media=BYTES,
        answer=TEXT,
    ),
    ("DELETE", "/files/{key}"): Example(path=PATH, answer=None),
}
