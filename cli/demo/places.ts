/** Names in the demo's directory, shared with its reaper. */
export const KAFKA_DIRECTORY = 'kafka'
export const AGENT_LOG = 'agent.log'
export const AGENT_IDENTITY = 'agent-process.json'
