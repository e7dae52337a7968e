/**
 * A generation of offsets. Offsets are unique within an epoch only; a new epoch begins whenever the
 * log cannot prove that an offset was never given away before (see core/log/FORMAT.md).
 *
 * Text form: `generation-16 lowercase hex digits`, for example `1-9f2c03d1a7b4e655`.
 */
export interface Epoch {
  /** 1, 2, 3, …: orders the epochs of one log. Integer below 2^53. */
  readonly generation: number
  /** 64 random bits. */
  readonly random: bigint
}

export function formatEpoch(epoch: Epoch): string {
  return `${epoch.generation}-${epoch.random.toString(16).padStart(16, '0')}`
}

/** @returns undefined when the text is no epoch. */
export function parseEpoch(text: string): Epoch | undefined {
  const match = /^([1-9]\d{0,15})-([0-9a-f]{16})$/.exec(text)
  if (!match) return undefined
  return { generation: Number(match[1]), random: BigInt(`0x${match[2]}`) }
}

/**
 * The `fl-id` of a reading: `agentId/epoch/offset`, or `agentId/epoch/offset/n` for the n-th event
 * of an alert frame. The same id is the same reading, always.
 */
export function formatEventId(
  agentId: string,
  epoch: string,
  offset: number,
  index?: number
): string {
  const id = `${agentId}/${epoch}/${offset}`
  return index === undefined ? id : `${id}/${index}`
}

export interface EventId {
  readonly agentId: string
  readonly epoch: string
  readonly offset: number
  readonly index?: number
}

/** @returns undefined when the text is no event id. */
export function parseEventId(text: string): EventId | undefined {
  const match =
    /^([A-Za-z0-9._-]{1,64})\/([1-9]\d{0,15}-[0-9a-f]{16})\/(\d{1,16})(?:\/(\d{1,9}))?$/.exec(text)
  if (!match) return undefined
  const [, agentId, epoch, offset, index] = match
  return {
    agentId,
    epoch,
    offset: Number(offset),
    ...(index === undefined ? {} : { index: Number(index) })
  }
}

/** What an agent may be called: the alphabet of Kafka's topic and group names. */
export const AGENT_ID_PATTERN = /^[A-Za-z0-9._-]{1,64}$/
