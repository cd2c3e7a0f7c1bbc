"""Jinja filters that hold variables against a role's argument specification, more strictly than Ansible does."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

# Ansible's own check turns a list into the text "['a', 'b']" and a text into a list of one; here neither passes.
TYPES: dict[str, tuple[str, Any]] = {
    "str": ("text", lambda value: isinstance(value, str)),
    "path": ("a path", lambda value: isinstance(value, str)),
    "int": (
        "a whole number",
        lambda value: (
            (isinstance(value, int) and not isinstance(value, bool))
            or (isinstance(value, str) and value.removeprefix("-").isdecimal())
        ),
    ),
    "bool": (
        "true or false",
        lambda value: (
            isinstance(value, bool) or (isinstance(value, str) and value.lower() in {"true", "false", "yes", "no"})
        ),
    ),
    "list": ("a list", lambda value: isinstance(value, list | tuple)),
    "dict": ("a mapping", lambda value: isinstance(value, Mapping)),
}


def type_problems(options: Mapping[str, Mapping[str, Any]], values: Mapping[str, Any]) -> list[str]:
    """Return one sentence for each value that its specification doesn't allow; values are not shown."""
    problems = []
    for name, value in values.items():
        option = options[name]
        noun, fits = TYPES[option["type"]]
        if not fits(value):
            problems.append(f"{name} must be {noun}, but it is {_kind(value)}.")
            continue
        elements = option.get("elements")
        if elements and not all(TYPES[elements][1](element) for element in value):
            problems.append(f"{name} must be a list in which each element is {TYPES[elements][0]}.")
            continue
        choices = option.get("choices")
        if choices and not set(value if elements else [value]) <= set(choices):
            problems.append(f"{name} must be {'made of' if elements else 'one of'} {', '.join(choices)}.")
    return problems


def unknown_names(names: Iterable[str], options: Mapping[str, Any]) -> list[str]:
    """Return one sentence for each variable that has the role's prefix and no specification: most often a typo."""
    problems = []
    for name in sorted(set(names) - set(options)):
        near = difflib.get_close_matches(name, list(options), n=1)
        hint = f"did you mean {near[0]}?" if near else f"the variables are {', '.join(sorted(options))}."
        problems.append(f"{name} is not a variable of this role; {hint}")
    return problems


def _kind(value: Any) -> str:
    if value is None:
        return "empty"
    for name in ("bool", "str", "int", "list", "dict"):
        if TYPES[name][1](value) and not (name == "bool" and isinstance(value, str)):
            return TYPES[name][0]
    return "a fraction" if isinstance(value, float) else "of another kind"


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"type_problems": type_problems, "unknown_names": unknown_names}
