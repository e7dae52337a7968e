import type { FalseAlerts, FleetRow } from './fleet.ts'

/** The table as a person reads it. */
export function fleetTable(
  rows: readonly FleetRow[],
  falseAlerts: FalseAlerts,
  { devices, seed, passed }: { devices: number; seed: number; passed: boolean }
): string {
  const lines = [
    ['fault', 'n', 'recall', 'wanted', 'delay (min, median)', 'by class of signal', ''],
    ...rows.map(row => [
      row.name,
      String(row.faults),
      row.recall.toFixed(3),
      row.recallMin === undefined ? '' : row.recallMin.toFixed(2),
      row.delayMedianMinutes?.toFixed(1) ?? '–',
      Object.entries(row.classes)
        .map(([name, { faults, recall }]) => `${name} ${recall.toFixed(2)} (${faults})`)
        .join(', '),
      row.recallMin !== undefined && row.recall < row.recallMin ? 'MISSED' : ''
    ])
  ]
  const widths = lines[0].map((_, i) => Math.max(...lines.map(line => line[i].length)))
  const table = lines.map(line => line.map((cell, i) => cell.padEnd(widths[i])).join('  '))
  const kinds = Object.entries(falseAlerts.byKind).map(([kind, n]) => `${kind} ${n}`)
  return [
    ...table.map(line => line.trimEnd()),
    `false alerts a device and week: ${falseAlerts.faultyWeek} (${kinds.join(', ')});` +
      ` while learning ${falseAlerts.firstWeek}, ${falseAlerts.secondWeek}`,
    `${devices} devices, seed ${seed}: ${passed ? 'passed' : 'NOT PASSED'}`,
    ''
  ].join('\n')
}
