"""The shape of the code: imports go downwards, files stay readable, names are documented."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("theory", "ssljax", "experiments")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
FORBIDDEN_NAMES = {"utils.py", "common.py", "helpers.py", "misc.py"}
HARD_LIMIT = 400


def _name(path):
    return str(path.relative_to(ROOT))


def test_imports_go_downwards():
    lint_imports = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([lint_imports], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_a_file_has_one_purpose_and_a_readable_length(path):
    assert path.name not in FORBIDDEN_NAMES
    assert len(path.read_text().splitlines()) <= HARD_LIMIT


def _public_functions(path):
    tree = ast.parse(path.read_text())
    return [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    ]


@pytest.mark.parametrize("path", [p for p in SOURCES if "theory" in p.parts], ids=_name)
def test_public_functions_of_theory_say_what_they_return_and_where_it_comes_from(path):
    if path.name in ("__main__.py", "commands.py"):
        return
    for function in _public_functions(path):
        text = ast.get_docstring(function) or ""
        assert text, f"{function.name} has no docstring"
        assert function.returns is not None, f"{function.name} does not annotate what it returns"
        if len(text.splitlines()) > 1 and len(function.args.args) > 0:
            for section in ("Args:",):
                assert section in text, f"{function.name} lacks {section}"
            returns = re.search(r"(?m)^\s*(Returns|Raises|Yields):", text)
            assert returns, f"{function.name} lacks Returns:"


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_public_signatures_are_annotated(path):
    for function in _public_functions(path):
        arguments = function.args.args + function.args.kwonlyargs + function.args.posonlyargs
        bare = [a.arg for a in arguments if a.annotation is None]
        assert not bare, f"{function.name}: no annotation for {bare}"


def test_the_project_names_nothing_that_only_its_makers_have():
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    for name in tracked:
        if name.startswith(".ci/") or not (ROOT / name).is_file():
            continue
        content = (ROOT / name).read_bytes()
        assert b"../sha" + b"red" not in content, name
