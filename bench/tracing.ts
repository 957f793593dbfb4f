// What spans cost: where nobody asked for them beside no code for them at all, and where a collector takes them.

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { openTraces } from '../internal/daemon/daemon.ts'
import { traced, UNTRACED, type Tracer } from '../internal/ports/ports.ts'

const STEPS = 200_000
const ROUNDS = 5
const PARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
const work = async (): Promise<void> => {}
const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

/** Microseconds of process CPU for a step. */
async function cost(step: () => Promise<void>): Promise<number> {
  const before = process.cpuUsage()
  for (let done = 0; done < STEPS; done++) await step()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / STEPS
}

/** Microseconds of CPU for one step: without spans in the code, with them off, with them sent. The best of rounds taken in turn. */
export async function tracingCost(): Promise<Record<'none' | 'off' | 'on', number>> {
  const collector = createServer((request, response) => void request.resume().on('end', () => response.end()))
  await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`
  const environment = { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: url, OTEL_BSP_MAX_QUEUE_SIZE: '1000000' }
  process.env['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'] = url
  const { tracer, close } = await openTraces(environment, { service: 'bench', version: '0', log })
  const best = { none: Infinity, off: Infinity, on: Infinity }
  const step = (by: Tracer) => () => traced(by.span('commit', PARENT), work)
  for (let round = 0; round < ROUNDS; round++) {
    best.none = Math.min(best.none, await cost(work))
    best.off = Math.min(best.off, await cost(step(UNTRACED)))
    best.on = Math.min(best.on, await cost(step(tracer)))
  }
  await close()
  collector.closeAllConnections()
  collector.close()
  return best
}
