"""The test kit, for modules, adapters and plugins of others: docs/testing.md says how it is used.

    pytest_plugins = ("waystation.testing.fixtures",)       # in conftest.py

Waystation's own tests run on it too. `pip install 'waystation[testing]'` brings what its servers need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from waystation.names import homes_of, lazy

if TYPE_CHECKING:
    from nodes.llm.fake import ScriptedModel
    from nodes.mcp_tools.fake import FakeServer
    from waystation.testing.agents import context_at, open_agent, write_config
    from waystation.testing.container import Fakes, module_container
    from waystation.testing.contracts.chat_model import ChatModelContract
    from waystation.testing.contracts.file_store import FileStoreContract
    from waystation.testing.contracts.retriever import RetrieverContract
    from waystation.testing.contracts.tool_connector import ToolConnectorContract
    from waystation.testing.mcp_servers import IsolatedServer, isolated, text_of
    from waystation.testing.model_server import ModelServer
    from waystation.testing.packages import InstalledPackage, install
    from waystation.testing.parts import record_events, routes_of, run_step, run_task
    from waystation.testing.rag_server import RagServer
    from waystation.testing.redis import RedisServer
    from waystation.testing.s3 import S3Server
    from waystation.testing.service import Service

__all__ = [
    "ChatModelContract",
    "FakeServer",
    "Fakes",
    "FileStoreContract",
    "InstalledPackage",
    "IsolatedServer",
    "ModelServer",
    "RagServer",
    "RedisServer",
    "RetrieverContract",
    "S3Server",
    "ScriptedModel",
    "Service",
    "ToolConnectorContract",
    "context_at",
    "install",
    "isolated",
    "module_container",
    "open_agent",
    "record_events",
    "routes_of",
    "run_step",
    "run_task",
    "text_of",
    "write_config",
]

# As in `waystation`: the imports above are for type checkers.
_HOMES = {
    "nodes.llm.fake": "ScriptedModel",
    "nodes.mcp_tools.fake": "FakeServer",
    "waystation.testing.agents": "context_at open_agent write_config",
    "waystation.testing.container": "Fakes module_container",
    "waystation.testing.contracts.chat_model": "ChatModelContract",
    "waystation.testing.contracts.file_store": "FileStoreContract",
    "waystation.testing.contracts.retriever": "RetrieverContract",
    "waystation.testing.contracts.tool_connector": "ToolConnectorContract",
    "waystation.testing.mcp_servers": "IsolatedServer isolated text_of",
    "waystation.testing.model_server": "ModelServer",
    "waystation.testing.packages": "InstalledPackage install",
    "waystation.testing.parts": "record_events routes_of run_step run_task",
    "waystation.testing.rag_server": "RagServer",
    "waystation.testing.redis": "RedisServer",
    "waystation.testing.s3": "S3Server",
    "waystation.testing.service": "Service",
}
_HOME_OF = homes_of(_HOMES)

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(__name__, _HOME_OF)
