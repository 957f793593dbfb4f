import { createServer, type AddressInfo, type Server } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { setTimeout as sleep } from 'node:timers/promises'
import { clamdScanner, verdictOf } from './clamd.ts'

describe('answers to INSTREAM', () => {
  test.each([
    ['stream: OK', { verdict: 'clean' }],
    ['stream: Eicar-Test-Signature FOUND', { verdict: 'infected', signature: 'Eicar-Test-Signature' }],
    ['stream: a FOUND b FOUND', { verdict: 'infected', signature: 'a FOUND b' }],
    ['stream: x\u001b[31m FOUND', { verdict: 'infected', signature: 'x?[31m' }],
    [`stream: ${'x'.repeat(4000)} FOUND`, { verdict: 'infected', signature: 'x'.repeat(200) }],
    ['INSTREAM size limit exceeded. ERROR', { verdict: 'too_large' }],
  ])('%j', (answer, verdict) => {
    expect(verdictOf(answer)).toEqual(verdict)
  })

  test.each(['', 'stream: OK ERROR', 'stream: FOUND', "stream: Can't allocate memory ERROR", 'UNKNOWN COMMAND', 'OK'])(
    '%j is no verdict',
    (answer) => {
      expect(() => verdictOf(answer)).toThrow(expect.objectContaining({ name: 'ScannerError', fault: 'failed' }))
    },
  )
})

describe('a server that behaves as clamd never should', () => {
  let server: Server | undefined
  afterEach(() => new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve()))))

  const clock = {
    now: () => Date.now(),
    monotonic: () => performance.now(),
    sleep: (ms: number, signal?: AbortSignal) => sleep(ms, undefined, signal && { signal }),
  }

  async function scannerOf(says: string, ends: boolean) {
    const listening = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.once('data', () => (ends ? socket.end(says) : socket.write(says)))
      socket.resume()
    })
    server = listening
    await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve))
    const { port } = listening.address() as AddressInfo
    return clamdScanner({
      place: { host: '127.0.0.1', port },
      timeoutMs: 300,
      connectionsMax: 1,
      streamMaxBytes: 1e6,
      clock,
    })
  }

  async function* body() {
    yield Buffer.from('x')
  }

  test.each([
    ['half an answer, then the end', 'stream: O', true, 'unreachable'],
    ['half an answer, then nothing', 'stream: O', false, 'timeout'],
    ['an answer without an end', 'x'.repeat(10_000), false, 'unreachable'],
    ['nothing', '', true, 'unreachable'],
    ['something else', 'HTTP/1.1 400 Bad Request\r\n\0', true, 'failed'],
  ])('%s', async (_what, says, ends, fault) => {
    const scanner = await scannerOf(says, ends)
    await expect(scanner.scan(body())).rejects.toMatchObject({ name: 'ScannerError', fault })
  })
})
