import { expect, test } from 'vitest'
import { Readable } from 'node:stream'
import { uploadOf } from './contract.ts'
import { promisedBytes } from './source.ts'

const chunked = (text: string) => () => Readable.from(text.split('').map((each) => Buffer.from(each)))

test.each([
  ['12345', {}, '12345', 'none', 'as promised'],
  ['', {}, '', 'none', 'nothing, as promised'],
  ['12345', { sha256: '0'.repeat(64) }, '1234', 'digest', 'others'],
  ['1234', {}, '123', 'digest', 'fewer'],
  ['123456', {}, '1234', 'digest', 'more'],
])('%j with %j passes on %j, then %s (%s)', async (came, change, passed, fault, _why) => {
  const upload = { ...uploadOf(came === '' ? '' : '12345'), open: chunked(came), ...change }
  let text = ''
  let failed = 'none'
  try {
    for await (const chunk of promisedBytes('t/a', upload)) text += Buffer.from(chunk).toString()
  } catch (error) {
    failed = (error as { fault: string }).fault
  }
  expect({ text, failed }).toEqual({ text: passed, failed: fault })
})
