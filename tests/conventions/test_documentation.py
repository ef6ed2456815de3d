"""What the documents say must be so: code compiles, commands exist, links lead somewhere."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import NamedTuple

from paidup.core.changes import KINDS
from tests.conventions.repository import ROOT, kept_files, named

DOCUMENTS = kept_files("*.md")

_BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL
)
_LINK = re.compile(r"\[[^\]]*\]\((?!\w+:|#)(?P<target>[^)#\s]+)(?:#[^)]*)?\)")
_MAKE = re.compile(r"\bmake ((?:[A-Z_]+=\S+ +)*)(?P<target>[a-z][a-z-]*)")


class Block(NamedTuple):
    """A fenced block of code."""

    file: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{named(self.file)}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    return [
        Block(file, text.count("\n", 0, found.start()) + 1, found["language"], _dedented(found))
        for file in DOCUMENTS
        for text in [file.read_text()]
        for found in _BLOCK.finditer(text)
        if found["language"] in languages
    ]


def _dedented(found: re.Match[str]) -> str:
    return re.sub(f"^{found['indent']}", "", found["text"], flags=re.MULTILINE)


def test_python_in_the_documents_compiles() -> None:
    for block in blocks("python", "py"):
        compile("\n" * block.line + block.text, named(block.file), "exec")


def test_toml_in_the_documents_parses() -> None:
    for block in blocks("toml"):
        assert tomllib.loads(block.text), str(block)


def test_the_documents_mention_only_make_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    unknown = [
        f"{named(file)}: make {found['target']}"
        for file in DOCUMENTS
        for code in _code_in(file.read_text())
        for found in _MAKE.finditer(code)
        if found["target"] not in targets
    ]
    assert unknown == []


def _code_in(text: str) -> list[str]:
    fenced = [found["text"] for found in _BLOCK.finditer(text)]
    return fenced + re.findall(r"`([^`\n]+)`", _BLOCK.sub("", text))


def test_links_between_documents_lead_to_files() -> None:
    broken = [
        f"{named(file)}: {found['target']}"
        for file in DOCUMENTS
        for found in _LINK.finditer(_BLOCK.sub("", file.read_text()))
        if not (file.parent / found["target"]).exists()
    ]
    assert broken == []


def test_every_change_stands_in_the_table_with_its_data() -> None:
    rows = re.findall(
        r"^\| `([a-z_.]+)` \| [^|]+ \| ([^|]+) \|$", (ROOT / "docs/2_handlers.md").read_text(), re.MULTILINE
    )
    assert {kind for kind, _ in rows} == KINDS
    for kind, fields in rows:
        assert set(re.findall(r"`(\w+)`", fields)) == _told(kind), kind


def _told(kind: str) -> set[str]:
    """The names of the data that the code gives a kind of change."""
    names: set[str] = set()
    for file in (ROOT / "src/paidup").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call):
                continue
            given = {each.arg: each.value for each in node.keywords}
            method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            if method in ("_add", "_add_invoice") and _is(node.args[0], kind):
                names |= {str(each) for each in given} | ({"currency"} if method == "_add_invoice" else set())
            elif isinstance(node.func, ast.Name) and node.func.id == "money" and _is(node.args[0], kind):
                names |= {str(each) for each in given} | {"amount", "currency", "reason", "status", "charge"}
            elif "kind" in given and _is(given["kind"], kind) and isinstance(data := given.get("data"), ast.Dict):
                names |= {str(each.value) for each in data.keys if isinstance(each, ast.Constant)}
    return names


def _is(node: ast.expr, kind: str) -> bool:
    return isinstance(node, ast.Constant) and node.value == kind
