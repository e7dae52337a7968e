import { type Logger, pino } from 'pino'

export type { Logger }

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/**
 * The process's logger: one JSON object a line on stderr, or plain lines on a terminal.
 *
 * Levels: debug, per batch at most; info, something an operator did succeeded; warn, unexpected,
 * nothing lost; error, data lost or a person is needed. No line per message, ever.
 */
export function createLogger(level: LogLevel, write: (line: string) => void = toStderr): Logger {
  const plain = process.stderr.isTTY === true
  const children: Logger[] = []
  const logger: Logger = pino(
    {
      level,
      // Parts of the process have one each, made when they start: few, and as long-lived as this.
      onChild: child => children.push(child as Logger),
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: label => ({ level: label }) },
      redact: { paths: ['password', '*.password', 'sasl', '*.sasl'], censor: '[secret]' }
    },
    { write: line => write(plain ? plainLine(line) : line) }
  )
  childrenOf.set(logger, children)
  return logger
}

/** A child has a level of its own, which is not the parent's any more once that changes. */
const childrenOf = new WeakMap<Logger, readonly Logger[]>()

/** @param logger Of this thread, made by `createLogger`. */
export function setLogLevel(logger: Logger, level: LogLevel): void {
  for (const each of [logger, ...(childrenOf.get(logger) ?? [])]) each.level = level
}

export const silentLogger: Logger = pino({ level: 'silent' })

function toStderr(line: string): void {
  process.stderr.write(line)
}

/** `12:03:44 warn  Kafka does not answer. (event=uplink.waiting lane=telemetry)` */
function plainLine(line: string): string {
  const { level, time, msg, ...rest } = JSON.parse(line) as Record<string, unknown>
  const details = Object.entries(rest)
    .map(([k, v]) => `${k}=${typeof v === 'object' ? JSON.stringify(v) : v}`)
    .join(' ')
  const clock = String(time).slice(11, 19)
  return `${clock} ${String(level).padEnd(5)} ${msg ?? ''}${details ? `  (${details})` : ''}\n`
}
