"""Files of a thread, as models and the tool step get them from file storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.access import Principal
from core.errors import InvalidInput
from nodes.file_storage.attached import READ, TOOLS, AttachedFiles, ModelSees
from nodes.llm.models import Attachment
from nodes.mcp_tools.models import CallResult, Content, ExecutionContext, ToolInfo


class ThreadAttachments:
    """Gives models the contents of files.

    Args:
        tools: Whether tools run in this service: without them a model cannot read on.
    """

    def __init__(self, files: AttachedFiles, *, tools: bool) -> None:
        self._files = files
        functions = ({"name": name, **told} for name, told in TOOLS.items())
        self._tools = tuple({"type": "function", "function": told} for told in functions) if tools else ()

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
        wanted = ModelSees(images=images, pdfs=pdfs, pdf_texts=pdf_texts)
        return [
            Attachment(
                name=each.name,
                media_type=each.media_type,
                size=each.size,
                text=each.text,
                extent=each.extent,
                notes=each.notes,
                reason=each.reason,
                data=each.data,
                message=each.message,
            )
            for each in await self._files.shown(principal, files, question, wanted)
        ]

    def tools(self) -> Sequence[Mapping[str, Any]]:
        return self._tools


class FileTools:
    """The tools by which a model reads on in a file of its thread, named as the model knows it."""

    def __init__(self, files: AttachedFiles) -> None:
        self._files = files
        self._tools = {
            name: ToolInfo(name, told["description"], told["parameters"], repeatable=True)
            for name, told in TOOLS.items()
        }

    def find(self, name: str) -> ToolInfo | None:
        return self._tools.get(name)

    async def call(self, tool: str, arguments: Mapping[str, Any], context: ExecutionContext) -> CallResult:
        name = str(arguments["name"])
        key = context.files.get(name)
        if key is None:
            known = ", ".join(context.files) or "none"
            raise InvalidInput(f"'{name[:200]}' is no file of this thread; files: {known}")
        given = {part: str(arguments[part]) for part in ("pages", "lines", "query") if arguments.get(part)}
        if tool == READ:
            text = await self._files.read(context.principal, key, **given)
        else:
            text = await self._files.search(context.principal, key, given.get("query", ""))
        return CallResult((Content("text", text),))
