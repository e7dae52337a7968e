/**
 * Something of every device, found by site and name without making a text of the two. A few bytes
 * more than the map's own; names are kept once a site, and hold nothing of what they were cut from.
 */
export class ByDevice<T> {
  readonly #sites = new Map<string, { site: string; devices: Map<string, T> }>()

  get(site: string, device: string): T | undefined {
    return this.#sites.get(site)?.devices.get(device)
  }

  /** @returns The names as they are kept. */
  add(site: string, device: string, what: T): { site: string; device: string } {
    let known = this.#sites.get(site)
    if (!known) {
      known = { site: detached(site), devices: new Map() }
      this.#sites.set(known.site, known)
    }
    const kept = { site: known.site, device: detached(device) }
    known.devices.set(kept.device, what)
    return kept
  }

  /** Of a device that is there. */
  replace(site: string, device: string, what: T): void {
    this.#sites.get(site)?.devices.set(device, what)
  }

  delete(site: string, device: string): void {
    const known = this.#sites.get(site)
    known?.devices.delete(device)
    if (known?.devices.size === 0) this.#sites.delete(site)
  }

  clear(): void {
    this.#sites.clear()
  }
}

/** A copy: a text cut from a larger one keeps all of that in memory. */
export function detached(text: string): string {
  return text.isWellFormed() ? Buffer.from(text).toString() : `${JSON.parse(JSON.stringify(text))}`
}
