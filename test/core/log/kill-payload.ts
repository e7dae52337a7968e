/** The one payload of an id, 20 to 2,019 bytes: whoever reads it knows what it must be. */
export function killPayload(id: number): Buffer {
  const bytes = 20 + ((Math.imul(id, 2_654_435_761) >>> 0) % 2000)
  return Buffer.alloc(bytes, `${id}.`)
}

/** @returns -1 where the bytes are not those of an id. */
export function idOf(payload: Uint8Array): number {
  const id = Number(Buffer.from(payload).toString('latin1', 0, 20).split('.')[0])
  return Number.isSafeInteger(id) && killPayload(id).equals(payload) ? id : -1
}
