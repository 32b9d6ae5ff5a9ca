"""A seeded sample of `tests.campaigns.uploads`: no kill leaves half a file, half an index, or a piece."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.campaigns.publishing import publishing
from tests.campaigns.uploads import bucket_of, ingests, uploads
from waystation.testing.s3 import S3Server

pytestmark = pytest.mark.slow


@pytest.mark.always
async def test_ku1_a_killed_upload_into_a_folder_leaves_whole_files_only(tmp_path: Path) -> None:
    campaign = await uploads({"folder": str(tmp_path / "files")}, kills=2, mebibytes=40, seed=7)
    assert campaign.found == []


async def test_ku2_a_killed_upload_into_a_bucket_leaves_whole_files_only() -> None:
    with S3Server() as server:
        campaign = await uploads(bucket_of(server, "killed"), kills=2, mebibytes=40, seed=7)
    assert campaign.found == []


async def test_ku3_a_killed_ingest_leaves_whole_documents_only(tmp_path: Path) -> None:
    folder = tmp_path / "rag"
    folder.mkdir()
    campaign = await ingests(folder, kills=2, seed=7)
    assert campaign.found == []


async def test_ku4_readers_have_one_whole_generation_while_the_writer_is_killed(tmp_path: Path) -> None:
    with S3Server() as server:
        campaign = await publishing(tmp_path, bucket_of(server, "shared"), kills=2, seed=7)
    assert campaign.found == []
