"""What the pages name is there: links, verbs, playbooks, variables."""

import re
from pathlib import Path

import pytest

from project import ROLES, ROOT, entry_points

PAGES = sorted(path for folder in (".", "docs", "roles/*") for path in ROOT.glob(f"{folder}/*.md"))
# Made by a run.
ABSENT = {"inventory/demo/credentials/admin_password.txt"}
VERBS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
VARIABLES = {name for role in ROLES for entry in entry_points(role).values() for name in entry["options"]}


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """Return those that GitHub gives to the page's headings."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_verbs_and_files_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert {verb for verb in re.findall(r"(?:`|\$ |; )make ([a-z-]+)", text) if verb not in VERBS} == set()
    names = re.findall(r"(?<![\w/.-])((?:docs|inventory|molecule|playbooks|roles)/[\w/.-]*\w)", text)
    assert {name for name in names if not (ROOT / name).exists()} <= ABSENT


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))], ids=page_id)
def test_variables_have_these_names(page: Path) -> None:
    roles = "|".join(role.name for role in ROLES)
    named = re.findall(rf"\b((?:{roles})_[a-z_]*[a-z])\b(?![_/…(]|\.\w)", page.read_text(encoding="utf-8"))
    assert {name for name in named if name not in VARIABLES} == set()


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_a_roles_page_has_the_entry_points_that_plays_use(role: Path) -> None:
    text = (role / "README.md").read_text(encoding="utf-8")
    rows = [row.split("|")[1] for row in re.findall(r"^\| `.*", text.partition("## Entry points")[2], re.MULTILINE)]
    told = set(re.findall(r"`(\w+)`", " ".join(rows))) - {"tasks_from"}
    plays = " ".join(path.read_text(encoding="utf-8") for path in ROOT.glob("playbooks/**/*.yml"))
    used = set(re.findall(rf"name: {role.name}\n\s+tasks_from: (\w+)", plays))
    assert used - told - {"facts", "packages", "refuse"} == set()
    assert {name for name in told if not (role / f"tasks/{name}.yml").exists()} <= {"apt_suites"}
