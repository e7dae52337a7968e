import type { LogSummary, SegmentSummary } from '../../core/log/inspect.ts'
import type { FoundFile } from '../../core/log/log-files.ts'
import type { LogPlace } from './places.ts'
import { bytesText, count, durationText, table, timeText } from './text.ts'

/** Times are UTC. */
export function inspectText(
  { lane }: LogPlace,
  summary: LogSummary,
  owned: boolean,
  now: number
): string {
  const { directory, first, end, records, bytes, segments } = summary
  const number = (n: number) => n.toLocaleString('en-US')
  const facts: [string, string][] = [
    ['records', records > 0 ? `${number(records)}, offsets ${first} to ${end - 1}` : 'none'],
    ['on disk', `${bytesText(bytes)} in ${count(segments.length, 'segment')}`],
    ['in use', owned ? 'yes, by a running agent' : 'no'],
    ['checkpoint', checkpointText(summary, now)],
    ['quarantine', filesText(summary.quarantine)]
  ]
  if (summary.newer.length > 0) facts.push(['newer', filesText(summary.newer)])
  if (summary.foreign.length > 0) facts.push(['foreign', summary.foreign.join(', ')])
  const width = Math.max(...facts.map(([name]) => name.length))
  return [
    `${lane}  ${directory}`,
    ...facts.map(([name, text]) => `  ${name.padEnd(width)}  ${text}`),
    ...indented(segmentTable(segments)),
    ...indented(cursorTable(summary, now)),
    ...indented(fileTable(summary.quarantine))
  ].join('\n')
}

function indented(lines: string[]): string[] {
  return lines.length > 1 ? ['', ...lines.map(line => `  ${line}`)] : []
}

function checkpointText({ checkpoint }: LogSummary, now: number): string {
  if (checkpoint.state === 'absent') return 'none: readers begin at the oldest record'
  if (checkpoint.state === 'damaged') return 'DAMAGED: readers begin at the oldest record'
  const { state, savedAt, end, sync } = checkpoint
  const how = state === 'clean' ? 'clean (closed in order)' : 'unclean (open, or not closed)'
  return `${how}, saved ${durationText(now - savedAt)} ago, end ${end.offset}, sync ${sync}`
}

function filesText(files: readonly FoundFile[]): string {
  if (files.length === 0) return 'empty'
  return `${count(files.length, 'file')}, ${bytesText(files.reduce((sum, f) => sum + f.bytes, 0))}`
}

const SEGMENT_COLUMNS = [
  { title: 'FIRST', right: true },
  { title: 'END', right: true },
  { title: 'RECORDS', right: true },
  { title: 'SIZE', right: true },
  { title: 'CREATED' },
  { title: 'CHANGED' },
  { title: 'OLDEST RECEIVED' },
  { title: 'NEWEST RECEIVED' },
  { title: 'EPOCH' }
]

function segmentTable(segments: readonly SegmentSummary[]): string[] {
  return table(
    SEGMENT_COLUMNS,
    segments.map(segment => [
      String(segment.first),
      ...(segment.state === 'valid'
        ? [String(segment.end), segment.records.toLocaleString('en-US')]
        : ['-', '-']),
      bytesText(segment.bytes),
      timeText(segment.createdAt),
      timeText(segment.changedAt),
      timeText(segment.oldestAt),
      timeText(segment.newestAt),
      segment.epoch ?? `(${segment.state.replace('_', ' ')})`
    ])
  )
}

function cursorTable({ cursors }: LogSummary, now: number): string[] {
  return table(
    [
      { title: 'CURSOR' },
      { title: 'OFFSET', right: true },
      { title: 'LAG', right: true },
      { title: 'AGE', right: true },
      { title: 'EPOCH' }
    ],
    cursors.map(({ name, epoch, offset, lag, oldestAt }) => [
      name,
      String(offset),
      lag.toLocaleString('en-US'),
      lag > 0 && oldestAt !== undefined ? durationText(now - oldestAt) : '-',
      epoch
    ])
  )
}

function fileTable(files: readonly FoundFile[]): string[] {
  return table(
    [{ title: 'SET ASIDE' }, { title: 'SIZE', right: true }, { title: 'CHANGED' }],
    files.map(({ name, bytes, changedAt }) => [name, bytesText(bytes), timeText(changedAt)])
  )
}
