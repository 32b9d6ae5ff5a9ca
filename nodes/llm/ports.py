"""What this module needs from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

from langchain_core.messages import BaseMessage

from core.access import Principal
from nodes.llm.models import Attachment
from nodes.llm.pieces import Chunk


class ChatModel(Protocol):
    """One model behind one endpoint. Errors are those of `nodes.llm.errors`."""

    def stream(
        self,
        messages: Sequence[BaseMessage],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        sampling: Mapping[str, Any] = {},
        user: str = "",
    ) -> AsyncIterator[Chunk]:
        """The answer as it comes; the last chunk says why it ended. Empty chunks are signs of life."""
        ...

    async def ping(self) -> list[str]:
        """Names of the models that the endpoint serves, at the price of no token."""
        ...

    async def aclose(self) -> None:
        """Give back connections."""
        ...


class Toolbox(Protocol):
    """Where the tools of a turn come from."""

    async def schemas(
        self, principal: Principal, servers: Sequence[str], tools: Sequence[str] | None
    ) -> Sequence[dict[str, Any]]:
        """OpenAI function schemas of the tools of `servers` that the principal may use."""
        ...


class EmptyToolbox:
    """No tools: what a module that runs alone has."""

    async def schemas(
        self, principal: Principal, servers: Sequence[str], tools: Sequence[str] | None
    ) -> Sequence[dict[str, Any]]:
        return []


class Attachments(Protocol):
    """Where the contents of a thread's files come from."""

    async def shown(
        self,
        principal: Principal,
        files: Sequence[Mapping[str, Any]],
        question: str,
        *,
        images: bool,
        pdfs: bool,
        pdf_texts: bool,
    ) -> Sequence[Attachment]:
        """What of the files a model may be given, under the rights of the principal; never an error.

        Args:
            files: Entries of the graph's `files` channel.
            question: Of a text that is too long the parts for it are shown.
            images: A model can see images; `pdfs`: PDFs as such. `pdf_texts`: the text is wanted as well.
        """
        ...

    def tools(self) -> Sequence[Mapping[str, Any]]:
        """Function schemas of the tools by which the model reads on."""
        ...


class NoAttachments:
    """Files are names only: what a module that runs alone has."""

    async def shown(self, *_: Any, **__: Any) -> Sequence[Attachment]:
        return ()

    def tools(self) -> Sequence[Mapping[str, Any]]:
        return ()
