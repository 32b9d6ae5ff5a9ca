"""What can be wrong with the wishes for a turn, and with questions about the configuration."""

from __future__ import annotations

from core.errors import InvalidInput


class UnknownModel(InvalidInput):
    """No such model, or none that this user may use."""

    code = "unknown_model"
    title = "Unknown model"


class UnknownSource(InvalidInput):
    """No such source, or none that this user may use."""

    code = "unknown_source"
    title = "Unknown source"


class UnknownTool(InvalidInput):
    """No such server or tool, or none that this user may use."""

    code = "unknown_tool"
    title = "Unknown tool"


class UnknownPart(InvalidInput):
    """No section and no file of the configuration has this name."""

    code = "unknown_config_part"
    title = "Unknown part of the configuration"


class SchemaNotWritten(InvalidInput):
    """The folder for the schemas cannot be written."""

    code = "schema_not_written"
    title = "The schemas cannot be written"
