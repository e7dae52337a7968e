import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, expect, test } from 'vitest'
import { createLogger, silentLogger } from '../../../core/runtime/log.ts'
import { Supervisor } from '../../../core/runtime/sd-notify.ts'
import { temporaryDirectory } from '../../kit/temp-directory.ts'

/** systemd-notify and a Perl (Debian has both) stand in for systemd. */
const missing = ['systemd-notify', 'perl'].filter(
  program => spawnSync(program, ['--version']).error !== undefined
)
const supervised = test.skipIf(missing.length > 0)
if (missing.length > 0) process.stderr.write(`sd-notify: skipped, no ${missing.join(', ')}\n`)

/** Prints what arrives, an assignment a line. */
const RECEIVER = `
use Socket; $| = 1;
socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die $!;
bind($s, sockaddr_un($ARGV[0])) or die $!;
print "bound\\n";
while (defined recv($s, my $text, 4096, 0)) { print "$text\\n" if $text !~ /^BARRIER/ }
`

class Receiver {
  readonly socket = path.join(temporaryDirectory(), 'notify')
  readonly heard: string[] = []
  readonly #child: ChildProcess
  #waiting: { wanted: (heard: string[]) => boolean; done: () => void }[] = []

  constructor() {
    this.#child = spawn('perl', ['-e', RECEIVER, this.socket], { stdio: ['ignore', 'pipe', 2] })
    createInterface({ input: this.#child.stdout! }).on('line', line => {
      this.heard.push(line)
      this.#waiting = this.#waiting.filter(({ wanted, done }) => {
        if (!wanted(this.heard)) return true
        done()
        return false
      })
    })
  }

  until(wanted: (heard: string[]) => boolean): Promise<void> {
    if (wanted(this.heard)) return Promise.resolve()
    return new Promise(done => this.#waiting.push({ wanted, done }))
  }

  stop(): void {
    this.#child.kill('SIGKILL')
  }
}

const opened: { stop(): void }[] = []
afterEach(() => {
  for (const one of opened.splice(0)) one.stop()
})

async function openReceiver(): Promise<Receiver> {
  const receiver = new Receiver()
  opened.push(receiver)
  await receiver.until(heard => heard.includes('bound'))
  return receiver
}

function openSupervisor(env: Record<string, string>, logger = silentLogger): Supervisor {
  const supervisor = Supervisor.open({ env, pid: 77, logger })
  expect(supervisor).toBeDefined()
  opened.push({ stop: () => supervisor!.close() })
  return supervisor!
}

test('nobody is told anything where nobody supervises', () => {
  expect(Supervisor.open({ env: {}, logger: silentLogger })).toBeUndefined()
})

test.each([
  [{ WATCHDOG_USEC: '30000000' }, 10_000],
  [{ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '77' }, 10_000],
  [{ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '78' }, undefined],
  [{}, undefined],
  [{ WATCHDOG_USEC: 'never' }, undefined]
])('of the time that %o grants a third passes between two pings: %s ms', (env, intervalMs) => {
  expect(openSupervisor({ NOTIFY_SOCKET: '/nowhere', ...env }).pingIntervalMs).toBe(intervalMs)
})

supervised('systemd hears of readiness, of life and of the stop, in this order', async () => {
  const receiver = await openReceiver()
  const supervisor = openSupervisor({ NOTIFY_SOCKET: receiver.socket, WATCHDOG_USEC: '60000' })
  let backlog = 0
  supervisor.ready(
    () => true,
    () => `streaming,\n${backlog++} wait`
  )
  await receiver.until(heard => heard.filter(line => line === 'WATCHDOG=1').length >= 3)
  supervisor.stopping(1500)
  await receiver.until(heard => heard.includes('EXTEND_TIMEOUT_USEC=1500000'))
  const { heard } = receiver
  expect(heard.slice(0, 5)).toEqual([
    'bound',
    'READY=1',
    'STATUS=streaming, 0 wait',
    'WATCHDOG=1',
    'STATUS=streaming, 1 wait'
  ])
  expect(heard.lastIndexOf('READY=1')).toBe(1)
  expect(heard.indexOf('STOPPING=1')).toBeGreaterThan(heard.indexOf('WATCHDOG=1'))
})

supervised(
  'the watchdog starves while the process says that it is not alive, and is fed again',
  async () => {
    const receiver = await openReceiver()
    const supervisor = openSupervisor({ NOTIFY_SOCKET: receiver.socket, WATCHDOG_USEC: '30000' })
    let asked = 0
    await new Promise<void>(starved => {
      supervisor.ready(
        () => {
          if (++asked === 20) starved()
          return asked > 20
        },
        () => `asked ${asked}`
      )
    })
    expect(receiver.heard).not.toContain('WATCHDOG=1')
    await receiver.until(heard => heard.includes('WATCHDOG=1'))
    const first = receiver.heard.indexOf('WATCHDOG=1')
    expect(receiver.heard[first + 1]).toMatch(/^STATUS=asked 2[1-9]/)
  }
)

supervised(
  'systemd is told when a reload begins, by its own clock, and when it is over',
  async () => {
    const receiver = await openReceiver()
    const supervisor = openSupervisor({ NOTIFY_SOCKET: receiver.socket })
    const before = process.hrtime.bigint() / 1000n
    supervisor.reloading()
    supervisor.reloaded('streaming')
    await receiver.until(heard => heard.includes('STATUS=streaming'))
    const [, reloading, clock, ready] = receiver.heard
    expect([reloading, ready]).toEqual(['RELOADING=1', 'READY=1'])
    const at = BigInt(/^MONOTONIC_USEC=(\d+)$/.exec(clock)![1])
    expect(at >= before && at <= process.hrtime.bigint() / 1000n).toBe(true)
  }
)

supervised('a relay that was killed is replaced at the next ping', async () => {
  const receiver = await openReceiver()
  const supervisor = openSupervisor({ NOTIFY_SOCKET: receiver.socket, WATCHDOG_USEC: '60000' })
  supervisor.ready(
    () => true,
    () => ''
  )
  await receiver.until(heard => heard.includes('WATCHDOG=1'))
  const ours = spawnSync('ps', ['-o', 'pid=,args=', '--ppid', String(process.pid)], {
    encoding: 'utf8'
  })
  const relays = ours.stdout.split('\n').filter(line => line.includes('systemd-notify "$first"'))
  expect(relays.length).toBe(1)
  process.kill(Number.parseInt(relays[0], 10), 'SIGKILL')
  const pings = receiver.heard.filter(line => line === 'WATCHDOG=1').length
  await receiver.until(heard => heard.filter(line => line === 'WATCHDOG=1').length > pings + 2)
})

supervised('a supervisor that is gone costs one warning, not the process', async () => {
  const lines: string[] = []
  const logger = createLogger('warn', line => void lines.push(line))
  const socket = path.join(temporaryDirectory(), 'nobody')
  const supervisor = openSupervisor({ NOTIFY_SOCKET: socket, WATCHDOG_USEC: '30000' }, logger)
  let asked = 0
  await new Promise<void>(resolve => {
    supervisor.ready(
      () => {
        if (++asked === 30) resolve()
        return true
      },
      () => ''
    )
  })
  expect(lines.filter(line => line.includes('supervisor.unheard')).length).toBe(1)
})
