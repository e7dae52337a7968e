import { LOOK } from '../look.ts'

export const STYLE = `${LOOK}[hidden] { display: none !important }
main { max-width: 1080px; margin: 0 auto; padding: 28px 28px 56px }
h1, h2, p { margin: 0 }
code, pre { font: 13.5px/1.6 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap }
.faint, .sub { color: var(--muted) } .sub { overflow-wrap: anywhere }
.top { display: flex; flex-wrap: wrap; gap: 0 16px; align-items: baseline; justify-content: space-between; font-size: 14px }
h1 { font-size: 15px; font-weight: 500; color: var(--muted); overflow-wrap: anywhere } .brand { font-weight: 680; color: var(--ink); letter-spacing: -.01em }
h2 { font-size: 19px; letter-spacing: -.01em; margin: 38px 0 12px } h2 small { font-size: 14px; font-weight: 400; color: var(--muted); letter-spacing: 0; margin-left: 6px; overflow-wrap: anywhere }
.card { background: var(--card); border: 1px solid var(--rule); border-radius: 12px; box-shadow: var(--shadow); padding: 18px 20px }
.none { color: var(--muted); margin-top: 24px }
:focus-visible { outline: 2px solid var(--value); outline-offset: 2px; border-radius: 6px }

.verdict { display: grid; grid-template-columns: auto 1fr; gap: 0 20px; align-items: center; margin: 26px 0 30px; min-height: 104px }
.headline { font-size: clamp(26px, 4.4vw, 42px); line-height: 1.15; letter-spacing: -.02em; font-weight: 680; text-wrap: balance; overflow-wrap: anywhere }
.verdict .sub { font-size: 16px; margin-top: 5px }
.todo { margin-top: 9px; padding: 8px 13px; border-radius: 9px; background: color-mix(in srgb, var(--light) 13%, var(--card)); overflow-wrap: anywhere; width: fit-content }
.verdict { --light: var(--info) } .verdict.ok { --light: var(--ok) } .verdict.warning { --light: var(--warning) } .verdict.critical { --light: var(--critical) } .verdict.lost { --light: var(--muted) }
.light { width: 64px; height: 64px; display: grid; place-items: center; border-radius: 20px; background: color-mix(in srgb, var(--light) 17%, var(--card)); align-self: start; margin-top: 2px; transition: background .4s }
.light::before { content: ''; width: 28px; height: 28px; background: var(--light); border-radius: 50% }
.ok .light::before { border-radius: 0; clip-path: polygon(0 55%, 14% 40%, 37% 63%, 86% 13%, 100% 27%, 37% 91%) }
.warning .light::before { border-radius: 0; clip-path: polygon(50% 0, 100% 50%, 50% 100%, 0 50%) }
.critical .light::before { border-radius: 0; clip-path: polygon(50% 3%, 100% 95%, 0 95%) }
.lost .light::before, .wait .light::before { background: none; border: 4px solid var(--light) }

.flow { display: grid; grid-template-columns: 1fr 56px 1fr 56px 1fr; align-items: center; gap: 0 6px }
.node { background: var(--card); border: 1px solid var(--rule); border-radius: 14px; box-shadow: var(--shadow); padding: 15px 18px; align-self: stretch; min-width: 0 }
.node h2 { font-size: 13.5px; font-weight: 600; color: var(--muted); margin: 0; letter-spacing: .01em }
.big { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; margin: 3px 0 4px } .big b { font-size: clamp(23px, 2.6vw, 30px); line-height: 1.2; font-weight: 650; letter-spacing: -.015em } .big span { color: var(--muted) }
.small { color: var(--muted); font-size: 13.5px; overflow-wrap: anywhere }
.line { display: block }
.gauge { height: 6px; border-radius: 3px; background: var(--grid); margin: 9px 0 5px; overflow: hidden } .gauge i { display: block; height: 100%; width: 100%; background: var(--value); transform-origin: left; transform: scaleX(0); border-radius: 3px; transition: transform .5s }
.gauge.high i { background: var(--warning) } .gauge.brim i { background: var(--critical) }
.pipe { width: 56px; height: 24px; fill: none; stroke: var(--muted); stroke-width: 2; stroke-linecap: round; stroke-linejoin: round; opacity: .5 }
.pipe .cut { display: none } .pipe path:first-child { stroke-dasharray: 1 7 }
.pipe.flows { stroke: var(--value); opacity: 1 } .pipe.flows path:first-child { animation: flow 1.2s linear infinite }
.pipe.broken { stroke: var(--critical); opacity: 1 } .pipe.broken .cut { display: block; stroke-width: 2.6 }
@keyframes flow { to { stroke-dashoffset: -16 } }
.facts { display: flex; flex-wrap: wrap; gap: 4px 20px; list-style: none; margin: 12px 2px 0; padding: 0; font-size: 13.5px; color: var(--muted) }
.facts li { display: flex; gap: 8px; align-items: baseline; overflow-wrap: anywhere; min-width: 0; color: var(--muted) } .facts .sign { width: 10px; height: 10px }
.facts .critical, .facts .warning { color: var(--ink); font-size: 14.5px; flex-basis: 100% } .facts .critical { font-weight: 600 } .facts .sign.critical { color: var(--critical); flex: none } .facts .sign.warning { color: var(--warning); flex: none } .facts .sign.info { color: var(--info) }
.stale > :not(.top, .verdict, footer) { opacity: .5; filter: saturate(.3) } .stale .pipe path { animation: none }

.begin { margin-top: 32px } .begin h2 { margin: 0 0 6px }
pre { background: var(--grid); border-radius: 9px; padding: 11px 14px; overflow-x: auto; margin: 8px 0 16px }

.sign { display: inline-block; width: 12px; height: 12px; background: currentColor; flex: none }
.critical { color: var(--critical) } .warning { color: var(--warning) } .info { color: var(--info) }
.sign.critical { clip-path: polygon(50% 0, 100% 94%, 0 94%) }
.sign.warning { clip-path: polygon(50% 0, 100% 50%, 50% 100%, 0 50%) }
.sign.info { border-radius: 50%; scale: .86 }
section.verdict { color: inherit }
.list { padding: 2px 0; max-height: 396px; overflow-y: auto }
.alert { display: grid; grid-template-columns: 15px minmax(0, 1fr) auto; gap: 0 12px; width: 100%; padding: 11px 20px; border: 0; border-top: 1px solid var(--rule); background: none; color: inherit; font: inherit; text-align: left; cursor: pointer }
.alert:first-child { border-top: 0 } .alert:hover, tr.row:hover td { background: color-mix(in srgb, var(--band) 9%, transparent) } .alert .sign { margin-top: 6px }
.alert .who { font-weight: 600; overflow-wrap: anywhere } .alert .who small { font-size: 1em; font-weight: 400; color: var(--muted) }
.alert .when { color: var(--muted); white-space: nowrap; font-size: 13.5px }
.alert .why { grid-column: 2 / -1; color: var(--muted); font-size: 14px; overflow-wrap: anywhere }
.alert .why b { font-weight: 500; color: var(--ink) }
.cleared { margin-top: 10px } summary { color: var(--muted); font-size: 14px; cursor: pointer; padding: 4px 2px; width: fit-content } .cleared .sign { opacity: .5 } .cleared .card { margin-top: 6px }

.chips { display: flex; flex-wrap: wrap; gap: 6px; max-height: 112px; overflow: auto }
.chips button { font: inherit; font-size: 13.5px; padding: 4px 11px; border-radius: 99px; border: 1px solid var(--rule); background: none; color: var(--muted); cursor: pointer; overflow-wrap: anywhere; text-align: left }
.chips button[aria-pressed=true] { background: var(--value); border-color: var(--value); color: var(--card); font-weight: 600 }
.readout { color: var(--muted); font-size: 13.5px; min-height: 21px; margin: 10px 0 6px; display: flex; flex-wrap: wrap; gap: 0 16px } .readout b { color: var(--ink); font-weight: 600 }
.plot { height: 250px; overflow: hidden; position: relative }
.uplot { font: inherit; width: 100% } .u-cursor-x { border-color: var(--muted) !important }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; color: var(--muted); font-size: 13.5px; margin: 10px 0 0; padding: 0; list-style: none }
.legend li { display: flex; align-items: center; gap: 7px }
.key { width: 22px; height: 12px; flex: none; border-radius: 2px }
.key.value { border-top: 2px solid var(--value); height: 0; border-radius: 0 } .key.band { background: var(--band); opacity: calc(var(--band-alpha) * 1.7) }
.key.open { background: var(--critical); opacity: .2 }

.bar { display: flex; flex-wrap: wrap; gap: 6px 16px; align-items: center; justify-content: space-between; margin: 38px 0 12px } .bar h2 { margin: 0 }
input { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--rule); border-radius: 9px; padding: 7px 12px; width: 240px; max-width: 100% }
.scroll { padding: 0 20px 8px; overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-size: 14px }
th { text-align: left; font-weight: 600; color: var(--muted); font-size: 13px; padding: 12px 14px 9px 0; white-space: nowrap }
td { padding: 8px 14px 8px 0; border-top: 1px solid var(--rule); vertical-align: top; overflow-wrap: anywhere } td:last-child, th:last-child { padding-right: 0 }
td button { font: inherit; font-weight: 600; color: inherit; border: 0; background: none; padding: 0; text-align: left; cursor: pointer; overflow-wrap: anywhere } td button small { font-size: 1em; font-weight: 400; color: var(--muted) }
.state { display: inline-flex; gap: 7px; align-items: center; white-space: nowrap } .state b { font-weight: 500; color: var(--ink) } .state.calm { color: var(--muted) }
.values span { white-space: nowrap; margin-right: 12px; display: inline-block; min-width: 122px; max-width: 100%; overflow: hidden; text-overflow: ellipsis; vertical-align: bottom } .values i { font-style: normal; color: var(--muted) }
.alert .who, td button { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 3; overflow: hidden }
.more { padding: 10px 0 4px; font-size: 13.5px }
footer { margin-top: 44px; color: var(--muted); font-size: 13.5px } footer { display: flex; flex-wrap: wrap; gap: 2px 14px }

.login { max-width: 420px; padding-top: 14vh } .login form { margin-top: 14px; display: grid; gap: 10px } .login input { width: 100% } .login label { font-weight: 600 }
.login button { font: inherit; font-weight: 600; padding: 9px; border: 0; border-radius: 9px; background: var(--value); color: var(--card); cursor: pointer } .login p { font-size: 14px } .refused { color: var(--critical-text) }
th:nth-child(1) { width: 25% } th:nth-child(2) { width: 10% } th:nth-child(3) { width: 16% } td .line + .line { color: var(--muted); font-size: 13px }

@media (max-width: 700px) {
  main { padding: 18px 14px 44px }
  .verdict { gap: 0 14px; margin: 18px 0 22px; min-height: 0 } .light { width: 48px; height: 48px; border-radius: 15px } .light::before { width: 22px; height: 22px }
  .flow { grid-template-columns: 1fr; justify-items: center; gap: 2px } .node { width: 100%; padding: 11px 14px } .pipe { rotate: 90deg; width: 34px; height: 34px; margin: -3px 0 }
  .card { padding: 14px; border-radius: 10px } .card.list { padding: 0 } .alert { padding: 11px 14px } .card.scroll { padding: 0 14px 4px }
  .plot { height: 220px } input[type=search] { width: 100% } h2 { margin-top: 30px }
  thead { display: none } tr.row { display: grid; grid-template-columns: 1fr auto; gap: 1px 12px; padding: 10px 0; border-top: 1px solid var(--rule) } tr.row:first-child { border-top: 0 }
  tr.row td { border: 0; padding: 0 } tr.row td:nth-child(2) { justify-self: end; order: 1 } tr.row td:nth-child(1) { order: 0 } tr.row td:nth-child(3) { order: 2; grid-column: 1 / -1; color: var(--muted) } tr.row td:nth-child(3)::before { content: 'heard ' }
  tr.row td:nth-child(3) .line { display: inline; font-size: 1em } tr.row td:nth-child(3) .line + .line::before { content: ', ' }
  tr.row.calm { grid-template-columns: 1fr auto auto } tr.row.calm td:nth-child(3) { grid-column: auto; order: 1 } tr.row.calm td:nth-child(2) { order: 2 }
  .values span { min-width: 0 } tr.row td.values { grid-column: 1 / -1; order: 3; justify-self: start } tr.row td.values:empty { display: none }
}
@media (prefers-reduced-motion: reduce) { * { animation: none !important; transition: none !important } }
@media (forced-colors: active) { .light::before, .sign, .gauge i, .key { forced-color-adjust: none } }
`
