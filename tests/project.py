"""Where the project's parts are, and how a test loads one of its plugins."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())

# By path, beside a run's PYTHONPATH: what its modules would send to a host's journal lands in journal.txt.
JOURNAL = {
    "systemd/__init__.py": "",
    "systemd/daemon.py": "def booted():\n    return True\n",
    "systemd/journal.py": """
import pathlib

def send(**fields):
    with (pathlib.Path(__file__).parent.parent / "journal.txt").open("a") as file:
        print(fields, file=file)

sendv = None
""",
}


def read_yaml(path: Path) -> Any:
    """Return what is in a YAML file, or nothing where there is no such file."""
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None


def entry_points(role: Path) -> dict[str, Any]:
    """Return the argument specifications of a role by its entry points."""
    specs: dict[str, Any] = read_yaml(role / "meta/argument_specs.yml")["argument_specs"]
    return specs


def load_plugin(path: str) -> ModuleType:
    """Import a module or filter plugin by its path in the project; Ansible's folders are no packages."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
