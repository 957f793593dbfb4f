// Objects in a bucket of Amazon S3, Ceph RGW, or whoever speaks the same: key `acme/x.eml` is the bucket's object
// `prefix/acme/x.eml`. Nothing is tried twice here: the callers have the schedule of retries.

import { DeleteObjectCommand, ListObjectsV2Command, type _Object } from '@aws-sdk/client-s3'
import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { BlobError, checkKey, type BlobStore, type Found, type Stored } from './blob.ts'
import type { Hold } from './patience.ts'
import { openBucket, type Bucket, type S3BlobsOptions } from './s3-client.ts'
import { isMissing, maybeMissing, s3Fault } from './s3-fault.ts'
import { putObject } from './s3-put.ts'
import { wholeOf } from './s3-wire.ts'

export { S3_LIMITS, type S3BlobsOptions } from './s3-client.ts'

/** Object store in a bucket that is there. `close` ends the connections that are kept. */
export function s3Blobs(options: S3BlobsOptions): BlobStore & { close(): void } {
  const bucket = openBucket(options)
  return {
    async put(key, upload) {
      checkKey(key)
      return putObject(bucket, key, upload)
    },
    async get(key) {
      checkKey(key)
      return getObject(bucket, key)
    },
    async head(key) {
      checkKey(key)
      return headObject(bucket, key)
    },
    list: (prefix) => listed(bucket, prefix),
    async delete(key) {
      checkKey(key)
      const command = new DeleteObjectCommand({ Bucket: bucket.bucket, Key: bucket.full(key) })
      await unlessMissing(bucket, { method: 'DELETE', key }, ({ signal }) =>
        bucket.client.send(command, { abortSignal: signal }),
      )
    },
    close: () => bucket.close(),
  }
}

/** Asks about one object; undefined if there is none. */
async function unlessMissing<T>(
  bucket: Bucket,
  { method, key }: { method: string; key: string },
  send: (hold: Hold) => Promise<T>,
): Promise<T | undefined> {
  try {
    return await bucket.ask(`${method} ${key}`, send)
  } catch (error) {
    const { cause } = error as BlobError
    if (isMissing(cause) || (maybeMissing(cause) && !(await isListed(bucket, key)))) return undefined
    throw error
  }
}

/** Whether the object is there, from an answer that also says when there is no bucket or no right to ask. */
async function isListed(bucket: Bucket, key: string): Promise<boolean> {
  const Prefix = bucket.full(key)
  const command = new ListObjectsV2Command({ Bucket: bucket.bucket, Prefix, MaxKeys: 1 })
  const page = await bucket.ask(`LIST ${key}`, ({ signal }) => bucket.client.send(command, { abortSignal: signal }))
  return page.Contents?.[0]?.Key === Prefix
}

async function getObject(bucket: Bucket, key: string): Promise<Found | undefined> {
  return unlessMissing(bucket, { method: 'GET', key }, async (hold) => {
    const answer = await bucket.send({ method: 'GET', key: bucket.full(key) }, hold)
    try {
      const stored = headerFacts(key, answer)
      const { sizeBytes } = stored
      const metadata = metadataOf(answer)
      if (sizeBytes <= bucket.limits.gottenBytesMax) {
        const bytes = await wholeOf(answer, sizeBytes, hold)
        if (bytes.length !== sizeBytes) throw cutShort(`GET ${key}`, bytes.length, sizeBytes)
        return inMemory({ stored, metadata }, bytes)
      }
      return { stored, metadata, body: patientBody(bucket, answer, { what: `GET ${key}`, sizeBytes }) }
    } catch (error) {
      answer.destroy()
      throw error
    }
  })
}

/** A stream costs more than a small object's bytes, so it is made only for who asks for it. */
function inMemory(facts: Pick<Found, 'stored' | 'metadata'>, bytes: Buffer): Found {
  let body: Readable | undefined
  return {
    ...facts,
    bytes,
    get body() {
      return (body ??= Readable.from([bytes], { objectMode: false }))
    },
  }
}

async function headObject(bucket: Bucket, key: string): Promise<Stored | undefined> {
  return unlessMissing(bucket, { method: 'HEAD', key }, async (hold) => {
    const answer = await bucket.send({ method: 'HEAD', key: bucket.full(key) }, hold)
    answer.resume()
    return headerFacts(key, answer)
  })
}

const cutShort = (what: string, length: number, sizeBytes: number): BlobError =>
  new BlobError('server', `${what}: ended after ${length} of ${sizeBytes} bytes`)

/** The source's bytes. An error, an end that comes too early or a pause of the store is a BlobError; the reader may pause. */
function patientBody(
  { patiently }: Bucket,
  source: Readable,
  { what, sizeBytes }: { what: string; sizeBytes: number },
): Readable {
  async function* chunks() {
    const iterator = source[Symbol.asyncIterator]() as AsyncIterator<Buffer>
    let length = 0
    try {
      for (;;) {
        const next = await patiently(what, () => iterator.next())
        if (next.done === true) break
        length += next.value.byteLength
        yield next.value
      }
    } catch (error) {
      throw s3Fault(what, error)
    }
    if (length !== sizeBytes) throw cutShort(what, length, sizeBytes)
  }
  const body = Readable.from(chunks(), { objectMode: false })
  body.once('close', () => source.destroy())
  return body
}

/** Page by page: S3 sorts by the bytes of the key. What others put below the prefix under a name that is no key is left out. */
async function* listed(bucket: Bucket, prefix: string): AsyncGenerator<Stored> {
  const root = bucket.full('')
  let token: string | undefined
  do {
    const command = new ListObjectsV2Command({
      Bucket: bucket.bucket,
      Prefix: root + prefix,
      MaxKeys: bucket.limits.pageKeys,
      ContinuationToken: token,
    })
    const page = await bucket.ask(`LIST ${prefix}`, ({ signal }) =>
      bucket.client.send(command, { abortSignal: signal }),
    )
    for (const object of page.Contents ?? []) {
      const key = object.Key?.slice(root.length) ?? ''
      if (isKey(key)) yield storedOf(key, object)
    }
    token = page.NextContinuationToken
    // Without this a broken answer would pass for the end, or begin anew.
    if (page.IsTruncated === true && token === undefined) throw new BlobError('server', `LIST ${prefix}: no next page`)
  } while (token !== undefined)
}

function isKey(key: string): boolean {
  try {
    checkKey(key)
    return true
  } catch {
    return false
  }
}

function headerFacts(key: string, { headers }: IncomingMessage): Stored {
  const { etag: ETag, 'content-length': length, 'last-modified': modified } = headers
  const Size = length === undefined ? undefined : Number(length)
  return storedOf(key, { Size, ETag, LastModified: modified === undefined ? undefined : new Date(modified) })
}

const METADATA = 'x-amz-meta-'

/** What was put beside the object. */
function metadataOf({ headers }: IncomingMessage): Record<string, string> {
  const own = Object.entries(headers).filter(([name]) => name.startsWith(METADATA))
  return Object.fromEntries(own.map(([name, value]) => [name.slice(METADATA.length), String(value)]))
}

function storedOf(
  key: string,
  { Size: sizeBytes, ETag, LastModified }: Pick<_Object, 'Size' | 'ETag' | 'LastModified'>,
): Stored {
  if (sizeBytes === undefined || LastModified === undefined)
    throw new BlobError('server', `${key}: an answer without its facts`)
  const etag = ETag?.replaceAll('"', '')
  return { key, sizeBytes, modifiedAt: LastModified.getTime(), ...(etag !== undefined && { etag }) }
}
