"""Jinja filters: what is wrong with a fixture before any host is touched; names that may be printed."""

from __future__ import annotations

import ast
import difflib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


def fixture_problems(fixture: str, source: str, python_path: Iterable[str] = ()) -> list[str]:
    """Return one sentence for each thing that would keep the fixture from working in the project.

    Task names are looked up in the source as text, without importing it: a name in a package of the source, or of
    one of its folders in `python_path`, must belong to a function with a task decorator. Names of other packages
    can't be known here; the loader on the host checks.
    """
    if not fixture:
        return []  # the app's own schedule stays
    path = Path(fixture)
    if not path.is_file():
        return [f"The fixture {fixture} does not exist; set periodic_tasks_fixture to a file on the controller."]
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        return [f"The fixture {fixture} is not JSON ({error}); write it with manage.py dumpdata --indent 2."]
    if not isinstance(rows, list) or not all(
        isinstance(row, dict) and isinstance(row.get("fields"), dict) and "model" in row for row in rows
    ):
        return [f"The fixture {fixture} is not a Django fixture: a list of objects with model and fields."]

    roots = list(dict.fromkeys([*(Path(source, one) for one in python_path), Path(source)]))
    known = {task for root in roots for task in registered_tasks(root)}
    problems = []
    for row in rows:
        fields = row["fields"]
        if row["model"] == "django_celery_beat.intervalschedule":
            every = fields.get("every")
            if not isinstance(every, int) or isinstance(every, bool) or every < 1:
                problems.append(f"An interval in {fixture} has every = {every!r}; set a whole number of 1 or more.")
        if row["model"] == "django_celery_beat.periodictask":
            problems += _task_problems(fields, roots, known, fixture)
    return problems


def _task_problems(fields: dict[str, Any], roots: list[Path], known: set[str], fixture: str) -> Iterator[str]:
    name = fields.get("task")
    if not isinstance(name, str) or not name:
        yield f"The periodic task {fields.get('name')!r} in {fixture} names no task."
        return
    package = name.split(".")[0]
    ours = any((root / package).is_dir() or (root / f"{package}.py").is_file() for root in roots)
    if ours and name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"its tasks are {', '.join(sorted(known)) or 'none'}."
        yield f"The fixture {fixture} names the task {name}, which the app in {roots[-1]} does not register; {hint}"


def registered_tasks(source: Path) -> Iterator[str]:
    """Yield the names under which functions of the source register as Celery tasks."""
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        if any(part.startswith(".") for part in parts):
            continue
        if parts[-1] == "__init__":
            parts = parts[:-1]
        try:
            text = path.read_text(encoding="utf-8")
            tree = ast.parse(text if "task" in text else "")  # every decorator below has it in its name
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for decorator in node.decorator_list:
                    if _is_task(decorator):
                        yield _explicit_name(decorator) or ".".join([*parts, node.name])


def _is_task(decorator: ast.expr) -> bool:
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    name = target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")
    return name in {"shared_task", "task", "periodic_task"}


def _explicit_name(decorator: ast.expr) -> str | None:
    for keyword in decorator.keywords if isinstance(decorator, ast.Call) else []:
        if keyword.arg == "name" and isinstance(keyword.value, ast.Constant):
            return str(keyword.value.value)
    return None


def printable(text: str) -> str:
    """Return the text with ? for each character that a terminal would obey instead of show."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"fixture_problems": fixture_problems, "printable": printable}
