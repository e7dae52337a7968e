import { EventEmitter } from 'node:events'
import { expect, test } from 'vitest'
import { watchFleet } from '../../../cli/fleet/watch.ts'
import { NO_PAINT } from '../../../cli/terminal/text.ts'
import { encodeAgentWord } from '../../../core/contract/agent-status.ts'
import { AgentTable } from '../../../core/contract/agent-table.ts'
import { wordFor } from '../../kit/agent-word.ts'

class Input extends EventEmitter {
  readonly isTTY = true
  setRawMode(): this {
    return this
  }
  pause(): this {
    return this
  }
  resume(): this {
    return this
  }
}

class Output extends EventEmitter {
  readonly columns = 90
  readonly rows = 6
  readonly pictures: string[] = []
  write(text: string): boolean {
    if (text.includes('agent')) this.pictures.push(text)
    return true
  }
}

test('the fleet is drawn again and again, says when Kafka is away, cuts what is well, and q ends it', async () => {
  const [input, output, table] = [new Input(), new Output(), new AgentTable()]
  for (const id of ['a', 'b', 'c', 'd', 'e', 'f']) {
    const word = wordFor(id, id === 'f' ? { mode: 'parked' } : {})
    table.take({ key: Buffer.from(id), value: encodeAgentWord(word) }, Date.now())
  }
  let reads = 0
  const fleet = {
    table,
    read: async () => {
      if (++reads === 2) throw new Error('Kafka does not answer.')
      if (reads === 4) input.emit('data', Buffer.from('q'))
    }
  }
  const paint = NO_PAINT
  const watching = watchFleet({
    ...{ fleet, topic: 'fieldline.status', awayAfterMs: undefined, paint, drawMs: 1 },
    input: input as never,
    output: output as never
  })
  await watching
  const lines = output.pictures[0].split('\r\n')
  expect(lines).toHaveLength(6)
  expect(lines[1]).toMatch(/^f +parked /)
  expect(lines[5]).toContain('6 agents: 1 parked, 5 streaming')
  const troubled = output.pictures.filter(text => text.includes('Kafka does not answer.'))
  expect(troubled).toHaveLength(1)
  expect(output.pictures.length).toBeGreaterThanOrEqual(4)
  expect(input.listenerCount('data')).toBe(0)
})
