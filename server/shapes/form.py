"""How a type comes into the description of an answer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

from pydantic import ConfigDict, GetJsonSchemaHandler, TypeAdapter, WithJsonSchema

Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""ISO 8601 in UTC."""
Json = dict[str, Any]
"""An object whose keys are somebody's data."""
Anything = Annotated[Any, WithJsonSchema({})]

OPEN = ConfigDict(json_schema_extra={"additionalProperties": True})
"""As `__pydantic_config__`: further fields may stand there, those of a step or event of somebody else."""


@dataclass(frozen=True, slots=True)
class Shape:
    """As an annotation of a value: its schema is that of `type`, and nothing is checked or copied for it.

    To hold each answer to its type would cost every answer. The type's own schema is made when the
    description is asked for, so that a service that nobody asks starts as fast as without.
    """

    type: Any

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        # As items of a list: by itself a type would be written out, and no client would have a name for it.
        made: dict[str, Any] = handler(_items(self.type))["items"]
        return made


@cache
def _items(of: Any) -> Any:
    return TypeAdapter(list[of]).core_schema
