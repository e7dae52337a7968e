/**
 * What the dashboard and the replay's report have in common: light and dark by the reader's
 * preference. What matters is told by colour, shape and word, so that none is needed alone; the
 * colours are those of M. Okabe & K. Ito, Color Universal Design, 2008.
 */
export const LOOK = `
:root {
  color-scheme: light dark;
  --page: #f4f6f8; --card: #fff; --ink: #15202b; --muted: #5a6773; --rule: #e1e6eb; --grid: #edf0f3;
  --value: #0a5e9c; --band: #56b4e9; --band-alpha: .26; --score: #7b8894;
  --ok: #00805d; --critical: #d55e00; --warning: #e69f00; --info: #5f7f9e; --critical-text: #a84300; --label: #b0569a;
  --shadow: 0 1px 2px #0f1f2f14, 0 4px 16px #0f1f2f0d;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0d1216; --card: #161d23; --ink: #e6ebf0; --muted: #93a1ae; --rule: #28323b; --grid: #202930;
    --value: #7cc4f5; --band: #56b4e9; --band-alpha: .2; --score: #8796a4;
    --ok: #2fc197; --critical: #ff8a3c; --warning: #f2b632; --info: #8fb0cf; --critical-text: #ffa366; --label: #df8fc9;
    --shadow: none;
  }
}
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--ink); -webkit-text-size-adjust: 100%;
  font: 15px/1.5 system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif; font-variant-numeric: tabular-nums }
a { color: inherit }
`
