import { Admission, type MessageRefusal } from '../../agent/ingest/broker/admission.ts'
import type { Branch } from '../../agent/routing/branches.ts'
import { Router } from '../../agent/routing/router.ts'
import type { EventId } from '../../core/contract/event-id.ts'
import { HEADERS } from '../../core/contract/headers.ts'
import { encodeStoredMessage } from '../../core/contract/stored-message.ts'
import type { FieldlineConfig } from '../config.ts'
import { payloadJson } from '../payload-text.ts'
import { nearestRoute } from './nearest-route.ts'

/** A message as it might be published. */
export interface TrialMessage {
  topic: string
  payload: Buffer
  clientId: string
  qos: 0 | 1 | 2
  retain: boolean
}

/** What would become of it. */
export interface Trial {
  topic: string
  payloadBytes: number
  /** The broker would not take it: no reading, no dead letter. */
  refused?: string
  branches: TrialBranch[]
  /** What keeps the nearest route from a message that none matches. */
  hint?: string
}

export type TrialBranch =
  | {
      outcome: 'delivered'
      route: string
      topic: string
      key: string
      timestampMs: number
      headers: Record<string, string>
      valueBytes: number
      value: { payload: string; payloadEncoding?: 'base64' }
      readings: { series: string; value: number; observedAt?: number }[]
      /** Delivered all the same, and never scored. */
      undecoded?: string
      /** Of readings like it only this share is kept; which, their ids decide. */
      share?: number
    }
  | {
      outcome: 'dead_letter'
      route: string | null
      topic: string
      key: string
      stage: string
      reason: string
      detail: string
      headers: Record<string, string>
    }
  | { outcome: 'dropped' | 'sampled_out'; route: string }

export interface TrialOptions {
  config: FieldlineConfig
  /** Decides what is sampled; without it all is kept, and the share is told. */
  id?: EventId
  /** Epoch ms. */
  now: number
}

const SOME_EPOCH = '1-0000000000000000'

/** Tries a message on the routes by the agent's own code, without any connection. */
export function tryMessage(message: TrialMessage, options: TrialOptions): Trial {
  const { config, id, now } = options
  const { topic, payload } = message
  const told = { topic, payloadBytes: payload.length }
  const refusal = new Admission(config.mqtt).refuses(topic, payload.length)
  if (refusal) return { ...told, refused: REFUSALS[refusal], branches: [] }
  const routes = config.routes.map(({ sample, ...route }) =>
    id && sample !== undefined ? { ...route, sample } : route
  )
  const router = new Router({
    agentId: id?.agentId ?? config.agent.id ?? 'AGENT',
    routes,
    deadLetterTopic: config.uplink.deadLetterTopic,
    alertTopic: config.uplink.alertTopic,
    statusTopic: config.uplink.statusTopic,
    pastMsMax: config.clock.pastMaxMs,
    futureMsMax: config.clock.futureMaxMs,
    replayedAfterMs: config.uplink.replayedAfterMs
  })
  const stored = encodeStoredMessage({
    ...message,
    ...{ dup: false, packetId: message.qos === 0 ? 0 : 1, upstream: false },
    ...{ receivedAt: now, monotonicMs: 0, bootId: 0n, clockUnsynced: false }
  })
  const record = { epoch: id?.epoch ?? SOME_EPOCH, offset: id?.offset ?? 0, payload: stored }
  const branches = router.branches(record, now)
  const unwanted = branches.some(({ kind, route }) => kind === 'dead_letter' && !route)
  const hint = unwanted ? nearestRoute(config.routes, message) : undefined
  const shareOf = (name: string) =>
    id ? undefined : config.routes.find(route => route.name === name)?.sample
  return {
    ...told,
    branches: branches.map(branch => branchOf(branch, shareOf)),
    ...(hint === undefined ? {} : { hint })
  }
}

/** Whether all of it reaches Kafka as itself, or stays away because a route says so. */
export function isFine({ refused, branches }: Trial): boolean {
  return refused === undefined && branches.every(({ outcome }) => outcome !== 'dead_letter')
}

function branchOf(branch: Branch, shareOf: (route: string) => number | undefined): TrialBranch {
  if (branch.kind === 'dropped' || branch.kind === 'sampled_out') {
    return { outcome: branch.kind, route: branch.route.name }
  }
  const { topic, key, headers, value, timestampMs } = branch.record
  if (branch.kind === 'dead_letter') {
    const { reason, detail, route } = branch
    const stage = headers[HEADERS.stage]
    const told = { topic, key, stage, reason, detail, headers }
    return { outcome: 'dead_letter', route: route?.name ?? null, ...told }
  }
  const { decoded, route } = branch
  const share = shareOf(route.name)
  const payloads = decoded?.ok ? decoded.payloads : []
  return {
    outcome: 'delivered',
    route: route.name,
    ...{ topic, key, timestampMs, headers, valueBytes: value.length, value: payloadJson(value) },
    readings: payloads.flatMap(({ values, observedAt }) =>
      values.map(({ metric, value }) => ({
        ...{ series: `${key}/${metric}`, value },
        ...(observedAt === undefined ? {} : { observedAt })
      }))
    ),
    ...(decoded && !decoded.ok ? { undecoded: `${decoded.reason}: ${decoded.detail}` } : {}),
    ...(share === undefined ? {} : { share })
  }
}

const REFUSALS: Readonly<Record<MessageRefusal, string>> = {
  reserved_topic: "devices may not publish under 'alerts/', 'fieldline/' or '$…'",
  topic_too_long: 'the topic is longer than mqtt.topic_bytes_max',
  topic_too_deep: 'the topic has more levels than mqtt.topic_levels_max',
  topic_malformed: "a topic is not empty and holds no '+', '#' or U+0000",
  packet_too_large: 'the payload is larger than mqtt.packet_bytes_max'
}
