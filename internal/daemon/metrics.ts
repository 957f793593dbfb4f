// The operator's listener: /metrics, /healthz, /readyz. Bound to loopback only (R29), and to requests that name loopback.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Gauge, Registry, collectDefaultMetrics } from '@prometheus-io/client'
import { readiness, type Check } from './health.ts'

const REQUEST_TIMEOUT_MS = 10_000
const HEADER_BYTES_MAX = 16 * 1024

/** How often the use of the event loop is looked at. Ten times a second, the library's default, is 2 ms of CPU each second. */
const UTILIZATION_MS = 1000

/** Names that may stand in Host: a page elsewhere that resolves its own name to loopback must not read this listener. */
const LOCAL_HOST = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/i

/** A registry with the process's own metrics and what was built. */
export function newRegistry(version: string, commit: string): Registry {
  const registry = new Registry()
  collectDefaultMetrics({
    register: registry,
    prefix: 'mail_ingest_',
    eventLoopUtilizationTimeout: UTILIZATION_MS,
  })
  // By names of Node's own classes, which come and go; their totals stay.
  for (const name of ['resources', 'handles', 'requests'])
    registry.removeSingleMetric(`mail_ingest_nodejs_active_${name}`)
  new Gauge({
    name: 'mail_ingest_build_info',
    help: 'Always 1; the labels say what runs.',
    labelNames: ['version', 'commit', 'node'] as const,
    registers: [registry],
  }).set({ version, commit, node: process.version }, 1)
  return registry
}

export interface OperatorListener {
  /** Where it listens: `http://127.0.0.1:9090`. */
  url: string
  close(): Promise<void>
}

export interface OperatorOptions {
  host: string
  port: number
  registry: Registry
  checks: readonly Check[]
}

/** Starts the listener. Rejects when the address is taken or is not loopback. */
export async function openOperatorListener(options: OperatorOptions): Promise<OperatorListener> {
  const server = createServer(
    { maxHeaderSize: HEADER_BYTES_MAX, requestTimeout: REQUEST_TIMEOUT_MS },
    (request, response) => {
      answer(request, response, options).catch(() => response.destroy())
    },
  )
  await listening(server, options)
  const { address, port, family } = server.address() as AddressInfo
  const closed = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  if (!isLoopback(address)) {
    await closed()
    throw new Error(`METRICS_LISTEN: ${options.host} is ${address}, which is not a loopback address`)
  }
  return { url: `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`, close: closed }
}

const isLoopback = (address: string): boolean => address === '::1' || address.startsWith('127.')

function listening(server: Server, { host, port }: OperatorOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port }, resolve)
  })
}

async function answer(request: IncomingMessage, response: ServerResponse, options: OperatorOptions): Promise<void> {
  const send = (status: number, type: string, body: string): void => {
    response.writeHead(status, {
      'content-type': type,
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
    })
    response.end(request.method === 'HEAD' ? undefined : body)
  }
  if (!LOCAL_HOST.test(request.headers.host ?? ''))
    return send(421, 'text/plain', 'this listener answers to loopback names only\n')
  if (request.method !== 'GET' && request.method !== 'HEAD') return send(405, 'text/plain', 'GET or HEAD only\n')
  switch (request.url?.split('?', 1)[0]) {
    case '/metrics':
      return send(200, options.registry.contentType, await options.registry.metrics())
    case '/healthz':
      return send(200, 'text/plain', 'ok\n')
    case '/readyz': {
      const state = readiness(options.checks)
      return send(state.ready ? 200 : 503, 'application/json', `${JSON.stringify(state)}\n`)
    }
    default:
      return send(404, 'text/plain', '/metrics, /healthz or /readyz\n')
  }
}
