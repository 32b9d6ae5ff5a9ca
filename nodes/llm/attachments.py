"""Files of a thread as a model gets them: texts in the system message, images and PDFs beside what was said.

Texts are fenced like passages: data from outside, in which nothing is an instruction. An
image or a PDF stands in the message that it came with, for models whose entry says that
they see such (`supports_vision`, `supports_pdf`); of any other it is told that it cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langgraph.runtime import Runtime

from core.access import RunContext, context_of
from nodes.llm.models import Attachment, LLMRequest, Model
from nodes.llm.ports import Attachments
from nodes.llm.prompt import file_texts

PDF = "application/pdf"
_MORE = " Where only a part is shown, read on with the tools {tools}."


@dataclass(frozen=True, slots=True)
class OfFiles:
    """What the files of a turn add to its request: attachments, and tools to read on."""

    shown: Sequence[Attachment] = ()
    tools: Sequence[Mapping[str, Any]] = ()


NO_FILES = OfFiles()


async def of_state(
    state: Mapping[str, Any],
    source: Attachments,
    runtime: Runtime[RunContext],
    models: Callable[[], Sequence[Model]],
) -> OfFiles:
    """What the files in a turn's state add to its request.

    Args:
        models: Gives the models that may come to answer.
    """
    files = state.get("files") or ()
    if not files:
        return OfFiles()
    line = models()
    messages: Sequence[BaseMessage] = state["messages"]
    last = next((at for at in range(len(messages) - 1, -1, -1) if messages[at].type == "human"), 0)
    found = await source.shown(
        context_of(runtime).principal,
        files,
        str(messages[last].text) if messages else "",
        images=any(model.supports_vision for model in line),
        pdfs=any(model.supports_pdf for model in line),
        pdf_texts=not all(model.supports_pdf for model in line),
    )
    first = not any(isinstance(message, AIMessage) for message in messages[last:])
    thread = runtime.execution_info.thread_id if runtime.execution_info else None
    # A file that is not known to be one of the thread comes with this turn.
    new = {str(f.get("name")) for f in files if first and (thread is None or f.get("thread") != thread)}
    every = (state.get("config") or {}).get("tools") is None
    return OfFiles(
        [each.as_new() if each.name in new else each for each in found], source.tools() if every else ()
    )


def as_media(attachment: Attachment, model: Model) -> bool:
    """Whether the model is given the file itself."""
    seen = model.supports_pdf if attachment.media_type == PDF else model.supports_vision
    return bool(attachment.data) and seen


def texts_of(request: LLMRequest, model: Model) -> str:
    """The texts of files for the system message, and why one is not there; "" where there are no files."""
    shown = [each for each in request.attachments if each.text and not as_media(each, model)]
    unseen = [_unseen(each, model) for each in request.attachments if not each.text]
    told = " ".join(f"Not shown of them: {why}." for why in unseen if why)
    if not shown:
        return told
    texts = [(f"{each.name} ({each.extent})" if each.extent else each.name, each.text) for each in shown]
    tools = _reading_tools(request, model) if any(each.extent for each in shown) else []
    block = file_texts(texts, _MORE.format(tools=" and ".join(tools)) if tools else "")
    return f"{told}\n\n{block}" if told else block


def with_media(
    messages: Sequence[BaseMessage], attachments: Sequence[Attachment], model: Model
) -> list[BaseMessage]:
    """The messages, each with the images and PDFs that came with it and that the model can see.

    One whose message is not shown any more is not shown either; one of which that is not
    known stands with the last message.
    """
    found = list(messages)
    places = {message.id: at for at, message in enumerate(found) if isinstance(message, HumanMessage)}
    if not places:
        return found
    for each in attachments:
        at = places.get(each.message) if each.message else max(places.values())
        if at is not None and as_media(each, model):
            content = found[at].content
            parts: list[Any] = [{"type": "text", "text": content}] if isinstance(content, str) else content
            named = {"type": "text", "text": f"[{each.name}]"}
            found[at] = found[at].model_copy(update={"content": [*parts, named, _part(each)]})
    return found


def _part(attachment: Attachment) -> dict[str, Any]:
    """A content part of chat completions."""
    url = f"data:{attachment.media_type};base64,{attachment.data}"
    if attachment.media_type == PDF:
        return {"type": "file", "file": {"filename": attachment.name, "file_data": url}}
    return {"type": "image_url", "image_url": {"url": url}}


def remarks_on_files(attachments: Sequence[Attachment], model: Model) -> Iterator[tuple[str, str]]:
    """(code, text) of a notice for each file of this turn that the model is not given whole."""
    for each in attachments:
        if not each.new or as_media(each, model):
            continue
        if each.text:
            if each.notes:
                yield "file_partly_read", f"Of '{each.name}' was not read: {'; '.join(each.notes)}."
        elif _is_image(each) and not model.supports_vision:
            yield (
                "file_not_seen",
                f"The model '{model.name}' cannot see images: '{each.name}' was left out.",
            )
        elif each.reason:
            seen = f"The model sees the name, type and size of '{each.name}' and not what is in it"
            yield "file_not_read", f"{seen}: {each.reason}."


def _unseen(attachment: Attachment, model: Model) -> str:
    """Why nothing of a file is shown, for the model itself; "" where it is."""
    if as_media(attachment, model):
        return ""
    blind = _is_image(attachment) and not model.supports_vision
    why = "this model cannot see images" if blind else attachment.reason
    return f"{' '.join(attachment.name.split())}, {why}" if why else ""


def _is_image(attachment: Attachment) -> bool:
    return attachment.media_type.startswith("image/")


def _reading_tools(request: LLMRequest, model: Model) -> list[str]:
    named = [str(tool.get("function", {}).get("name", "")) for tool in request.tools]
    return [name for name in named if name in ("read_file", "search_in_file")] if model.supports_tools else []
