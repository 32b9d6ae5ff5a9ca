"""E-mail (EML, MBOX): who wrote what to whom and when, the text, and the attachments that can be read.

A browser saves a page with its pictures in the same form (MHTML, RFC 2557). In a mailbox a line that
begins with "From " stands before each message (RFC 4155).
"""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Callable, Iterator
from email.message import EmailMessage, MIMEPart

from nodes.rag.reading.decoding import Undecodable, decoded, known_as
from nodes.rag.reading.extract import MOST_CHARS, Extract, Unreadable
from nodes.rag.reading.html import text_of_html

_HEADERS = ("From", "To", "Cc", "Date", "Subject")
_MOST_ATTACHMENTS = 100
_MOST_MESSAGES = 20_000
_SAVED_PAGE = "Snapshot-Content-Location"
# With a date: a message may have a line of its own that begins so.
_NEXT = re.compile(rb"(?:\A|(?<=\n\n)|(?<=\n\r\n))From \S{1,300} [^\r\n]{0,100}\d\d:\d\d[^\r\n]{0,100}\r?\n")
# Within a message such a line has a ">" before it.
_NO_NEXT = re.compile(rb"^>(>{0,20}From )", re.MULTILINE)

Attached = Callable[[str, bytes], Extract | None]


def reader(attached: Attached) -> Callable[[bytes], Extract]:
    """Reads mails.

    Args:
        attached: Reads an attachment by its name; None for one of a kind that is not read.
    """

    def read(raw: bytes) -> Extract:
        """The message, then its attachments; of a mailbox every message.

        Raises:
            Unreadable: It is no e-mail.
        """
        found = Extract()
        if raw.startswith(b"From "):
            _mailbox(found, raw, attached)
        else:
            _message(found, raw, "", attached)
        return found

    return read


def _mailbox(found: Extract, raw: bytes, attached: Attached) -> None:
    starts = list(_NEXT.finditer(raw))
    ends = [*(start.start() for start in starts[1:]), len(raw)]
    for number, (start, end) in enumerate(zip(starts, ends, strict=True), start=1):
        if number > _MOST_MESSAGES:
            found.notes.append(f"only its first {_MOST_MESSAGES} messages are read")
            return
        if found.chars > MOST_CHARS:
            raise Unreadable("it is too much text")
        try:
            _message(found, _NO_NEXT.sub(rb"\1", raw[start.end() : end]), f"message {number}", attached)
        except Unreadable as reason:
            found.notes.append(f"message {number}: {reason}")


def _message(found: Extract, raw: bytes, where: str, attached: Attached) -> None:
    message = email.message_from_bytes(raw, policy=email.policy.default)
    if not any(name in message for name in _HEADERS):
        raise Unreadable("it is no e-mail")
    subject = _header(message, "Subject")
    heads = [f"{name}: {said}" for name in _HEADERS if (said := _header(message, name))]
    told = [] if _SAVED_PAGE in message else ["\n".join(heads)]
    found.add([*told, *_body(message)], (subject,) if subject else (), where, where.replace(" ", "="))
    for count, (name, content) in enumerate(_attachments(message)):
        if count >= _MOST_ATTACHMENTS:
            note = f"only the first {_MOST_ATTACHMENTS} attachments are read"
            found.notes.append(f"{where}: {note}" if where else note)
            return
        _attach(found, (subject, where), name, content, attached)


def _header(message: EmailMessage, name: str) -> str:
    try:
        return " ".join(str(message.get(name, "")).split())
    except (ValueError, TypeError, IndexError, AttributeError):  # the parser's own, of a broken header
        return ""


def _body(message: EmailMessage) -> Iterator[str]:
    part = message.get_body(("plain", "html"))
    if part is None:
        return
    text = _text(part)
    yield text_of_html(text) if part.get_content_subtype() == "html" else text
    for more in _further(message, part):
        text = _text(more)
        yield text_of_html(text) if more.get_content_subtype() == "html" else text


def _further(message: EmailMessage, body: MIMEPart) -> Iterator[MIMEPart]:
    """Texts of its kind that stand beside the body: what goes on behind a picture, a list's last lines."""
    if message.get_content_type() != "multipart/mixed":
        return
    for part in message.iter_parts():
        named = part.get_filename() or part.is_attachment()
        if part is not body and not named and part.get_content_type() == body.get_content_type():
            yield part


def _text(part: MIMEPart) -> str:
    raw = part.get_payload(decode=True)
    content = raw if isinstance(raw, bytes) else b""
    charset = part.get_content_charset() or ""
    try:
        text = content.decode(known_as(charset or "utf-8"))
    except (LookupError, UnicodeDecodeError):
        try:
            text = decoded(content)
        except Undecodable:
            text = content.decode("latin-1")
    return text.replace("\r\n", "\n").strip()


def _attachments(message: EmailMessage) -> Iterator[tuple[str, bytes]]:
    for part in message.iter_attachments():
        name = part.get_filename() or ("message.eml" if part.get_content_type() == "message/rfc822" else "")
        raw = part.get_payload(decode=True)
        if part.get_content_type() == "message/rfc822":
            inner = part.get_payload(0)
            raw = inner.as_bytes() if hasattr(inner, "as_bytes") else b""
        if name and isinstance(raw, bytes):
            yield name, raw


def _attach(found: Extract, message: tuple[str, str], name: str, content: bytes, attached: Attached) -> None:
    subject, in_mailbox = message
    try:
        inner = attached(name, content)
    except Unreadable as reason:
        found.notes.append(f"attachment '{name}': {reason}")
        return
    if inner is None:
        found.notes.append(f"attachment '{name}' is not read")
        return
    for part in inner.parts:
        where = ", ".join(filter(None, [in_mailbox, f"attachment '{name}'", part.where]))
        found.add([part.text], (*filter(None, [subject]), *part.path), where, name)
    found.notes += [f"attachment '{name}': {note}" for note in inner.notes]
