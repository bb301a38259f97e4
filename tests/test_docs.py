"""The documentation is true: its Python runs, its commands work, its links lead somewhere."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))
NEEDS_MORE = (
    "MY_",
    "PARTITION",
    "--data-dir",
    "PATH",
    "FEATURES.npz",
    "quickstart",  # two minutes; `make demo` is the same
    "tfds.builder",  # a network
)


def _name(page):
    return page.stem


def _blocks(page):
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


@pytest.mark.parametrize("page", [page for page in PAGES if _blocks(page)], ids=_name)
def test_every_python_block_runs_or_says_why_not(page, capsys):
    names = {}
    for block in _blocks(page):
        first = block.splitlines()[0]
        if first.startswith("# not run: "):
            assert len(first) > len("# not run: ")
            compile(block, str(page), "exec")
        else:
            exec(compile(block, str(page), "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_to_pages_and_anchors_that_exist(page):
    for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", page.read_text()):
        if "://" in target:
            continue
        linked = page.parent / target if target else page
        assert linked.exists(), target
        if anchor:
            assert f'id="{anchor}"' in linked.read_text(), f"{target}#{anchor}"


_TERMS = {
    "view": "views?",
    # In evaluation or training mode a network is in one of two states, which is another word.
    "mode": "(?<!evaluation )(?<!training )modes?",
    "gram": "Grams?",
    "alignment": "alignments?",
    "null": "nulls?",
    "settled": "settled",
    "defect": "defects?",
    "gate": "gates?",
    "weight-spectrum": "weight spectr(um|a)",
    "layer-spectrum": "layer spectr(um|a)",
}
_NOT_PROSE = re.compile(
    r"(?ms)^```.*?^```|\$\$.*?\$\$|^(?: {4}|#|\|)[^\n]*$|!?\[[^\]]*\]\([^)]*\)"
    r"|`[^`\n]*`|\$[^$\n]*\$"
)


@pytest.mark.parametrize("page", [p for p in PAGES if p.stem not in ("glossary", "api")], ids=_name)
def test_a_term_of_the_glossary_is_linked_where_a_page_first_uses_it(page):
    text = page.read_text()
    for anchor, pattern in _TERMS.items():
        link = text.find(f"](glossary.md#{anchor})")
        before = _NOT_PROSE.sub("", text[: link if link >= 0 else None])
        used = re.search(rf"(?i)(?<!\[)(?<!\[\*)\b{pattern}\b(?!\*?$)", before)
        assert used is None, f"{used[0]!r} is used before a link to glossary.md#{anchor}"


def test_the_navigation_names_every_page():
    listed = re.findall(r": (\w+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(page.name for page in PAGES)


def _commands():
    for page in PAGES:
        for line in page.read_text().splitlines():
            if line.startswith("    python -m ") and not any(word in line for word in NEEDS_MORE):
                yield line.split(" #")[0].strip()


@pytest.mark.slow
def test_every_command_works_in_the_order_of_the_pages(tmp_path):
    commands = list(dict.fromkeys(_commands()))
    assert len(commands) >= 8
    # The runs that later commands read come first.
    commands.sort(key=lambda command: "--from" in command or "compare" in command)
    commands.sort(key=lambda command: " train " not in command or "--from" in command)
    _write_readers_files(tmp_path)
    for command in commands:
        words = shlex.split(command)
        result = subprocess.run(
            [sys.executable, *words[1:]], cwd=tmp_path, capture_output=True, text=True, timeout=600
        )
        assert result.returncode == 0, f"{command}\n{result.stderr[-2000:]}"


def _write_readers_files(folder):
    """Files that the pages suppose a reader to have, under the names they use."""
    covariance = np.diag([3.0, 2.0, 1.0])
    moments = {"covariance": covariance, "cross_covariance": 0.5 * covariance}
    np.savez(folder / "POLICY.npz", **moments)
    np.savez(folder / "DIRECTION.npz", direction=np.array([0.0, 0.0, 1.0]))


def test_the_page_of_statements_names_files_and_tests_that_exist():
    page = (ROOT / "docs" / "statements.md").read_text()
    modules = {path.stem for path in (ROOT / "theory").rglob("*.py")}
    tests = {path.stem for path in (ROOT / "tests" / "theory").rglob("test_*.py")}
    for name in re.findall(r"`([a-z_/]+)`", page.split("|---|---|---|---|")[1]):
        if name.startswith("test_"):
            assert name in tests, name
        elif "/" in name:
            assert (ROOT / "theory" / f"{name}.py").exists(), name
        else:
            assert name in modules, name
