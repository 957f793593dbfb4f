// A bucket of a real gateway for tests, and stores on prefixes of it.

import {
  CreateBucketCommand,
  ListMultipartUploadsCommand,
  ListObjectVersionsCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Rgw } from '../../../test/engines/rgw.ts'
import { s3Blobs, type S3BlobsOptions } from '../s3.ts'

export const clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms: number, signal?: AbortSignal) => sleep(ms, undefined, signal && { signal }),
}

export interface TestBucket {
  name: string
  /** The SDK as it is, to look behind the store's back. */
  raw: S3Client
  /** A store on a prefix nobody has used. */
  fresh(change?: Partial<S3BlobsOptions>): ReturnType<typeof s3Blobs>
  /** Keys of multipart uploads that were neither completed nor aborted. */
  pending(): Promise<string[]>
  /** Keys in the whole bucket, with all versions. */
  everything(): Promise<string[]>
}

let serial = 0

/** Makes a bucket of its own on the gateway. */
export async function testBucket({ endpoint, accessKeyId, secretAccessKey }: Rgw): Promise<TestBucket> {
  const name = `bucket-${(serial += 1)}`
  const credentials = { accessKeyId, secretAccessKey }
  const raw = new S3Client({ endpoint, region: 'us-east-1', credentials, forcePathStyle: true })
  await raw.send(new CreateBucketCommand({ Bucket: name }))
  return {
    name,
    raw,
    fresh(change) {
      const prefix = `mail/p${(serial += 1)}`
      return s3Blobs({ bucket: name, prefix, endpoint, pathStyle: true, credentials, clock, ...change })
    },
    async pending() {
      const { Uploads } = await raw.send(new ListMultipartUploadsCommand({ Bucket: name }))
      return (Uploads ?? []).map(({ Key }) => Key ?? '')
    },
    async everything() {
      const { Versions } = await raw.send(new ListObjectVersionsCommand({ Bucket: name }))
      return (Versions ?? []).map(({ Key }) => Key ?? '')
    },
  }
}
