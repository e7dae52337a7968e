import { createInterface, type Interface } from 'node:readline'
import { messageOf, OperationalError } from '../core/runtime/errors.ts'
import { checkInitText, type InitAnswers, initText } from './config-init.ts'

const KAFKA = 'Where is Kafka? HOST:PORT, several with commas'
const TOPICS = `What do your devices' topics look like? With {site}, {device} and {metric} in their places,
such as plants/{site}/pumps/{device}/{metric}`
const CLIENTS = `Who may connect?
  1  programs on this machine only
  2  devices in the network, each with user and password
  3  every device that reaches this machine`

/** Answer 2: written beside the data, by `fieldline passwd`. */
const USERS_FILE = 'fieldline-users'
const LISTEN_ALL = '0.0.0.0:1883'

/**
 * Asks three questions, each again until its answer can be used. Enter takes what is in brackets.
 *
 * @throws {OperationalError} USAGE when the input ends before that.
 */
export async function askThreeQuestions(
  input: NodeJS.ReadableStream,
  output: NodeJS.WritableStream
): Promise<InitAnswers> {
  const dialogue = new Dialogue(createInterface({ input, output, terminal: false }), output)
  try {
    const kafka = await dialogue.ask(KAFKA, 'localhost:9092', text => {
      checkInitText(initText({ kafka: text }))
      return { kafka: text }
    })
    const standard = 'telemetry/{site}/{device}/{metric}'
    const topics = await dialogue.ask(TOPICS, standard, text => {
      // The default route takes it, and messages of several metrics too.
      const match: InitAnswers = text === standard ? {} : { match: text }
      checkInitText(initText(match))
      return match
    })
    const clients = await dialogue.ask(CLIENTS, '1', clientsOf)
    return { ...kafka, ...topics, ...clients }
  } finally {
    dialogue.close()
  }
}

function clientsOf(text: string): InitAnswers {
  switch (text) {
    case '1':
      return {}
    case '2':
      return { listen: LISTEN_ALL, usersFile: USERS_FILE }
    case '3':
      return { listen: LISTEN_ALL, anonymous: 'always' }
    default:
      throw new OperationalError('USAGE', 'Expected 1, 2 or 3.')
  }
}

class Dialogue {
  readonly #lines: Interface
  readonly #output: NodeJS.WritableStream
  /** Typed ahead, or piped in. */
  readonly #typed: string[] = []
  #ended = false
  #wake: () => void = () => {}

  constructor(lines: Interface, output: NodeJS.WritableStream) {
    this.#lines = lines
    this.#output = output
    lines.on('line', line => {
      this.#typed.push(line)
      this.#wake()
    })
    lines.on('close', () => {
      this.#ended = true
      this.#wake()
    })
  }

  async ask<T>(question: string, usual: string, take: (text: string) => T): Promise<T> {
    this.#output.write(`${question}\n`)
    for (;;) {
      this.#output.write(`[${usual}] > `)
      const line = await this.#next()
      try {
        const answer = take(line.trim() === '' ? usual : line.trim())
        this.#output.write('\n')
        return answer
      } catch (error) {
        if (!(error instanceof OperationalError)) throw error
        this.#output.write(`${messageOf(error).replace('Nothing was written. ', '')}\n`)
      }
    }
  }

  close(): void {
    this.#lines.close()
  }

  async #next(): Promise<string> {
    while (this.#typed.length === 0) {
      if (this.#ended)
        throw new OperationalError('USAGE', 'Nothing was written: the answers ended.')
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
    return this.#typed.shift()!
  }
}
