import fs from 'node:fs'
import path from 'node:path'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import { expect, test } from 'vitest'
import type { AlertEvent } from '../../../core/contract/alert-event.ts'
import { silentLogger } from '../../../core/runtime/log.ts'
import { packageRoot } from '../../../core/runtime/package-root.ts'
import { Prng } from '../../../core/runtime/prng.ts'
import { Detector, type DetectorReading } from '../../../detector/detector.ts'
import { qualitySchema } from '../../../detector/quality/quality-config.ts'
import { detectorConfig, eventfulReadings, reading } from '../../detector/kit.ts'

/* The published schema is what subscribers program against: the engine's own events are held to it. */

interface Schema {
  properties?: Record<string, Schema>
  items?: Schema
  $ref?: string
  $defs?: Record<string, Schema>
  $id?: string
}

const SCHEMA = JSON.parse(
  fs.readFileSync(path.join(packageRoot(), 'core/contract/alert-v1.json'), 'utf8')
) as Schema

const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/

function validator(): ValidateFunction {
  const ajv = new Ajv2020({ allErrors: true, formats: { 'date-time': RFC_3339 } })
  return ajv.compile(SCHEMA)
}

/** Something of every kind: shifts, spikes, silence; a stuck value, one out of range, a leap, text. */
async function events(): Promise<AlertEvent[]> {
  const quality = qualitySchema.parse({
    learn: '1m',
    limits: [
      { metrics: ['level'], max: 100 },
      { metrics: ['flow'], rate_max: 5 }
    ]
  })
  const detector = new Detector(detectorConfig({ quality }), {
    source: '/fieldline/gateway-7',
    logger: silentLogger
  })
  const prng = new Prng(7)
  const eventful = eventfulReadings(7, 4000)
  const readings: DetectorReading[] = eventful.map((own, i) => {
    if (i % 6 !== 5) return own
    const level = i > 3000 && i < 3100 ? 400 : 50 + prng.normal()
    const flow = i > 3200 && i < 3300 ? 1000 * (i % 12) : 10 + 0.1 * prng.normal()
    const valve = i > 1500 ? 3 : 3 + prng.normal()
    const isText = i > 3400 && i < 3500
    const values = { ...(isText ? {} : { level }), flow, valve }
    return reading(own.offset, 'tank-1', own.at, values, {
      receivedAt: own.receivedAt,
      ...(isText ? { unusable: ['level'] } : {})
    })
  })
  const all: AlertEvent[] = []
  for (let at = 0; at < readings.length; at += 100) {
    for (const { events } of await detector.process(readings.slice(at, at + 100))) {
      all.push(...events)
    }
  }
  return all
}

/** Paths of fields that the schema does not name. */
function unnamed(value: unknown, schema: Schema, at = ''): string[] {
  const own = schema.$ref ? SCHEMA.$defs![schema.$ref.split('/').at(-1)!] : schema
  if (Array.isArray(value)) {
    return value.flatMap(item => unnamed(item, own.items ?? {}, `${at}[]`))
  }
  if (typeof value !== 'object' || value === null || !own.properties) return []
  return Object.entries(value).flatMap(([key, inner]) => {
    const known = own.properties?.[key]
    return known ? unnamed(inner, known, `${at}/${key}`) : [`${at}/${key}`]
  })
}

test('every event of the engine is valid by the published schema, which names all its fields', async () => {
  const isValid = validator()
  const all = await events()
  for (const event of all) {
    expect(isValid(event) ? [] : isValid.errors).toEqual([])
    expect(unnamed(event, SCHEMA)).toEqual([])
    expect(event.dataschema).toBe(SCHEMA.$id)
  }
  const kinds = new Set(all.map(({ data }) => data.kind))
  const states = new Set(all.map(({ data }) => data.state))
  expect([...states].sort()).toEqual(['cleared', 'raised', 'updated'])
  expect([...kinds].sort()).toEqual(['anomaly', 'data_quality', 'range', 'rate', 'silent', 'stuck'])
})

test('what lacks its id, has another kind or a score beyond 1 is not valid', async () => {
  const isValid = validator()
  const [event] = await events()
  expect(isValid(event)).toBe(true)
  const { id: _, ...nameless } = event
  expect(isValid(nameless)).toBe(false)
  expect(isValid({ ...event, data: { ...event.data, kind: 'odd' } })).toBe(false)
  expect(isValid({ ...event, data: { ...event.data, score: 1.5 } })).toBe(false)
  expect(isValid({ ...event, data: { ...event.data, at: 'yesterday' } })).toBe(false)
})
