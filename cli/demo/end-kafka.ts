import { stopLocalKafka } from '../local-kafka.ts'
import { removeContainer } from '../local-kafka-docker.ts'
import { readState } from '../local-kafka-state.ts'

/** Ends the data directory's broker at once, and leaves nothing of it but the directory. */
export async function endKafka(dataDir: string): Promise<void> {
  await stopLocalKafka(dataDir, 0)
  const broker = await readState(dataDir)
  if (broker?.engine === 'docker') await removeContainer(broker.container)
}
