// Counts and times what a store does, whatever its engine.

import { Counter, Histogram, type Registry } from '@prometheus-io/client'
import type { Clock } from '../ports/ports.ts'
import type { BlobStore } from './blob.ts'
import { BLOB_FAULTS, BlobError } from './fault.ts'

const OPS = ['put', 'get', 'head', 'delete'] as const
const RESULTS = ['ok', ...BLOB_FAULTS] as const
const DIRECTIONS = ['in', 'out'] as const
const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

/** `store` with its operations counted in `registry`. A get is timed until its body opens; listing is not counted. */
export function measured(store: BlobStore, registry: Registry, clock: Pick<Clock, 'monotonic'>): BlobStore {
  const metrics = blobMetrics(registry)
  const observe = async <T>(op: (typeof OPS)[number], work: () => Promise<T>): Promise<T> => {
    const began = clock.monotonic()
    let result: (typeof RESULTS)[number] = 'ok'
    try {
      return await work()
    } catch (error) {
      result = error instanceof BlobError ? error.fault : 'client'
      throw error
    } finally {
      metrics.operations.inc({ op, result })
      metrics.seconds.observe({ op }, (clock.monotonic() - began) / 1000)
    }
  }
  return {
    async put(key, upload) {
      const stored = await observe('put', () => store.put(key, upload))
      metrics.bytes.inc({ direction: 'in' }, stored.sizeBytes)
      return stored
    },
    async get(key) {
      const found = await observe('get', () => store.get(key))
      metrics.bytes.inc({ direction: 'out' }, found?.stored.sizeBytes ?? 0)
      return found
    },
    head: (key) => observe('head', () => store.head(key)),
    list: (prefix) => store.list(prefix),
    delete: (key) => observe('delete', () => store.delete(key)),
  }
}

/** Declares the metrics in `registry`; once for each registry. */
export function blobMetrics(registry: Registry) {
  const registers = [registry]
  const operations = new Counter({
    name: 'mail_ingest_objectstore_operations_total',
    help: 'Operations on the object store, by result.',
    labelNames: ['op', 'result'] as const,
    registers,
  })
  const seconds = new Histogram({
    name: 'mail_ingest_objectstore_operation_duration_seconds',
    help: 'Time of one operation on the object store; a get until its body opens.',
    labelNames: ['op'] as const,
    buckets: SECONDS,
    registers,
  })
  const bytes = new Counter({
    name: 'mail_ingest_objectstore_bytes_total',
    help: 'Bytes of objects stored (in) and opened for reading (out).',
    labelNames: ['direction'] as const,
    registers,
  })
  for (const op of OPS) {
    seconds.zero({ op })
    for (const result of RESULTS) operations.inc({ op, result }, 0)
  }
  for (const direction of DIRECTIONS) bytes.inc({ direction }, 0)
  return { operations, seconds, bytes }
}
