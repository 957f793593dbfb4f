// One trace from MAIL FROM to the row, as a collector gets it by OTLP.

import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { findLine } from './cluster.ts'
import { mailOf, Session } from './mail.ts'
import { eventually, ingestctlJson, startSystem, temporaryFolder } from './system.ts'

/** The part of OTLP's JSON (opentelemetry-proto trace.proto) that is looked at. */
interface OtlpSpan {
  traceId: string
  spanId: string
  parentSpanId?: string
  name: string
  startTimeUnixNano: string
  endTimeUnixNano: string
  links?: { traceId: string; spanId: string }[]
  status?: { code?: number }
}
interface Export {
  resourceSpans: { scopeSpans: { spans: OtlpSpan[] }[] }[]
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

/** A collector: what it was sent, by content type. */
async function collector() {
  const spans: OtlpSpan[] = []
  const types = new Set<string>()
  const server = createServer((request, response) => {
    void bodyOf(request).then((body) => {
      const type = request.headers['content-type'] ?? ''
      types.add(`${request.url} ${type}`)
      if (type === 'application/json') {
        const sent = JSON.parse(body.toString()) as Export
        spans.push(...sent.resourceSpans.flatMap((each) => each.scopeSpans.flatMap((scope) => scope.spans)))
      }
      response.writeHead(200, { 'content-type': type }).end(type === 'application/json' ? '{}' : '')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  return { spans, types, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

const otlp = (url: string) => ({
  OTEL_EXPORTER_OTLP_ENDPOINT: url,
  OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
  OTEL_BSP_SCHEDULE_DELAY: '100',
})

async function sendTo(port: number): Promise<{ entryId: string; traceId: string }> {
  const session = await Session.open(port)
  const reply = await session.send('ann@sender.example', ['orders+acme@mail.localhost'], mailOf('traced', 2000))
  session.close()
  const [, entryId = '', traceId = ''] = /id=(\S+) trace=(\S+)/.exec(reply) ?? []
  return { entryId, traceId }
}

const STEPS = [
  'smtp transaction',
  'commit',
  'put object',
  'put object',
  'publish',
  'index',
  'fetch',
  'parse',
  'db',
  'publish',
]

test('a mail is one trace, by the id of its 250, in the log and in its events', async () => {
  const { spans, url } = await collector()
  const system = await startSystem(temporaryFolder(), otlp(url))
  const { entryId, traceId } = await sendTo(system.smtpPort)
  const mine = await eventually(async () => {
    const found = spans.filter((span) => span.traceId === traceId)
    return found.length >= STEPS.length ? found : undefined
  })
  expect(mine.map(({ name }) => name).toSorted()).toEqual(expect.arrayContaining(STEPS.toSorted()))

  const byId = new Map(mine.map((span) => [span.spanId, span]))
  const root = mine.filter(({ parentSpanId }) => parentSpanId === undefined || parentSpanId === '')
  expect(root.map(({ name }) => name)).toEqual(['smtp transaction'])
  for (const { name, parentSpanId } of mine.filter((span) => !root.includes(span)))
    expect([name, byId.get(parentSpanId ?? '')?.name]).toEqual([
      name,
      expect.stringMatching(/^(smtp transaction|index)$/),
    ])
  const index = mine.find(({ name }) => name === 'index')
  expect(index?.links?.map(({ spanId }) => spanId)).toEqual([root[0]?.spanId])
  for (const { startTimeUnixNano, endTimeUnixNano } of mine)
    expect(BigInt(endTimeUnixNano) - BigInt(startTimeUnixNano)).toBeGreaterThanOrEqual(0n)

  const trace = await ingestctlJson<{ messages: { traceId: string }[]; events: { traceparent?: string }[] }>(
    system.dataDir,
    ['trace', entryId],
  )
  expect(JSON.stringify(trace)).toContain(traceId)
  expect(await system.stop()).toBe(0)
}, 60_000)

test('what the sampler leaves out is left out by every stage', async () => {
  const { spans, url } = await collector()
  const system = await startSystem(temporaryFolder(), { ...otlp(url), OTEL_TRACES_SAMPLER: 'parentbased_always_off' })
  const { entryId } = await sendTo(system.smtpPort)
  await eventually(async () => {
    const rows = await ingestctlJson<{ entryId: string; status: string }[]>(system.dataDir, ['messages', 'list'])
    return rows.some((row) => row.entryId === entryId && row.status === 'PARSED') || undefined
  })
  expect(await system.stop()).toBe(0)
  expect(spans).toEqual([])
}, 60_000)

test('protobuf is what it speaks unless it is told otherwise', async () => {
  const { types, url } = await collector()
  const system = await startSystem(temporaryFolder(), {
    OTEL_EXPORTER_OTLP_ENDPOINT: url,
    OTEL_BSP_SCHEDULE_DELAY: '100',
  })
  await sendTo(system.smtpPort)
  await eventually(async () => (types.has('/v1/traces application/x-protobuf') ? true : undefined))
}, 60_000)

test('a collector that is away holds up no mail and no stop, and is told in the log', async () => {
  const away = { ...otlp('http://127.0.0.1:1'), OTEL_EXPORTER_OTLP_TIMEOUT: '500', LOG_FILE: '-' }
  const system = await startSystem(temporaryFolder(), away)
  const { entryId } = await sendTo(system.smtpPort)
  expect(entryId).toMatch(/^[0-9a-f-]{36}$/)
  await eventually(async () => findLine(system.lines, 'spans could not be sent'))
  const began = Date.now()
  expect(await system.stop()).toBe(0)
  expect(Date.now() - began).toBeLessThan(10_000)
}, 60_000)
