// One bucket, reached through the SDK: its settings, its limits, and one way to ask.

import { S3Client } from '@aws-sdk/client-s3'
import * as http from 'node:http'
import * as https from 'node:https'
import type { S3Place } from '../config/config.ts'
import type { Clock } from '../ports/ports.ts'
import { patience, type Hold, type Patience } from './patience.ts'
import { s3Fault } from './s3-fault.ts'
import { openWire, type Agents, type Wire } from './s3-wire.ts'

const MIB = 1024 ** 2

/** Every bound of the adapter. */
export const S3_LIMITS = {
  /** Bytes that move in one step: each step must be over in `idleMs`. A smaller object is one step. */
  stepBytes: 64 * 1024,
  /** Bytes of an object that is read into memory when it is asked for. */
  gottenBytesMax: 256 * 1024,
  /** Bytes of an object read into memory once and sent from there; above, the source is read twice. */
  bufferedBytesMax: MIB,
  /** Bytes of an object sent as one request; above, it goes in parts. */
  singleBytesMax: 64 * MIB,
  /** Bytes of a part, held in memory while it is sent. S3 wants 5 MiB at least. */
  partBytes: 8 * MIB,
  /** Parts of an object, by S3's rule. */
  partsMax: 10_000,
  /** Keys asked for at a time when listing. */
  pageKeys: 1000,
  /** Connections at a time: as many as there may be uploads. More requests wait for one. */
  connections: 256,
  /** Unused connections kept open. */
  connectionsKept: 16,
  /** Milliseconds to connect. */
  connectMs: 5_000,
  /** Milliseconds without a byte accepted or an answer. */
  idleMs: 30_000,
  /** Milliseconds for one request; a body that is read is bounded by `idleMs` for each chunk instead. */
  wholeMs: 600_000,
}
export type S3Limits = typeof S3_LIMITS

export interface S3BlobsOptions extends S3Place {
  clock: Pick<Clock, 'now' | 'monotonic' | 'sleep'>
  /** Absent: what the SDK finds, first of all AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. */
  credentials?: { accessKeyId: string; secretAccessKey: string }
  /** For tests. */
  limits?: Partial<S3Limits>
}

export interface Bucket {
  client: S3Client
  bucket: string
  clock: S3BlobsOptions['clock']
  limits: S3Limits
  patiently: Patience
  /** Sends a request past the SDK. */
  send: Wire
  /** Key of the object in the bucket. */
  full(key: string): string
  /** Asks with patience; all errors are BlobErrors. `what` is for people. */
  ask<T>(what: string, work: (hold: Hold) => Promise<T>): Promise<T>
  close(): void
}

/** The SDK would write to the console; what goes wrong is in the errors. */
const quiet = () => undefined
const SILENT = { trace: quiet, debug: quiet, info: quiet, warn: quiet, error: quiet }

/** A bucket to ask. Nothing is sent yet. */
export function openBucket(options: S3BlobsOptions): Bucket {
  const { bucket, prefix, clock } = options
  const limits = { ...S3_LIMITS, ...options.limits }
  const patiently = patience({ clock, idleMs: limits.idleMs, wholeMs: limits.wholeMs })
  const kept = { maxSockets: limits.connections, maxFreeSockets: limits.connectionsKept, keepAlive: true }
  const agents = { http: new http.Agent(kept), https: new https.Agent(kept) }
  const client = clientOf(options, limits, agents)
  return {
    client,
    bucket,
    clock,
    limits,
    patiently,
    send: openWire({ client, bucket, clock, agents, connectMs: limits.connectMs }),
    full: (key) => (prefix === '' ? key : `${prefix}/${key}`),
    async ask(what, work) {
      try {
        return await patiently(what, work)
      } catch (error) {
        throw s3Fault(what, error)
      }
    },
    close() {
      client.destroy()
      for (const agent of Object.values(agents)) agent.destroy()
    },
  }
}

function clientOf(
  { endpoint, region, pathStyle, credentials }: S3BlobsOptions,
  limits: S3Limits,
  agents: Agents,
): S3Client {
  // Other stores do not look at the region, but it is a part of what is signed. Without both, the SDK looks for AWS_REGION.
  const signedRegion = region ?? (endpoint === undefined ? undefined : 'us-east-1')
  return new S3Client({
    ...(endpoint !== undefined && { endpoint }),
    ...(signedRegion !== undefined && { region: signedRegion }),
    ...(credentials !== undefined && { credentials }),
    forcePathStyle: pathStyle,
    // The default sends a stream without its length and with a checksum trailer: Ceph answers 411, and checks no such checksum.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // The uploader has the one schedule of retries.
    maxAttempts: 1,
    // Each such request would open a connection of its own.
    expectContinueHeader: false,
    logger: SILENT,
    requestHandler: { connectionTimeout: limits.connectMs, httpAgent: agents.http, httpsAgent: agents.https },
  })
}
