import assert from 'node:assert/strict'

const SEQUENCE_DIGITS = 10
const VALUE_DIGITS = 5
const TIME_DIGITS = 13
const START = '{"seq":'
const MIDDLE = ',"value":'
const TIME = ',"ts":'
const PAD = ',"pad":"'
const END = '"}'

/**
 * A device's reading, JSON with its own counter, a value and its time, of the same length always:
 * numbers have spaces before them. Written in place, as the load must cost little.
 */
export class Payload {
  readonly bytes: Buffer

  constructor(length: number) {
    const numbers = [SEQUENCE_DIGITS, VALUE_DIGITS, TIME_DIGITS].map(digits => ' '.repeat(digits))
    const head = START + numbers[0] + MIDDLE + numbers[1] + TIME + numbers[2] + PAD
    assert(length >= head.length + END.length, `no reading fits into ${length} bytes`)
    this.bytes = Buffer.from(head.padEnd(length - END.length, 'x') + END)
  }

  /** @param at Epoch ms. */
  write(into: Buffer, position: number, sequence: number, at: number): void {
    this.bytes.copy(into, position)
    let number = position + START.length
    into.write(String(sequence).padStart(SEQUENCE_DIGITS), number, 'latin1')
    number += SEQUENCE_DIGITS + MIDDLE.length
    into.write(String((sequence % 100) / 10).padStart(VALUE_DIGITS), number, 'latin1')
    number += VALUE_DIGITS + TIME.length
    into.write(String(at).padStart(TIME_DIGITS), number, 'latin1')
  }
}

/** Of a device of a benchmark; the Kafka key of its records is `bench/NAME`. */
export function topicOf(device: string): string {
  return `telemetry/bench/${device}/temperature`
}

export function keyOf(device: string): string {
  return `bench/${device}`
}
