const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;'
}

/** Text for HTML, in elements and in quoted attributes: what a stranger wrote stays text. */
export function escaped(text: string): string {
  return text
    .toWellFormed()
    .replace(/[&<>"']/g, c => ENTITIES[c])
    .replace(/\p{Cc}/gu, '\uFFFD')
}

/** 0…1 → `12.5%`, for a style. */
export function percent(share: number): string {
  return `${Number((100 * Math.min(1, Math.max(0, share))).toFixed(2))}%`
}

/** A name that may break where its parts meet, rather than anywhere. */
export function breakable(name: string): string {
  return escaped(name).replace(/[_./-](?=.)/g, '$&<wbr>')
}
