"""What the shape of the code promises its reader: short functions, nouns as names, comments that keep their word."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import pqfs

ROOT = Path(pqfs.__file__).parent
FILES = [path for path in sorted(ROOT.rglob("*.py")) if "bundled" not in path.parts]
LONGEST = 40
_NAMES = {path: str(path.relative_to(ROOT)) for path in FILES}


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _functions(path: Path) -> Iterator[tuple[str, int]]:
    """Name and length of each function, its docstring and what is nested in it left out."""
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, _lines(node) - _docstring(node) - sum(_lines(inner) for inner in _nested(node))


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _docstring(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    if ast.get_docstring(node) is None:
        return 0
    first = node.body[0]
    return (first.end_lineno or first.lineno) - first.lineno + 1


def _nested(node: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child
        else:
            yield from _nested(child)


def _comments(path: Path) -> Iterator[tuple[int, str]]:
    """Each block of whole-line comments as one text, with the line on which it begins."""
    begun, block, last = 0, list[str](), -1
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type != tokenize.COMMENT:
            continue
        text, line = token.string.lstrip("# "), token.start[0]
        label = re.match(r"(Crash here|Race|Source)\b", text)
        if line != last + 1 or label:
            if block:
                yield begun, " ".join(block)
            begun, block = line, []
        block.append(text)
        last = line
    if block:
        yield begun, " ".join(block)


@pytest.mark.parametrize("path", FILES, ids=_NAMES.get)
def test_no_function_is_longer_than_a_page(path: Path) -> None:
    long = [(name, length) for name, length in _functions(path) if length > LONGEST]

    assert long == []


def test_the_longest_function_is_named() -> None:
    """Not a rule but a mirror: raise the bar only with a reason."""
    length, where = max((length, f"{_NAMES[path]}: {name}") for path in FILES for name, length in _functions(path))

    assert length <= LONGEST, where
    lengths = sorted(length for path in FILES for _, length in _functions(path))
    assert lengths[len(lengths) // 2] <= 10
    assert lengths[len(lengths) * 9 // 10] <= 25


def test_no_module_is_named_for_what_it_is_not() -> None:
    empty_words = {"util", "utils", "helper", "helpers", "manager", "managers", "common", "misc", "base", "core"}

    assert [name for name in _NAMES.values() if set(re.split(r"[/._]", name)) & empty_words] == []


def test_no_class_is_named_for_what_it_is_not() -> None:
    empty = re.compile(r"(Manager|Helper|Utils?|Worker|Task|Message|Item|Repository|Adapter)$")
    names = [
        (_NAMES[path], node.name)
        for path in FILES
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.ClassDef) and empty.search(node.name)
    ]

    assert names == []


@pytest.mark.parametrize("path", FILES, ids=_NAMES.get)
def test_every_module_says_what_it_promises(path: Path) -> None:
    docstring = ast.get_docstring(_tree(path))

    assert docstring
    assert docstring.splitlines()[0].rstrip().endswith((".", ":", ";", "?")) or "\n" in docstring


@pytest.mark.parametrize("path", FILES, ids=_NAMES.get)
def test_a_comment_on_a_crash_says_what_is_left_and_who_sees_to_it(path: Path) -> None:
    crashes = [(line, text) for line, text in _comments(path) if text.startswith("Crash here")]

    for line, text in crashes:
        said = re.fullmatch(r"Crash here(?: \([^)]+\))?: (.+)", text)
        assert said, f"{path.name}:{line}: {text}"
        assert len(said[1].split()) >= 6, f"{path.name}:{line} says too little: {text}"


@pytest.mark.parametrize("path", FILES, ids=_NAMES.get)
def test_a_race_is_told_as_an_interleaving(path: Path) -> None:
    for line, text in _comments(path):
        if text.startswith("Race"):
            assert re.match(r"Race: \S+( \S+){7,}", text), f"{path.name}:{line}: {text}"


def test_the_protocols_say_where_they_may_be_killed() -> None:
    """A verb that moves files and commits has at least one such line; the crash tests enumerate the points."""
    crashes = [_NAMES[path] for path in FILES for _, text in _comments(path) if text.startswith("Crash here")]

    assert {"jobqueue.py", "sidecars.py", "recovery.py", "janitor.py", "runner.py"} <= set(crashes)
    assert crashes.count("jobqueue.py") >= 10


@pytest.mark.parametrize("path", FILES, ids=_NAMES.get)
def test_nobody_catches_everything_and_says_nothing(path: Path) -> None:
    """`except Exception` stands around handlers and at the top of loops, each with its reason on the line."""
    lines = path.read_text().splitlines()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.ExceptHandler) and _catches_everything(node):
            reraises = any(isinstance(inner, ast.Raise) and inner.exc is None for inner in ast.walk(node))
            assert reraises or "--" in lines[node.lineno - 1], f"{path.name}:{node.lineno} gives no reason"


def _catches_everything(node: ast.ExceptHandler) -> bool:
    caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    return any(
        each is None or (isinstance(each, ast.Name) and each.id in ("Exception", "BaseException")) for each in caught
    )


@pytest.mark.parametrize("path", FILES, ids=_NAMES.get)
def test_there_is_no_state_at_the_level_of_modules(path: Path) -> None:
    """Constants only: what is bound there is never bound again."""
    globals_used = [node for node in ast.walk(_tree(path)) if isinstance(node, ast.Global)]

    assert globals_used == []
