import { text } from './config-fields.ts'
import { rotatingSecret } from './secret-fields.ts'

/** Of every section `tls` of a connection that we open; `readTlsFiles` reads what they name. */
export const tlsFileFields = {
  ca: text()
    .optional()
    .describe("PEM file (or text) of the authorities to trust instead of the system's"),
  cert: text()
    .optional()
    .describe('PEM file (or text) of the client certificate, its chain with it'),
  key: rotatingSecret()
    .optional()
    .describe("PEM file (or text) of the client certificate's private key")
}
