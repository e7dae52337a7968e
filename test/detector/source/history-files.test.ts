import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { fileInputs } from '../../../detector/source/file-input.ts'
import { readHistory } from '../../../detector/source/history.ts'
import { temporaryDirectory } from '../../kit/temp-directory.ts'

test('a file is a device, named like it; two of one name are told apart by their directories', () => {
  const devices = fileInputs(['a/pump.3.csv', '/x/plant7/fan.csv', '/x/plant8/fan.csv', '-'])
  expect(devices.map(({ name, device }) => [name, device])).toEqual([
    ['a/pump.3.csv', 'pump.3'],
    ['/x/plant7/fan.csv', 'x-plant7-fan'],
    ['/x/plant8/fan.csv', 'x-plant8-fan'],
    ['standard input', 'stdin']
  ])
})

test('files are read as one history, and one that is not there is an error with its path', async () => {
  const directory = temporaryDirectory()
  const write = (name: string, text: string) => {
    const file = path.join(directory, name)
    fs.writeFileSync(file, text)
    return file
  }
  const files = [write('a.csv', 'time,t\n1,1\n3,3\n'), write('b.ndjson', '{"ts":2000000,"t":2}\n')]
  const values: number[] = []
  for await (const reading of readHistory(fileInputs(files))) values.push(reading.values[0].value)
  expect(values).toEqual([1, 3, 2])

  const missing = readHistory(fileInputs([path.join(directory, 'none.csv')]))
  await expect(missing.next()).rejects.toThrow(/Cannot read .*none\.csv: ENOENT/)
  const many = readHistory(fileInputs(Array.from({ length: 501 }, (_, i) => `${i}.csv`)))
  await expect(many.next()).rejects.toThrow(/501 files at once are too many/)
})
