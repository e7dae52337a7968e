import { renderPath } from '../../core/runtime/config-findings.ts'
import type { CheckedConfig } from './checked-config.ts'
import type { Findings } from './finding.ts'
import {
  type ListenerPlace,
  type ListenerState,
  listenersIn,
  listenerText,
  lookAtListeners
} from './listeners.ts'

/** Whether the addresses are free, or in use by the agent that runs on this very directory. */
export async function checkListeners(checked: CheckedConfig, findings: Findings): Promise<void> {
  const { config } = checked
  if (!config) return
  const sections = (['mqtt', 'http'] as const).filter(section => checked.isSound(section))
  const places = sections.flatMap(section => listenersIn(config[section], [section]))
  const states = await lookAtListeners(places, config.agent.data)
  for (const [index, place] of places.entries()) tell(place, states[index], checked, findings)
}

function tell(
  place: ListenerPlace,
  state: ListenerState,
  checked: CheckedConfig,
  findings: Findings
): void {
  const text = listenerText(place)
  const where = checked.where(place.path)
  switch (state.kind) {
    case 'free':
      findings.add('listeners', 'ok', `${text}: free`)
      return
    case 'ours': {
      const process = state.pid === undefined ? '' : `, process ${state.pid}`
      findings.add('listeners', 'note', `${text}: in use by the running agent${process}`, { where })
      return
    }
    case 'same': {
      const what = `${text}: the same address as ${renderPath(state.as)}`
      findings.add('listeners', 'error', what, { where, todo: 'give them different ports' })
      return
    }
    case 'refused':
      findings.add('listeners', 'error', state.message, { where })
  }
}
