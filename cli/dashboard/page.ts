import { escaped } from '../replay/report/html.ts'

/** The page; all that changes is put in by its script, as text. Nothing in it comes from elsewhere. */
export const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Fieldline</title>
<link rel="icon" href="icon.svg">
<link rel="stylesheet" href="uplot.css">
<link rel="stylesheet" href="dashboard.css">
<script src="uplot.js" defer></script>
<script src="dashboard.js" defer></script>
</head>
<body>
<main id="main">
<header class="top"><h1><span class="brand">Fieldline</span> <span id="agent"></span></h1><p class="faint" id="about"></p></header>

<section class="verdict wait" id="verdict" aria-label="State">
<i class="light" aria-hidden="true"></i>
<div><p class="headline" role="status"><span class="unseen" id="level"></span><span id="title">Connecting …</span></p><p class="sub" id="text">Waiting for the agent's first word.</p><p class="todo" id="todo" hidden></p></div>
</section>
<noscript><p class="card none">This page is drawn by its script. Without it: <a href="status">status</a> and <a href="metrics">metrics</a>.</p></noscript>

<section class="flow" aria-label="From MQTT to Kafka">
<div class="node" id="node-in"><h2>MQTT</h2><p class="big"><b id="in-rate">–</b> <span>readings/s</span></p><div class="small" id="in-more"></div></div>
<svg class="pipe" id="pipe-in" viewBox="0 0 56 24" aria-hidden="true"><path d="M2 12H46"/><path class="tip" d="M44 5l9 7-9 7"/></svg>
<div class="node" id="node-disk"><h2>Disk</h2><p class="big"><b id="disk-records">–</b> <span id="disk-word">waiting</span></p><p class="small" id="disk-more"></p>
<div class="gauge" id="gauge" aria-hidden="true"><i></i></div><p class="small" id="disk-use"></p></div>
<svg class="pipe" id="pipe-out" viewBox="0 0 56 24" aria-hidden="true"><path d="M2 12H46"/><path class="tip" d="M44 5l9 7-9 7"/><path class="cut" d="M18 3l12 18M30 3L18 21"/></svg>
<div class="node" id="node-out"><h2>Kafka</h2><p class="big"><b id="out-rate">–</b> <span>readings/s</span></p><div class="small" id="out-more"></div></div>
</section>
<ul class="facts" id="facts" aria-label="Beside that"></ul>

<section class="card begin" id="begin" hidden>
<h2>Send a first reading</h2>
<p class="sub">With any MQTT 3.1.1 client, QoS 1, to <code>telemetry/SITE/DEVICE</code>:</p>
<pre tabindex="0"><code id="begin-pub"></code></pre>
<p class="sub">No device at hand? A fleet of simulated ones, with faults:</p>
<pre tabindex="0"><code id="begin-sim"></code></pre>
<p class="sub">This page shows what comes as it comes; there is nothing to reload.</p>
</section>

<section id="alerts" hidden>
<h2>Alerts <small id="alerts-count"></small></h2>
<div class="card list" id="alerts-list"></div>
<details class="cleared" id="cleared" hidden><summary></summary><div class="card list" id="cleared-list"></div></details>
</section>

<section id="chart" hidden>
<h2>Live <small id="chart-name"></small></h2>
<div class="card">
<div class="chips" id="metrics" role="group" aria-label="Metric"></div>
<div class="readout" id="readout"></div>
<div class="plot" id="plot" tabindex="0" role="img" aria-label="Chart"></div>
<ul class="legend">
<li><i class="key value"></i>value</li><li><i class="key band"></i>expected range</li>
<li><i class="sign critical"></i>surprising</li><li><i class="key open"></i>alert open</li>
</ul>
</div>
</section>

<section id="devices" hidden>
<div class="bar"><h2>Devices <small id="devices-count"></small></h2>
<input type="search" id="find" placeholder="Find a device" aria-label="Find a device" autocomplete="off" spellcheck="false" maxlength="200"></div>
<div class="card scroll"><table><thead><tr><th>Device</th><th>State</th><th>Last heard</th><th>Last values</th></tr></thead><tbody id="devices-rows"></tbody></table>
<p class="faint more" id="devices-more" hidden></p></div>
</section>

<p class="card none" id="undetected" hidden></p>
<footer><span id="foot"></span> <a href="status">status</a> <a href="metrics">metrics</a></footer>
</main>
</body>
</html>
`

/** Asks a browser for the token; needs no script. */
export function loginPage(refused: boolean): string {
  const note = refused
    ? 'This is not the token. It is <code>http.token</code> in the configuration.'
    : 'Whoever runs this agent has set one: <code>http.token</code> in the configuration.'
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escaped('Fieldline: token')}</title>
<link rel="icon" href="icon.svg">
<link rel="stylesheet" href="dashboard.css">
</head>
<body>
<main class="login">
<h1><span class="brand">Fieldline</span></h1>
<form class="card" method="post" action="login">
<input type="text" name="user" value="fieldline" autocomplete="username" hidden>
<label for="token">Access token</label>
<input type="password" id="token" name="token" required autofocus autocomplete="current-password" maxlength="2048">
<button>Open the dashboard</button>
<p class="${refused ? 'refused' : 'faint'}">${note}</p>
</form>
</main>
</body>
</html>
`
}

export const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#0a5e9c"/><path d="M5 19h6l3-9 5 14 3-8h5" fill="none" stroke="#fff" stroke-width="2.6" stroke-linejoin="round" stroke-linecap="round"/></svg>
`
