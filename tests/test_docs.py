"""What the pages under docs/ say of the code: every function and test that they name is there."""

import ast
import re

from lib.paths import PROJECT
from lib.results import settings_page

NAMED = re.compile(r"`((?:lib|tests)/[\w/]+\.py)`: ((?:`[\w.]+`(?:, )?)+)")


def names_in(path):
    """Top-level names of a module, and Class.method."""
    found = set()
    for node in ast.parse((PROJECT / path).read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
            found |= {
                f"{node.name}.{part.name}" for part in getattr(node, "body", []) if isinstance(part, ast.FunctionDef)
            }
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


def test_every_equation_names_a_function_and_a_test_that_exist():
    text = (PROJECT / "docs" / "method.md").read_text()
    named = [(path, name) for path, names in NAMED.findall(text) for name in re.findall(r"`([\w.]+)`", names)]
    assert not [(path, name) for path, name in named if name not in names_in(path)]
    rows = [line for line in text.splitlines() if re.match(r"\| (?:Eqs?\.|Sec\.)", line)]
    assert all("`lib/" in row and "`tests/" in row for row in rows)
    equations = {
        int(n) for row in rows for n in re.findall(r"\d", row.split("|")[1].split(",")[0]) if "Eq" in row.split("|")[1]
    }
    assert equations == set(range(1, 9))


def test_the_page_of_settings_is_the_settings():
    page = settings_page.PAGE.read_text()
    assert page == settings_page.text(), "make it anew: .venv/bin/python -m lib.results.settings_page"
    assert "| `steps` | `8` | 0 < whole number |  |  | affine coupling steps (FastFlow, 3) |" in page
    assert not [line for line in page.splitlines() if line.startswith("| `") and line.endswith("|  |")]  # all explained


def test_every_message_of_the_page_is_one_of_the_programs():
    modules = [*(PROJECT / "lib").rglob("*.py"), *(PROJECT / "workflow").rglob("*.py")]
    said = re.sub(r'"\s*\n\s*f?"', "", "\n".join(path.read_text() for path in modules))
    page = (PROJECT / "docs" / "troubleshooting.md").read_text()
    messages = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    assert len(messages) > 15 and not [message for message in messages if message not in said]


def test_links_between_the_pages_lead_somewhere():
    pages = [PROJECT / "README.md", *(PROJECT / "docs").glob("*.md")]
    links = [(page, link) for page in pages for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())]
    assert links and not [(page.name, link) for page, link in links if not (page.parent / link).exists()]
