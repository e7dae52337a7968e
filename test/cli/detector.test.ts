import { expect, test } from 'vitest'
import { detectorCommand } from '../../cli/commands/detector.ts'

test('a central detector does not start where the agents own the series', async () => {
  const started = detectorCommand().parseAsync(['--kafka', '127.0.0.1:1'], { from: 'user' })
  await expect(started).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: expect.stringContaining('would tell every fault twice')
  })
})
