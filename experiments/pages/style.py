"""How every page looks, and the frame that makes it complete in one file."""

import base64
import html
from collections.abc import Iterable
from pathlib import Path

from experiments.pages.drawing import Drawn

STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1a; --soft: #5a5955; --paper: #fdfdfb;
  --line: #dcdad2; --good: #17623e; --bad: #a2361a; --mixed: #74600f; --link: #1c5aa0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e9e7e1; --soft: #aca9a0; --paper: #191917;
  --line: #3a3935; --good: #6cc79a; --bad: #ef8a6b; --mixed: #d8bd5a; --link: #8fbcef; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 70rem; padding: 2rem 1.1rem 4rem; background: var(--paper);
  color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif;
  hyphens: none; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .6rem; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .5rem; }
p, li { max-width: 46rem; }
a { color: var(--link); }
.lead p { font-size: 1.05rem; margin: .5rem 0; }
.soft, small, figcaption { color: var(--soft); }
small, figcaption { font-size: .86rem; }
.word { font-weight: 650; }
.reproduced { color: var(--good); } .contradicted { color: var(--bad); }
.partly, .open { color: var(--mixed); } .untested { color: var(--soft); }
table { border-collapse: collapse; width: 100%; font-size: .9rem; line-height: 1.4; }
td, th { border-top: 1px solid var(--line); padding: .5rem .7rem .5rem 0; text-align: left;
  vertical-align: top; font-variant-numeric: tabular-nums; }
th { font-weight: 600; border-top: 0; }
.claims td:first-child { width: 2rem; color: var(--soft); }
.claims td:nth-child(2) { width: 24%; } .claims td:nth-child(3) { width: 15%; }
.claims td:nth-child(4) { width: 24%; } .claims td:nth-child(5) { width: 26%; }
.thumbnail { width: 120px; height: auto; background: #fff; border-radius: 3px; display: block; }
.gray img { filter: grayscale(1); opacity: .55; }
figure { margin: 1.2rem 0 1.8rem; max-width: 40rem; }
figure img { width: 100%; height: auto; background: #fff; border-radius: 4px; }
figcaption { margin-top: .35rem; }
code { font-size: .88em; }
pre { white-space: pre-wrap; margin: .5rem 0; }
ul { padding-left: 1.2rem; }
@media (max-width: 44rem) {
  thead { display: none; }
  tr { display: block; border-top: 1px solid var(--line); padding: .6rem 0; }
  td, .claims td:nth-child(n) { display: block; border: 0; padding: .12rem 0; width: auto; }
  td:empty { display: none; }
  .claims td:first-child { float: left; padding-right: .5rem; }
}
@media print { body { max-width: none; padding: 0; } figure { break-inside: avoid; } }
"""


def write_page(title: str, parts: Iterable[str]) -> bytes:
    """Return a page that needs no other file.

    Args:
      title: Plain text.
      parts: HTML of the body, after the title.
    """
    lines = (
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        *parts,
        "</body></html>\n",
    )
    return "\n".join(lines).encode()


def escape(text: str) -> str:
    """Return text as HTML."""
    return html.escape(text, quote=False)


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph of plain text."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def heading(text: str) -> str:
    """Return a heading of a section."""
    return f"<h2>{escape(text)}</h2>"


def figure(drawn: Drawn) -> str:
    """Return a figure with its caption, embedded."""
    return (
        f'<figure><img src="{embed(drawn.path)}" alt="{html.escape(drawn.caption)}">'
        f"<figcaption>{escape(drawn.caption)}</figcaption></figure>"
    )


def embed(path: Path) -> str:
    """Return an image as a data URI."""
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def table(rows: Iterable[Iterable[str]], header: Iterable[str] = (), kind: str = "") -> str:
    """Return a table of HTML cells; on narrow screens each row becomes a block."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    top = f"<thead><tr>{head}</tr></thead>" if head else ""
    return f'<table class="{kind}">{top}<tbody>{body}</tbody></table>'


def word_class(word: str) -> str:
    """Return the class that colors a verdict's word."""
    return word if word in ("reproduced", "partly", "contradicted", "open") else "untested"
