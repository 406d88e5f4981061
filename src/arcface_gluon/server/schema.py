"""The JSON service in OpenAPI's words."""

from __future__ import annotations

from .answers import Limits

KINDS = ("image/jpeg", "image/png", "image/webp")  # of a body that is a photograph
MOST_CANDIDATES = 20  # of a face

_NUMBER, _TEXT = {"type": "number"}, {"type": "string"}


def _list(items, count=None):
    return {"type": "array", "items": items, **({"minItems": count, "maxItems": count} if count else {})}


def _object(optional=(), **properties):
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def _or_null(schema):
    return {"anyOf": [schema, {"type": "null"}]}


_FACE = {
    "box": _list(_NUMBER, 4),
    "score": _NUMBER,
    "landmarks": _list(_list(_NUMBER, 2), 5),
    "crop": {"type": "string", "description": "with crops=1: the aligned crop, a data: URL of PNG"},
}
_SIDES = {"height": {"type": "integer"}, "width": {"type": "integer"}}
_THRESHOLD = _or_null(_object(angle=_NUMBER, cosine=_NUMBER, far=_NUMBER, source=_TEXT, set=_TEXT, date=_TEXT))
_CANDIDATE = _object(person=_TEXT, cosine=_NUMBER, angle=_NUMBER, photo=_TEXT)
_ANSWERS = {
    "/embed": (
        "Faces with embeddings of length 1, the largest first",
        ["photo"],
        _object(**_SIDES, faces=_list(_object(["crop"], **_FACE, embedding=_list(_NUMBER)))),
    ),
    "/compare": (
        "The largest faces of two photographs; `same` is null without a threshold",
        ["a", "b"],
        _object(
            cosine=_NUMBER,
            angle=_NUMBER,
            same=_or_null({"type": "boolean"}),
            threshold=_THRESHOLD,
            a=_object(**_SIDES, faces=_list(_object(["crop"], **_FACE))),
            b=_object(**_SIDES, faces=_list(_object(["crop"], **_FACE))),
        ),
    ),
    "/identify": (
        "Who the faces are; `person` is null for unknown people, and without a threshold",
        ["photo"],
        _object(
            **_SIDES,
            faces=_list(_object(["crop"], **_FACE, person=_or_null(_TEXT), candidates=_list(_CANDIDATE))),
            threshold=_THRESHOLD,
        ),
    ),
}
_STATUS = {
    403: "another host's name, or a page of another site",
    404: "no such path, or no gallery",
    413: "too many bytes or pixels",
    415: "another type of body, or no JPEG, PNG or WebP",
    422: "a photograph is missing, damaged, animated or without a face",
    503: "too many requests at once; Retry-After says when to try again",
}


def openapi(limits: Limits) -> dict:
    """The description of the service, OpenAPI 3.1."""
    flags = [
        {"name": name, "in": "query", "schema": {"enum": ["0", "1"]}, "description": text}
        for name, text in (("aligned", "the images are aligned crops"), ("crops", "give the aligned crops too"))
    ]
    error = {"content": {"application/json": {"schema": _object(error=_TEXT)}}}
    paths = {}
    for path, (text, photos, answer) in _ANSWERS.items():
        file = {"type": "string", "format": "binary", "maxLength": limits.file_bytes}
        bodies = {"multipart/form-data": {"schema": _object(**dict.fromkeys(photos, file))}}
        if len(photos) == 1:
            bodies.update({kind: {"schema": file} for kind in KINDS})
        top = [{"name": "k", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": MOST_CANDIDATES}}]
        paths[path] = {
            "post": {
                "summary": text,
                "parameters": flags + (top if path == "/identify" else []),
                "requestBody": {"required": True, "content": bodies},
                "responses": {
                    "200": {"description": "OK", "content": {"application/json": {"schema": answer}}},
                    **{str(status): {"description": why, **error} for status, why in _STATUS.items()},
                },
            }
        }
    return {"openapi": "3.1.0", "info": {"title": "arcface-gluon", "version": "1"}, "paths": paths}
