import type { Agent } from '../agent/agent.ts'
import { registerAgentMetrics } from '../agent/metrics.ts'
import { Metrics } from '../core/runtime/metrics.ts'
import { registerProcessMetrics } from '../core/runtime/metrics-process.ts'
import { packageVersion } from '../core/runtime/package-root.ts'
import { registerDeviceMetrics } from './devices/device-metrics.ts'
import type { Devices } from './devices/open-devices.ts'
import type { EdgeDetection } from './edge/edge-detection.ts'
import { registerEdgeMetrics } from './edge/edge-metrics.ts'

/** Everything `/metrics` of an agent shows: deploy/METRICS.md. */
export function agentMetrics(
  agent: Agent,
  detection: EdgeDetection | undefined,
  devices: Pick<Devices, 'look'>,
  configHash: () => string
): Metrics {
  const metrics = new Metrics()
  registerAgentMetrics(metrics, agent)
  if (detection) registerEdgeMetrics(metrics, detection, agent.telemetryLog)
  registerDeviceMetrics(metrics, devices)
  const threads = () => ({ uplink: agent.uplinkThread, detector: detection })
  registerProcessMetrics(metrics, { version: packageVersion(), configHash, threads })
  return metrics
}
