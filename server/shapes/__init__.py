"""What every route answers, as types: `/openapi.json` has its schemas from them, one file per subject.

A route says `-> Annotated[Json, Shape(Run)]`: what it returns is a dict as ever and is sent as it is. Only
the description reads the type, when it is asked for. `tests/docs/test_openapi_shapes.py` holds what a real
service answers to the types, field by field.
"""
