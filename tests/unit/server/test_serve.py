"""Where the files of a service are fetched."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from core.access import Principal
from core.container import build_container
from core.sections import SECTIONS
from core.settings import Context, Places, read_book
from core.settings.platform import ServerSettings
from nodes.file_storage import FileManager
from nodes.file_storage.module import MODULE
from server.serve import greeting_of_many, own_links, own_url

ADA = Principal("ada")


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1"),
        ("0.0.0.0", "http://127.0.0.1"),  # noqa: S104 - nothing is bound to it
        ("::", "http://[::1]"),
        ("fd00::7", "http://[fd00::7]"),
        ("10.0.0.7", "http://10.0.0.7"),
    ],
)
def test_programs_of_this_machine_reach_the_service_where_it_listens(host: str, address: str) -> None:
    settings = ServerSettings(host=host, public_url="https://agents.example")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert own_url(settings, listener) == f"{address}:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    ("section", "base"),
    [({}, "http://127.0.0.1:8123"), ({"link_base_url": "https://files.example"}, "https://files.example")],
)
async def test_links_lead_to_the_service_unless_the_settings_say_where(
    tmp_path: Path, section: dict[str, Any], base: str
) -> None:
    context = Context(Places(tmp_path / "config", tmp_path / "home"), {}, {"file_storage": section})
    book = read_book([*MODULE.sections, *SECTIONS], (), context, partial=True)
    container = build_container([MODULE], book, *own_links(book, "http://127.0.0.1:8123"))
    files = await container.get(FileManager)
    info = await files.put(ADA, "a.txt", b"x")
    assert (await files.link(ADA, info.key)).startswith(f"{base}/files/link/")
    await container.close()


def test_several_workers_on_one_port_name_no_page_that_they_lack() -> None:
    said = greeting_of_many("http://h:1", ServerSettings(role="worker", workers=2))
    assert "executes runs and tasks" in said
    assert "playground" not in said
    assert "http://h:1/chat/playground/" in greeting_of_many("http://h:1", ServerSettings(workers=2))
