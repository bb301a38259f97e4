"""How every page looks: the style sheet that reports and the index embed."""

STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1a; --soft: #5c5b57; --paper: #fdfdfb;
  --line: #dcdad2; --panel: #f4f3ee; --holds: #1a6d45; --fails: #a83a1d; --open: #7a6410; }
@media (prefers-color-scheme: dark) { :root { --ink: #e9e7e1; --soft: #a9a69d; --paper: #191917;
  --line: #3a3935; --panel: #232320; --holds: #6cc79a; --fails: #ef8a6b; --open: #d8bd5a; } }
body { margin: 0 auto; max-width: 56rem; padding: 2.5rem 1.25rem 5rem; background: var(--paper);
  color: var(--ink); font: 16px/1.6 system-ui, -apple-system, "Segoe UI", sans-serif; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.25rem; margin: 2.8rem 0 .6rem; }
p { max-width: 44rem; }
.lead { font-size: 1.08rem; }
.scope { border-left: 3px solid var(--soft); padding: .3rem 1rem; color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; line-height: 1.4; }
th, td { padding: .45rem .7rem .45rem 0; border-bottom: 1px solid var(--line); text-align: right;
  vertical-align: top; font-variant-numeric: tabular-nums; }
th { font-weight: 600; border-bottom-color: var(--soft); }
th:first-child, td:first-child { text-align: left; min-width: 17rem; }
td small { display: block; color: var(--soft); }
.holds, .fails, .inconclusive { font-weight: 650; white-space: nowrap; }
.holds { color: var(--holds); } .fails { color: var(--fails); }
.inconclusive { color: var(--open); }
figure { margin: 1.4rem 0 2rem; }
figure img { width: 100%; height: auto; background: #fff; border-radius: 4px; }
figcaption { color: var(--soft); font-size: .9rem; max-width: 46rem; margin-top: .4rem; }
details { margin-top: 2.5rem; } summary { cursor: pointer; font-weight: 600; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; font-size: .88rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
@media print { body { max-width: none; padding: 0; } figure { break-inside: avoid; } }
"""
