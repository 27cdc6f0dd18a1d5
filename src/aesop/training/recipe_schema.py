"""The JSON schema of recipe files, by which editors complete and check them."""

from __future__ import annotations

from typing import Any

from aesop.training.recipe import Recipe

#: A section whose `type` names a class of the user's own, whose keys nobody knows here.
_OWN = {"type": "object", "properties": {"type": {"type": "string", "pattern": ":"}}, "required": ["type"]}


def recipe_schema() -> dict[str, Any]:
    """Return the schema of a recipe file: a recipe any part of which may be inherited, and so left out or undone."""
    schema = _relaxed(Recipe.model_json_schema())
    names = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    schema["properties"]["inherits"] = {**names, "description": "recipes that this one changes, by name or file"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _relaxed(node: Any) -> Any:
    """Require nothing; where a section has one of several types, let the type be inherited, or the user's own."""
    if isinstance(node, list):
        return [_relaxed(each) for each in node]
    if not isinstance(node, dict):
        return node
    relaxed = {key: _relaxed(value) for key, value in node.items() if key not in ("required", "discriminator", "title")}
    if "properties" in node:  # whose keys are a recipe's
        relaxed["properties"] = {key: _relaxed(value) for key, value in node["properties"].items()}
    if "oneOf" in relaxed:
        relaxed["anyOf"] = [*relaxed.pop("oneOf"), _OWN]
    if "$ref" in relaxed:
        relaxed = {"anyOf": [{"$ref": relaxed.pop("$ref")}, {"type": "null"}], **relaxed}
    return relaxed
