"""How the page about a turn looks: light or dark as the reader's system is, one column on narrow screens."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root {
  color-scheme: light dark;
  --paper: #f6f5f1; --card: #ffffff; --frame: #d5d3cc; --ink: #1c1e24; --soft: #5c606a; --line: #7c8190;
  --ok: #1d6f42; --bad: #a3261b; --held: #8a5a00; --bar: #3b6ea8; --track: #e3e1da; --mine: #e8eef6;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15171b; --card: #1f2227; --frame: #3a3e46; --ink: #e9e9e6; --soft: #a5a9b2; --line: #8b909c;
    --ok: #6fcf97; --bad: #ff8a7d; --held: #e6b656; --bar: #79aae0; --track: #33373e; --mine: #232d3a;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 960px; margin: 0 auto; padding: 24px 16px 48px; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 32px 0 8px; }
h3 { font-size: 1rem; margin: 0; }
p { margin: 4px 0; }
.facts { color: var(--soft); font-size: .875rem; }
.card { background: var(--card); border: 1px solid var(--frame); border-radius: 10px; padding: 12px 16px; }
.mine { background: var(--mine); }
.said { white-space: pre-wrap; overflow-wrap: anywhere; }
.steps { list-style: none; margin: 0; padding: 0; display: grid; gap: 12px; }
.head { display: flex; flex-wrap: wrap; gap: 4px 12px; align-items: baseline; justify-content: space-between; }
.badge { border: 1px solid currentColor; border-radius: 99px; padding: 0 8px; font-size: .75rem; margin-left: 8px; }
.ok { color: var(--ok); } .error { color: var(--bad); } .rejected, .unsure { color: var(--held); }
.body { display: flex; flex-wrap: wrap; gap: 12px 24px; margin-top: 8px; }
.body > dl { flex: 1 1 300px; min-width: 0; }
.pictures { display: flex; flex-wrap: wrap; gap: 8px; align-items: flex-start; align-content: flex-start;
  margin-top: 4px; }
.arrow { color: var(--line); font-size: 1.5rem; align-self: center; }
figure { margin: 0; max-width: 100%; }
figcaption { font-size: .8125rem; color: var(--soft); max-width: 200px; overflow-wrap: anywhere; }
.shown { position: relative; display: inline-block; line-height: 0; max-width: 100%; }
.shown img { max-width: 100%; height: auto; border: 1px solid var(--frame); border-radius: 4px; }
.shown svg { position: absolute; inset: 0; width: 100%; height: 100%; }
.region { fill: none; stroke: #e0218a; stroke-width: 2; vector-effect: non-scaling-stroke; }
dl { margin: 0; display: grid; gap: 8px; align-content: start; }
dt { color: var(--soft); font-size: .8125rem; }
dd { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.chances { display: grid; grid-template-columns: max-content 1fr max-content; gap: 2px 8px; align-items: center;
  font-size: .875rem; white-space: normal; }
.chances svg { width: 100%; height: 8px; display: block; }
.track { fill: var(--track); } .fill { fill: var(--bar); }
.scroll { overflow-x: auto; }
pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .8125rem; }
@media (max-width: 600px) { .shown img, figcaption { max-width: 36vw; } }
.lineage .paper { fill: var(--paper); } .lineage .card { fill: var(--card); stroke: var(--frame); }
.lineage .frame { stroke: var(--frame); } .lineage .line { stroke: var(--line); } .lineage .arrow { fill: var(--line); }
.lineage .name, .lineage .ink { fill: var(--ink); } .lineage .soft { fill: var(--soft); }
"""
