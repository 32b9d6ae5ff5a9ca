"""Signed links: what is accepted, and where the secret is kept."""

from __future__ import annotations

import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jwt
import pytest

from nodes.file_storage.errors import LinkExpired, LinkInvalid, StorageUnavailable
from nodes.file_storage.links import AUDIENCE, LinkSigner
from tests.unit.nodes.file_storage.conftest import SECRET

OTHER_SECRET = "another secret that has thirty-two characters"


def test_a_token_says_whose_file_it_is(signer: LinkSigner) -> None:
    assert signer.verify(signer.sign("ada@example.com", "f_1", seconds=60)) == ("ada@example.com", "f_1")


def test_an_old_token_has_expired(signer: LinkSigner) -> None:
    with pytest.raises(LinkExpired):
        signer.verify(signer.sign("ada", "f_1", seconds=-1))


def test_a_token_signed_with_another_secret_is_refused(signer: LinkSigner) -> None:
    with pytest.raises(LinkInvalid):
        signer.verify(LinkSigner(OTHER_SECRET).sign("ada", "f_1", seconds=60))


def _claims(**others: object) -> dict[str, object]:
    return {"aud": AUDIENCE, "sub": "ada", "key": "f_1", "exp": int(time.time()) + 60, **others}


def test_a_token_without_a_signature_is_refused(signer: LinkSigner) -> None:
    with pytest.raises(LinkInvalid):
        signer.verify(jwt.encode(_claims(), "", algorithm="none"))


@pytest.mark.parametrize("changed", [{"aud": "elsewhere"}, {"exp": "soon"}, {"sub": 5}])
def test_a_token_made_for_something_else_is_refused(signer: LinkSigner, changed: dict[str, object]) -> None:
    with pytest.raises(LinkInvalid):
        signer.verify(jwt.encode(_claims(**changed), SECRET, algorithm="HS256"))


@pytest.mark.parametrize("missing", ["exp", "key", "sub", "aud"])
def test_a_token_that_lacks_something_is_refused(signer: LinkSigner, missing: str) -> None:
    claims = _claims()
    del claims[missing]
    with pytest.raises(LinkInvalid):
        signer.verify(jwt.encode(claims, SECRET, algorithm="HS256"))


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "ä.ö.ü", "." * 5000])
def test_nonsense_is_refused(signer: LinkSigner, token: str) -> None:
    with pytest.raises(LinkInvalid):
        signer.verify(token)


def test_a_changed_token_is_refused(signer: LinkSigner) -> None:
    head, body, tail = signer.sign("ada", "f_1", seconds=60).split(".")
    forged = signer.sign("bob", "f_1", seconds=60).split(".")[1]
    assert forged != body
    with pytest.raises(LinkInvalid):
        signer.verify(f"{head}.{forged}.{tail}")


def test_the_secret_is_made_once_and_is_ours_alone(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "link.key"
    token = LinkSigner(path).sign("ada", "f_1", seconds=60)
    assert LinkSigner(path).verify(token) == ("ada", "f_1")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [p.name for p in path.parent.iterdir()] == ["link.key"]


def test_processes_that_start_together_agree_on_the_secret(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "link.key"
    with ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(lambda _: LinkSigner(path).sign("ada", "f_1", seconds=60), range(32)))
    assert {LinkSigner(path).verify(token) for token in tokens} == {("ada", "f_1")}


def test_a_damaged_secret_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "link.key"
    path.write_text("short")
    with pytest.raises(StorageUnavailable, match="delete the file"):
        LinkSigner(path).sign("ada", "f_1", seconds=60)


def test_a_secret_that_cannot_be_kept_is_an_error_without_paths(tmp_path: Path) -> None:
    (tmp_path / "secrets").write_text("a file where the folder should be")
    with pytest.raises(StorageUnavailable) as caught:
        LinkSigner(tmp_path / "secrets" / "link.key").sign("ada", "f_1", seconds=60)
    assert str(tmp_path) not in caught.value.detail
