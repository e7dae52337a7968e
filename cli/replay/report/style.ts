import { LOOK } from '../../look.ts'

export const STYLE = `${LOOK}main { max-width: 1180px; margin: 0 auto; padding: 40px 28px 64px }
h1, h2, h3, p { margin: 0 }
h1 { font-size: 15px; font-weight: 600; color: var(--muted) }
.headline { font-size: clamp(26px, 4.2vw, 42px); line-height: 1.15; letter-spacing: -.02em; font-weight: 680; margin: 6px 0 10px; text-wrap: balance }
.sub { color: var(--muted); overflow-wrap: anywhere }
h2 { font-size: 19px; letter-spacing: -.01em; margin: 44px 0 4px }
h2 + .sub { margin-bottom: 14px; font-size: 14px }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(136px, 1fr)); gap: 12px; margin-top: 26px }
.tile, .card { background: var(--card); border: 1px solid var(--rule); border-radius: 12px; box-shadow: var(--shadow) }
.tile { padding: 14px 16px }
.tile b { display: block; font-size: clamp(20px, 2vw, 26px); white-space: nowrap; line-height: 1.2; font-weight: 650; letter-spacing: -.01em }
.tile span { color: var(--muted); font-size: 13.5px; display: flex; align-items: center; gap: 6px }
.card { padding: 18px 20px 14px; margin-top: 14px }
.none { padding: 26px 20px; color: var(--muted) }
.sign { display: inline-block; width: 12px; height: 12px; background: currentColor; flex: none }
.critical { color: var(--critical) } .warning { color: var(--warning) } .info { color: var(--info) }
.critical .sign, .sign.critical { clip-path: polygon(50% 0, 100% 94%, 0 94%) }
.warning .sign, .sign.warning { clip-path: polygon(50% 0, 100% 50%, 50% 100%, 0 50%) }
.info .sign, .sign.info { border-radius: 50% ; scale: .86 }
:focus-visible { outline: 2px solid var(--value); outline-offset: 2px; border-radius: 4px }

.heat { display: grid; grid-template-columns: minmax(80px, max-content) 1fr max-content; gap: 3px 12px; align-items: center; font-size: 13.5px }
.heat .name { max-width: 240px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; text-decoration: none }
.heat .name:hover { text-decoration: underline }
.heat .row { position: relative; height: 22px; background: var(--grid); border-radius: 4px; overflow: hidden }
.heat svg, .plot svg, .strip svg { position: absolute; inset: 0; width: 100%; height: 100%; display: block }
.heat .total { text-align: right; color: var(--muted); min-width: 2ch }
rect.critical { fill: var(--critical) } rect.warning { fill: var(--warning) } rect.info { fill: var(--info) }
.hatch { position: absolute; top: 0; bottom: 0; min-width: 3px; opacity: .42; border: 1px solid var(--label); border-width: 0 1px;
  background: repeating-linear-gradient(135deg, var(--label) 0 1.5px, transparent 1.5px 6px) }
.heat .ticks { position: relative; height: 18px }

.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; color: var(--muted); font-size: 13.5px; margin: 12px 0 0; padding: 0; list-style: none }
.legend li { display: flex; align-items: center; gap: 7px }
.key { width: 22px; height: 12px; position: relative; flex: none; border-radius: 2px; overflow: hidden }
.key.value { border-top: 2px solid var(--value); height: 0; border-radius: 0 }
.key.band { background: var(--band); opacity: calc(var(--band-alpha) * 1.7) }
.key.line { border-top: 2px dashed var(--critical); height: 0; border-radius: 0 }
.key.rest { background: var(--grid); border: 1px solid var(--rule) }

.chart { scroll-margin-top: 12px }
.chart header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 2px 14px }
.chart h3 { font-size: 16px; font-weight: 620; overflow-wrap: anywhere }
.chart h3 small { font-size: 1em; font-weight: 400; color: var(--muted) }
.chart .counts { display: flex; gap: 12px; font-size: 14px; font-weight: 600 }
.chart .counts span { display: inline-flex; align-items: center; gap: 5px }
.chart .counts i + b { color: var(--ink) }
.chart .meta { color: var(--muted); font-size: 13.5px; margin-left: auto }
.axes { position: relative; margin: 12px 0 0 54px }
.plot { position: relative; height: 190px; border-radius: 4px; touch-action: pan-y; cursor: crosshair }
.plot svg, .strip svg { overflow: hidden }
.strip { position: relative; height: 44px; margin-top: 6px; background: linear-gradient(var(--grid), var(--grid)); border-radius: 4px }
.learning { position: absolute; top: 0; bottom: 0; left: 0; background: var(--grid); border-radius: 4px 0 0 4px; color: var(--muted); font-size: 12px; overflow: hidden; white-space: nowrap }
.learning span { position: absolute; left: 6px; bottom: 3px }
.grid { position: absolute; left: 0; right: 0; border-top: 1px solid var(--grid) }
.grid span { position: absolute; right: 100%; margin-right: 8px; transform: translateY(-52%); color: var(--muted); font-size: 12px; white-space: nowrap }
path { fill: none; vector-effect: non-scaling-stroke; stroke-linejoin: round; stroke-linecap: round }
path.value { stroke: var(--value); stroke-width: 1.4 }
path.band { fill: var(--band); fill-opacity: var(--band-alpha) }
path.score, path.above { stroke-linecap: butt }
path.score { stroke: var(--score); stroke-width: 1.6 }
path.above { stroke: var(--critical) ; stroke-width: 1.6 }
rect.open { fill-opacity: .16 }
.threshold { position: absolute; left: 0; right: 0; border-top: 1.5px dashed var(--critical); opacity: .75 }
.side { position: absolute; right: 100%; margin-right: 8px; transform: translateY(-52%); color: var(--muted); font-size: 12px; white-space: nowrap }
.ticks { position: relative; height: 20px; font-size: 12px; color: var(--muted) }
.ticks span { position: absolute; top: 3px; transform: translateX(-50%); white-space: nowrap }
.ticks .strong { font-weight: 650; color: var(--ink) }
.ticks .first { transform: none } .ticks .last { transform: translateX(-100%) }
.hair { position: absolute; top: 0; bottom: -50px; width: 0; border-left: 1px solid var(--ink); opacity: .55; pointer-events: none; z-index: 2 }
.readout { margin: 4px 0 0 54px; color: var(--muted); font-size: 13px; min-height: 20px; display: flex; flex-wrap: wrap; gap: 0 16px }
.readout b { color: var(--ink); font-weight: 600 }
.faultname { position: absolute; top: 4px; padding: 0 5px; margin-left: 3px; font-size: 12px; line-height: 17px; color: var(--label); background: var(--card); border-radius: 4px; white-space: nowrap; opacity: .95; pointer-events: none }
.faultname.west { transform: translateX(-100%); margin-left: -3px }
.mark { position: absolute; width: 24px; height: 24px; margin: -12px 0 0 -12px; display: grid; place-items: center; z-index: 3; text-decoration: none; scroll-margin-top: 150px }
.mark .sign { width: 15px; height: 15px; filter: drop-shadow(0 0 0 var(--card)) }
.mark::before { content: ''; position: absolute; width: 19px; height: 19px; border-radius: 50%; background: var(--card); opacity: .85 }
.mark .sign { position: relative }
.mark:target::after, .mark:focus-visible::after { content: ''; position: absolute; inset: -3px; border: 2px solid currentColor; border-radius: 50% }
.mark:hover, .mark:focus, .mark:target { z-index: 5 }
.mark:focus-visible { outline: none }
.tip { position: absolute; bottom: 26px; left: 4px; width: max-content; max-width: min(340px, 74vw); padding: 9px 12px; border-radius: 9px; background: var(--ink); color: var(--page);
  font-size: 13px; line-height: 1.4; visibility: hidden; opacity: 0; transition: opacity .12s; pointer-events: none; box-shadow: 0 6px 24px #0004; overflow-wrap: anywhere }
.tip.east { left: auto; right: 4px }
.tip b { display: block; font-weight: 650 }
.mark:hover .tip, .mark:focus .tip, .mark:target:not(:has(~ .mark:hover)) .tip { visibility: visible; opacity: 1 }

table { border-collapse: collapse; width: 100%; font-size: 14px }
.scroll { overflow: auto; max-height: 440px; padding: 0 20px 10px; border-radius: 12px }
thead th { position: sticky; top: 0; background: var(--card); z-index: 1; box-shadow: inset 0 -1px var(--rule) }
tbody tr:first-child td { border-top: 0 }
th { text-align: left; font-weight: 600; color: var(--muted); font-size: 13px; padding: 10px 14px 8px 0; white-space: nowrap }
tbody tr { scroll-margin-top: 44px }
td { padding: 8px 14px 8px 0; border-top: 1px solid var(--rule); vertical-align: top }
td:last-child, th:last-child { padding-right: 0 }
.number { text-align: right; white-space: nowrap }
.nowrap { white-space: nowrap }
.what { min-width: 240px; overflow-wrap: anywhere }
.who { overflow-wrap: break-word; min-width: 140px; max-width: 280px }
td .severity { display: inline-flex; gap: 7px; align-items: center; white-space: nowrap }
td .severity b { color: var(--ink); font-weight: 500 }
tr:target td { background: color-mix(in srgb, var(--band) 18%, transparent) }
.faint { color: var(--muted) }
footer { margin-top: 48px; color: var(--muted); font-size: 13.5px; overflow-wrap: anywhere }
@media (max-width: 640px) {
  main { padding: 24px 14px 48px }
  .tiles { grid-template-columns: 1fr 1fr; gap: 8px }
  .tile { padding: 10px 12px } .tile b { font-size: 21px }
  .card { padding: 14px 12px 10px; border-radius: 10px }
  .axes { margin-left: 42px } .readout { margin-left: 0; min-height: 40px }
  .plot { height: 160px }
  .grid span, .side { font-size: 11px; margin-right: 5px }
  .ticks span:nth-child(even) { display: none }
  .chart .meta { margin-left: 0; width: 100% }
  .heat { grid-template-columns: minmax(60px, 96px) 1fr max-content; gap: 3px 8px; font-size: 12.5px }
  .scroll { padding: 0 12px 4px; max-height: 70vh }
  .alerts thead { display: none }
  .alerts tr { display: grid; grid-template-columns: 1fr auto; gap: 1px 12px; padding: 11px 0; border-top: 1px solid var(--rule) }
  .alerts tbody tr:first-child { border-top: 0 }
  .alerts td { border: 0; padding: 0; min-width: 0 } .alerts .what { grid-column: 1 / -1; order: 3 }
  .alerts td[data-name]::before { content: attr(data-name) ' '; color: var(--muted) }
  .alerts td:nth-child(2) { justify-self: end } .alerts .who { grid-column: 1 / -1; max-width: none; min-width: 0; font-weight: 600 }
  .alerts .number { text-align: left; order: 4 } .alerts .number + .number { justify-self: end }
  .alerts .verdict { order: 5; grid-column: 1 / -1 }
}
@media print { body { background: #fff } .card, .tile { break-inside: avoid; box-shadow: none } .tip, .hair { display: none } }
@media (prefers-reduced-motion: reduce) { .tip { transition: none } }
`
