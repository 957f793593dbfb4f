// Which variables turn spans on, and which values are refused. Where the spans go is in test/traces.test.ts.

import { expect, test } from 'vitest'
import { UNTRACED, type Log } from '../ports/ports.ts'
import { openTraces, TracesError } from './traces.ts'

const log: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
const about = { service: 'smtpd', version: '1', log }
const ON = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' }
const PARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'

test.each([
  ['nothing is set', {}],
  ['the endpoint is empty', { OTEL_EXPORTER_OTLP_ENDPOINT: '' }],
  ['OTEL_SDK_DISABLED', { ...ON, OTEL_SDK_DISABLED: 'true' }],
  ['OTEL_TRACES_EXPORTER', { ...ON, OTEL_TRACES_EXPORTER: 'none' }],
])('there are no spans: %s', async (_why, environment) => {
  const { tracer } = await openTraces(environment, about)
  expect(tracer).toBe(UNTRACED)
  expect(tracer.root('smtp transaction', PARENT).traceparent).toBe(PARENT)
  expect(tracer.span('commit', PARENT).traceparent).toBe(PARENT)
})

test('a root has the ids that it is given, what is in it has the same trace and an id of its own', async () => {
  const { tracer, close } = await openTraces(ON, about)
  expect(tracer.root('smtp transaction', PARENT).traceparent).toBe(PARENT)
  const [, traceId, spanId, flags] = tracer.span('commit', PARENT).traceparent.split('-')
  expect([traceId, flags]).toEqual([PARENT.split('-')[1], '01'])
  expect(spanId).not.toBe(PARENT.split('-')[2])
  await close()
})

test.each([
  ['always_off', '', '00'],
  ['parentbased_traceidratio', '0', '00'],
  ['parentbased_traceidratio', '1', '01'],
  ['traceidratio', '', '01'],
])('sampler %s %s: flags %s (W3C Trace Context 3.2.2.5)', async (sampler, argument, flags) => {
  const environment = { ...ON, OTEL_TRACES_SAMPLER: sampler, OTEL_TRACES_SAMPLER_ARG: argument }
  const { tracer, close } = await openTraces(environment, about)
  const root = tracer.root('smtp transaction', PARENT)
  expect(root.traceparent.split('-')[3]).toBe(flags)
  expect(tracer.span('commit', root.traceparent).traceparent.split('-')[3]).toBe(flags)
  await close()
})

test.each([
  ['OTEL_TRACES_SAMPLER', 'sometimes', /OTEL_TRACES_SAMPLER: must be one of always_on/],
  ['OTEL_TRACES_SAMPLER_ARG', '2', /OTEL_TRACES_SAMPLER_ARG: must be from 0 to 1/],
  ['OTEL_EXPORTER_OTLP_PROTOCOL', 'grpc', /OTEL_EXPORTER_OTLP_PROTOCOL: must be one of http\/protobuf, http\/json/],
  ['OTEL_BSP_MAX_QUEUE_SIZE', 'many', /OTEL_BSP_MAX_QUEUE_SIZE: must be a whole number/],
])('%s=%s is refused in words', async (name, value, words) => {
  const opened = openTraces({ ...ON, OTEL_TRACES_SAMPLER: 'traceidratio', [name]: value }, about)
  await expect(opened).rejects.toThrow(words)
  await expect(opened).rejects.toThrow(TracesError)
})
