"""Jinja filters that hold variables against a role's argument specification, more strictly than Ansible does."""

from __future__ import annotations

import re
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
            or (isinstance(value, str) and value.isascii() and value.removeprefix("-").isdecimal())
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


# Keys, known hosts, and a script as an argument. A password of a vault that was encrypted with its line break is none.
SEVERAL_LINES = {
    "backup_ssh_key",
    "backup_ssh_known_hosts",
    "django_app_oidc_published_keys",
    "django_app_oidc_signing_key",
    "monitoring_failure_command",
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
            continue
        texts = [text for text in (value if elements else [value]) if isinstance(text, str)]
        if name not in SEVERAL_LINES and any(re.search(r"[\n\r\0]", text) for text in texts):
            problems.append(f"{name} must be one line{' each' if elements else ''}, without a line break at its end.")
    return problems


def near_names(names: Iterable[str], options: Mapping[str, Any]) -> dict[str, str]:
    """Return the names that may be misspelt, each with the one that is meant; those of other roles are far from any."""
    near = {}
    for name in sorted(set(names) - set(options)):
        meant = min(options, key=lambda option: (_distance(name, option), option))
        words = {option: sorted(option.split("_")) for option in options}
        same_words = [option for option in options if words[option] == sorted(name.split("_"))]
        if same_words or _distance(name, meant) <= 2:
            near[name] = same_words[0] if same_words else meant
    return near


def misspelt_names(
    near: Mapping[str, str], options: Mapping[str, Mapping[str, Any]], values: Mapping[str, Any]
) -> list[str]:
    """Return one sentence for each name from near_names; a list, such as rabbitmq_users, is never meant for a text."""
    return [
        f"{name} is not a variable of this role; did you mean {meant}?"
        for name, meant in near.items()
        if options[meant]["type"] in {"list", "dict"} or not isinstance(values[name], list | tuple | Mapping)
    ]


def _distance(one: str, other: str) -> int:
    """Return how many letters must be changed, added, removed or swapped with the next to make one text the other."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        last, before, row = before, row, [i]
        for j, wanted in enumerate(other, 1):
            row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted)))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                row[j] = min(row[j], last[j - 2] + 1)
    return row[-1]


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
        return {"type_problems": type_problems, "near_names": near_names, "misspelt_names": misspelt_names}
