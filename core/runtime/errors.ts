/**
 * Every operating error of Fieldline carries a code from this table; a programmer's error asserts.
 *
 * `exit` is the process's exit code when the error reaches the command line: 2 usage,
 * 78 configuration (EX_CONFIG of sysexits.h), 1 the rest.
 */
export const ERRORS = {
  USAGE: { exit: 2, retryable: false, summary: 'the command line cannot be understood' },
  CONFIG_INVALID: { exit: 78, retryable: false, summary: 'the configuration has mistakes' },
  CONFIG_UNREADABLE: { exit: 78, retryable: false, summary: 'the configuration cannot be read' },
  ADDRESS_IN_USE: { exit: 1, retryable: false, summary: 'another process listens on the address' },
  LISTEN_FAILED: { exit: 1, retryable: false, summary: 'a listener cannot be opened' },
  HOST_UNKNOWN: { exit: 1, retryable: true, summary: 'a host name does not resolve' },
  DIRECTORY_UNUSABLE: { exit: 1, retryable: false, summary: 'a directory cannot be written' },
  DIRECTORY_LOCKED: { exit: 1, retryable: false, summary: 'another process owns the directory' },
  LOG_FULL: { exit: 1, retryable: true, summary: 'the log reached its byte limit' },
  LOG_CLOSED: { exit: 1, retryable: false, summary: 'the log is closed' },
  DISK_FAILED: { exit: 1, retryable: false, summary: 'the disk refused a write or a sync' },
  SNAPSHOT_TOO_LARGE: { exit: 1, retryable: true, summary: 'learned state outgrew its disk' },
  KAFKA_UNREACHABLE: { exit: 1, retryable: true, summary: 'Kafka does not answer' },
  KAFKA_REFUSED: { exit: 1, retryable: true, summary: 'Kafka refused a request' },
  LOCAL_KAFKA_FAILED: { exit: 1, retryable: false, summary: 'the local Kafka did not start' },
  TOOL_MISSING: { exit: 1, retryable: false, summary: 'a program that is needed is not installed' },
  MODEL_UNUSABLE: { exit: 1, retryable: false, summary: 'an ONNX model cannot be used' },
  HISTORY_UNFIT: { exit: 1, retryable: false, summary: 'a history cannot be learned from' },
  STATUS_UNREADABLE: {
    exit: 1,
    retryable: true,
    summary: 'no status is to be had from an address'
  },
  INPUT_UNREADABLE: { exit: 1, retryable: false, summary: 'an input file cannot be read' }
} as const

export type ErrorCode = keyof typeof ERRORS

/**
 * An error that operation can bring about: what happened, where, and what to do is in the message.
 */
export class OperationalError extends Error {
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'OperationalError'
    this.code = code
  }

  get exitCode(): number {
    return ERRORS[this.code].exit
  }

  get retryable(): boolean {
    return ERRORS[this.code].retryable
  }
}

/** The system's error code (`ENOSPC`, `ECONNREFUSED`, …), where there is one. */
export function systemCode(error: unknown): string | undefined {
  const code = (error as NodeJS.ErrnoException | null | undefined)?.code
  return typeof code === 'string' ? code : undefined
}

/** One line for a person: never `[object Object]`, never a stack. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
