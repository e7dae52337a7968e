import { resolve } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import {
  defaultDataDir,
  type LocalKafkaStatus,
  localKafkaStatus,
  startLocalKafka,
  stopLocalKafka
} from '../local-kafka.ts'
import { LOCAL_HOST } from '../local-kafka-answer.ts'
import { Progress, whileWaiting } from '../progress.ts'

interface KafkaOptions {
  port: number
  data?: string
  json?: boolean
}

const EXAMPLES = `
Examples:
  $ fieldline kafka start
  $ fieldline kafka status --json
  $ fieldline kafka stop
`

function examplesOf(name: string): string {
  const lines = [
    'Examples:',
    `  $ fieldline kafka ${name}`,
    `  $ fieldline kafka ${name} --port 9192`
  ]
  return `\n${lines.join('\n')}\n`
}

/** `fieldline kafka start|stop|status`: a real Kafka of one node, for trying out and for tests. */
export function kafkaCommand(): Command {
  const kafka = new Command('kafka')
    .description('run a real Kafka of one node on this machine')
    .addHelpText('after', EXAMPLES)
  const add = (name: string, description: string, run: (options: KafkaOptions) => Promise<void>) =>
    kafka
      .command(name)
      .description(description)
      .option('--port <port>', 'port on 127.0.0.1', parsePort, 9092)
      .option('--data <dir>', 'data directory (default: one for each port, in the cache)')
      .option('--json', 'print one JSON object')
      .addHelpText('after', examplesOf(name))
      .action(run)
  add('start', 'start it, and return when it answers; fetches it by Maven the first time', start)
  add('stop', 'stop it; what it holds stays', stop)
  add('status', 'say whether it runs; exit code 0 if so, 1 if not', status)
  return kafka
}

async function start(options: KafkaOptions): Promise<void> {
  const abort = new AbortController()
  let signalled: NodeJS.Signals | undefined
  const onSignal = (signal: NodeJS.Signals): void => {
    signalled = signal
    abort.abort()
  }
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal)
  try {
    const progress = new Progress('Kafka starts; the first time its files are fetched')
    const kafka = await whileWaiting(progress, () =>
      startLocalKafka({ port: options.port, dataDir: dataDirOf(options), signal: abort.signal })
    )
    const { address, pid, dataDir: data, wasRunning } = kafka
    const line = `Kafka answers on ${address} (pid ${pid}, data ${data})`
    print(options, wasRunning ? `${line}; it was already running` : line, {
      ...(await kafka.status()),
      address,
      wasRunning
    })
  } catch (error) {
    if (!signalled) throw error
    // What was started has ended; now end as the signal asked, so that a shell sees it.
    process.stderr.write('Interrupted; Kafka was not started.\n')
    process.exitCode = signalled === 'SIGINT' ? 130 : 143
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal)
  }
}

async function stop(options: KafkaOptions): Promise<void> {
  const dataDir = dataDirOf(options)
  const stopped = await stopLocalKafka(dataDir)
  const line = stopped ? 'Kafka stopped' : 'No Kafka of ours is running'
  print(options, `${line} (data ${dataDir})`, { stopped, dataDir })
}

async function status(options: KafkaOptions): Promise<void> {
  const now = await localKafkaStatus(dataDirOf(options), options.port)
  print(options, statusLine(now), { ...now })
  if (now.state !== 'running') process.exitCode = 1
}

function statusLine({ state, port, pid, dataDir }: LocalKafkaStatus): string {
  const where = `${LOCAL_HOST}:${port} (pid ${pid}, data ${dataDir})`
  if (state === 'running') return `Kafka answers on ${where}`
  if (state === 'starting') return `Kafka runs but does not answer on ${where}`
  return `No Kafka of ours is running (data ${dataDir})`
}

function print({ json }: KafkaOptions, line: string, result: Record<string, unknown>): void {
  process.stdout.write(`${json ? JSON.stringify(result) : line}\n`)
}

function dataDirOf({ port, data }: KafkaOptions): string {
  return resolve(data ?? defaultDataDir(port))
}

function parsePort(text: string): number {
  const port = Number(text)
  if (!/^\d+$/.test(text) || port < 1 || port > 65_535) {
    throw new InvalidArgumentError('a port is a number from 1 to 65535')
  }
  return port
}
