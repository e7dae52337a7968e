import { expect, test } from 'vitest'
import { InlineUplink } from '../../../agent/uplink/inline-uplink.ts'
import { plainView, withEarlier } from '../../../agent/uplink/lane-totals.ts'
import type { LaneView } from '../../../agent/uplink/lane-view.ts'
import type { OpenedLane } from '../../../agent/uplink/open-lane.ts'

function lane(times: number, changes: Partial<LaneView> = {}): LaneView {
  return {
    ...{ name: 'telemetry', state: { kind: 'streaming' }, oldestAt: undefined },
    ...{ sendingMs: 0, rate: 7 * times },
    counters: {
      ...{ delivered: 10 * times, produced: 11 * times, producedBytes: 100 * times },
      ...{ batches: 2 * times, produceMs: 5 * times }
    },
    produceTimes: { counts: [times, 0, times], sum: 3 * times },
    deadLetters: { no_route: times },
    filtered: { noisy: { dropped: times, sampledOut: 2 * times } },
    ...changes
  }
}

test('what a lane counts goes on where its former life ended; what it is now does not', () => {
  const now = lane(1, { oldestAt: 5 })
  expect(withEarlier(now, lane(10))).toEqual({
    ...now,
    counters: { delivered: 110, produced: 121, producedBytes: 1100, batches: 22, produceMs: 5 },
    produceTimes: { counts: [11, 0, 11], sum: 33 },
    deadLetters: { no_route: 11 },
    filtered: { noisy: { dropped: 11, sampledOut: 22 } }
  })
})

test('no count of a lane goes back while its thread is started again and again', () => {
  let seen = withEarlier(lane(3), undefined)
  for (let life = 0; life < 3; life++) {
    const earlier = seen
    const begun = withEarlier(lane(0), earlier)
    expect(begun.counters.produced).toBe(earlier.counters.produced)
    expect(begun.deadLetters).toEqual(earlier.deadLetters)
    seen = withEarlier(lane(2), earlier)
  }
  expect(seen.counters).toMatchObject({ delivered: 90, produced: 99, batches: 18 })
})

test('a reason that is new, or no longer seen, keeps its count; a route that is gone does not', () => {
  const now = lane(1, { deadLetters: { refused: 4 }, filtered: {} })
  const { deadLetters, filtered } = withEarlier(now, lane(2))
  expect(deadLetters).toEqual({ no_route: 2, refused: 4 })
  expect(filtered).toEqual({})
})

test('a view is plain data, also of a lane that has its values behind getters', () => {
  class Held {
    get name(): string {
      return 'telemetry'
    }
    get state(): LaneView['state'] {
      return { kind: 'streaming' }
    }
    get oldestAt(): undefined {
      return undefined
    }
    get produceTimes(): LaneView['produceTimes'] {
      return { counts: [1], sum: 2 }
    }
    readonly sendingMs = 1
    readonly rate = 2
    readonly counters = lane(1).counters
    readonly deadLetters = {}
  }
  const view = plainView(new Held())
  expect(structuredClone(view)).toEqual(view)
  expect(view).toMatchObject({ name: 'telemetry', state: { kind: 'streaming' } })
  expect(view.produceTimes).toEqual({ counts: [1], sum: 2 })
  expect(withEarlier(view, lane(1)).counters.produced).toBe(22)
})

test('counts go on when lanes that wait for a person are opened anew, for other routes', async () => {
  const parked: LaneView['state'] = { kind: 'parked', code: 'X', message: 'x', sinceAt: 0 }
  const lives = [lane(5, { state: parked }), lane(1)]
  const open = () => {
    const now = { ...lives.shift()!, start: async () => {}, stop: async () => {} }
    return [{ lane: now, useRoutes: () => {} }] as unknown as OpenedLane[]
  }
  const uplink = new InlineUplink(open, new Map(), null)
  expect(uplink.lanes[0].counters.produced).toBe(55)
  await uplink.useRoutes([])
  expect(uplink.lanes[0].counters.produced).toBe(66)
  expect(uplink.lanes[0].state).toEqual({ kind: 'streaming' })
})
