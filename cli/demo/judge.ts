/** What a reader of the telemetry topic sees of one record, in the topic's order. */
export interface FoundReading {
  /** Kafka key: `site/device`; null when the record has none. */
  key: string | null
  /** The device's own counter, from 1; undefined when the value does not show one. */
  sequence: number | undefined
  /** `fl-id`, absent on records that are not an agent's. */
  id: string | undefined
  /** The device sent it with DUP: it had lost the acknowledgement. */
  dup: boolean
}

/** Highest sequence by key (`site/device`) up to which every reading was acknowledged. */
export type Ledger = Readonly<Record<string, number>>

export interface DeliveryVerdict {
  /** Readings that devices were told are safe. */
  acknowledged: number
  /** Of those, the ones that are in Kafka. */
  found: number
  lost: number
  /** First occurrences that come after a later reading of their device. */
  reordered: number
  /** One `fl-id` twice. */
  duplicates: number
  /** A reading once more under an `fl-id` of its own: the device sent it again. */
  resent: number
  /** Of those, the ones marked DUP; the others are what the fault `duplicates` doubled. */
  resentMarked: number
  /** All records of the fleet in the topic. */
  records: number
  /** Records without a sequence. */
  unreadable: number
  /** Up to five lost readings, `site/device#sequence`. */
  lostExamples: string[]
}

const EXAMPLES_MAX = 5

/**
 * Holds what is in Kafka against what devices were told. Records of keys that the ledger does not
 * know are left alone. Without `fl-id` a repeated sequence counts as a duplicate.
 */
export function judgeDelivery(ledger: Ledger, readings: Iterable<FoundReading>): DeliveryVerdict {
  const ids = new Set<string>()
  const devices = new Map<string, { sequences: Set<number>; highest: number }>()
  const verdict: DeliveryVerdict = {
    ...{ acknowledged: 0, found: 0, lost: 0, reordered: 0, duplicates: 0 },
    ...{ resent: 0, resentMarked: 0, records: 0, unreadable: 0, lostExamples: [] }
  }
  for (const { key, sequence, id, dup } of readings) {
    if (key === null || !Object.hasOwn(ledger, key)) continue
    verdict.records++
    const known = id !== undefined && ids.has(id)
    if (known) verdict.duplicates++
    else if (id !== undefined) ids.add(id)
    if (sequence === undefined) {
      verdict.unreadable++
      continue
    }
    const device = devices.get(key) ?? { sequences: new Set(), highest: 0 }
    devices.set(key, device)
    if (!device.sequences.has(sequence)) {
      device.sequences.add(sequence)
      if (sequence < device.highest) verdict.reordered++
      else device.highest = sequence
    } else if (id === undefined) {
      verdict.duplicates++
    } else if (!known) {
      verdict.resent++
      if (dup) verdict.resentMarked++
    }
  }
  for (const [key, through] of Object.entries(ledger)) {
    verdict.acknowledged += through
    const sequences = devices.get(key)?.sequences
    for (let sequence = 1; sequence <= through; sequence++) {
      if (sequences?.has(sequence)) verdict.found++
      else if (++verdict.lost <= EXAMPLES_MAX) verdict.lostExamples.push(`${key}#${sequence}`)
    }
  }
  return verdict
}

/** The sequence in a payload of the simulated fleet; undefined when there is none. */
export function sequenceOf(value: Uint8Array | null): number | undefined {
  try {
    const { seq } = JSON.parse(Buffer.from(value ?? []).toString('utf8')) as { seq?: unknown }
    return Number.isSafeInteger(seq) ? (seq as number) : undefined
  } catch {
    return undefined
  }
}
