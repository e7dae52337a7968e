import type { AgentStatus, LaneStatus, Mode } from '../../../agent/status.ts'

export interface StatusWishes {
  mode?: Mode
  ready?: boolean
  stored?: number
  delivered?: number
  lane?: Partial<LaneStatus>
  bytes?: number
  parts?: Partial<AgentStatus>
}

/** An agent's status with as much in it as the dashboard looks at. */
export function someStatus(wishes: StatusWishes = {}): AgentStatus {
  const { mode = 'streaming', ready = true, stored = 0, delivered = 0, bytes = 0 } = wishes
  const lane = {
    ...{ state: 'streaming', backlogRecords: 0, backlogAgeMs: 0, sendingMs: 0, expectedMs: 0 },
    etaSeconds: 0,
    counters: { delivered, produced: delivered, producedBytes: 0, batches: 0, produceMs: 0 },
    log: { bytes, bytesMax: 1 << 30, epoch: '1-0', end: stored }
  }
  return {
    ...{ agentId: 'gateway-7', version: '1.2.3', mode, ready, uptimeMs: 60_000, clock: 'synced' },
    mqtt: { address: '127.0.0.1:1883', clients: 1, refused: {}, malformed: 0 },
    upstreams: [],
    intake: { stored: [0, stored, 0], storedBytes: stored * 100, droppedQos0: 0, refused: 0 },
    lanes: { telemetry: { ...lane, ...wishes.lane }, alerts: lane },
    drops: {},
    deadLetters: {},
    filtered: {},
    alertSinks: [],
    ...wishes.parts
  } as AgentStatus
}
