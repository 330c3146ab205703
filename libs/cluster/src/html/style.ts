/** How a report looks: by day and by night, on paper, and without colours as dashes. */
export const STYLE = `
:root { color-scheme: light dark; --ink: #1d2329; --dim: #59636e; --paper: #fff; --panel: #f6f7f9; --rule: #d5dae0;
  --c0: #0b61a4; --c1: #c2410c; --c2: #15803d; --c3: #a21caf; --c4: #a16207; --c5: #475569; --bad: #b91c1c; --good: #15803d; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --dim: #a3adb8; --paper: #14181d; --panel: #1c2229; --rule: #38414b;
  --c0: #6cb6ff; --c1: #ff9b5e; --c2: #6ddf8f; --c3: #e59bff; --c4: #e9c46a; --c5: #b4c0cd; --bad: #ff8a80; --good: #6ddf8f; } }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .25rem; } h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; }
p { max-width: 46rem; } .dim { color: var(--dim); }
nav ul, .legend { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; margin: 1rem 0; font-size: .92rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--dim); padding-bottom: .4rem; }
th, td { padding: .3rem .75rem; border-bottom: 1px solid var(--rule); text-align: left; } td.number { text-align: right; }
thead th { border-bottom: 2px solid var(--rule); }
figure { margin: 1.25rem 0; padding: 1rem; background: var(--panel); border: 1px solid var(--rule); border-radius: 8px; }
figure > svg { width: 100%; height: auto; } svg text { fill: var(--dim); font-size: 12px; }
svg .small { font-size: 10px; }
.middle { text-anchor: middle; } .end { text-anchor: end; } .grid { stroke: var(--rule); } .axis { stroke: var(--dim); }
.legend { margin: .5rem 0 0; font-size: .9rem; } .legend svg { width: 24px; height: 10px; margin-right: .4rem; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; } .line.dashed { stroke-dasharray: 6 4; }
.area.dashed { fill-opacity: .45; stroke-width: 1.5; }
${[0, 1, 2, 3, 4, 5].map((i) => `.line.c${i}, .area.dashed.c${i} { stroke: var(--c${i}); } .area.c${i} { fill: var(--c${i}); }`).join('\n')}
.bad { color: var(--bad); font-weight: 600; } .good { color: var(--good); font-weight: 600; }
@media print { figure { break-inside: avoid; } }
`;
