import path from 'node:path'

/** Preloaded, keeps kafkajs in a process as it is. */
export const UNMENDED_FILE = path.join(import.meta.dirname, 'unmended.js')
/** What it says when it did. */
export const UNMENDED_WORD = 'kafkajs stays unmended'
