import { expect, test } from 'vitest'
import { ByteBudget } from '../../../../agent/ingest/wire/byte-budget.ts'

/** Takes `bytes` in each of its turns, and queues again as often as it is told to. */
class Taker {
  readonly need: number
  readonly #budget: ByteBudget
  readonly #turns: string[]
  readonly #name: string
  #again: number

  constructor(budget: ByteBudget, turns: string[], name: string, need: number, again = 0) {
    this.need = need
    this.#budget = budget
    this.#turns = turns
    this.#name = name
    this.#again = again
  }

  go(): void {
    this.#turns.push(this.#name)
    this.#budget.take(this.need)
    if (this.#again-- > 0) this.#budget.wait(this)
  }
}

const settle = () => new Promise(setImmediate)

test('whoever queued first goes first, and nobody overtakes one that needs much', async () => {
  const budget = new ByteBudget(100)
  const turns: string[] = []
  budget.take(100)
  budget.wait(new Taker(budget, turns, 'large', 90))
  budget.wait(new Taker(budget, turns, 'small', 10))
  budget.give(50)
  await settle()
  expect([turns, budget.contended]).toEqual([[], true])
  budget.give(40)
  await settle()
  expect([turns, budget.used, budget.contended]).toEqual([['large'], 100, true])
  budget.give(90)
  await settle()
  expect([turns, budget.used, budget.contended]).toEqual([['large', 'small'], 20, false])
})

test('whoever wants another turn stands behind the others', async () => {
  const budget = new ByteBudget(100)
  const turns: string[] = []
  budget.take(100)
  for (const name of ['a', 'b', 'c']) budget.wait(new Taker(budget, turns, name, 10, 1))
  budget.give(100)
  for (let n = 0; n < 4; n++) await settle()
  expect(turns).toEqual(['a', 'b', 'c', 'a', 'b', 'c'])
})

test('what is larger than the budget goes when it is alone', async () => {
  const budget = new ByteBudget(100)
  const turns: string[] = []
  budget.take(1)
  budget.wait(new Taker(budget, turns, 'huge', 500))
  await settle()
  expect(turns).toEqual([])
  budget.give(1)
  await settle()
  expect(turns).toEqual(['huge'])
})

test('what waits to be sent lessens the room, and never closes it for one alone', async () => {
  const budget = new ByteBudget(100)
  const turns: string[] = []
  budget.setOutgoing(120)
  expect(budget.full).toBe(true)
  budget.wait(new Taker(budget, turns, 'a', 1))
  budget.wait(new Taker(budget, turns, 'b', 1))
  await settle()
  expect(turns).toEqual(['a'])
  budget.setOutgoing(0)
  await settle()
  expect(turns).toEqual(['a', 'b'])
})

test('one that has left is not called', async () => {
  const budget = new ByteBudget(100)
  const turns: string[] = []
  budget.take(100)
  const [gone, next] = [new Taker(budget, turns, 'gone', 60), new Taker(budget, turns, 'next', 10)]
  budget.wait(gone)
  budget.wait(next)
  budget.give(20)
  await settle()
  budget.leave(gone)
  await settle()
  expect(turns).toEqual(['next'])
})
