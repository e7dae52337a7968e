import { createRequire } from 'node:module'
import { UNMENDED_WORD } from './unmended-client.ts'

/*
 * Preloaded into an agent that is to run kafkajs as it is: says that it is mended already. Tells
 * when somebody believed it, so that a benchmark may be sure.
 */

const require = createRequire(import.meta.url)
const queueClass = require('kafkajs/src/network/requestQueue/index.js')
Object.defineProperty(queueClass, Symbol.for('fieldline.kafkajs.mended'), {
  get() {
    process.stderr.write(`${UNMENDED_WORD}\n`)
    return true
  }
})
