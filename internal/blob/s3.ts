// Objects in a bucket of Amazon S3, Ceph RGW, or whoever speaks the same: key `acme/x.eml` is the bucket's object
// `prefix/acme/x.eml`. Nothing is tried twice here: the callers have the schedule of retries.

import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  type _Object,
} from '@aws-sdk/client-s3'
import { Readable } from 'node:stream'
import { BlobError, checkKey, type BlobStore, type Stored } from './blob.ts'
import { patiently, type Patience } from './patience.ts'
import { openBucket, type Bucket, type S3BlobsOptions } from './s3-client.ts'
import { isMissing, maybeMissing, s3Fault } from './s3-fault.ts'
import { putObject } from './s3-put.ts'

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
      await unlessMissing(bucket, { method: 'DELETE', key }, (abortSignal) =>
        bucket.client.send(command, { abortSignal }),
      )
    },
    close: () => bucket.client.destroy(),
  }
}

/** Asks about one object; undefined if there is none. */
async function unlessMissing<T>(
  bucket: Bucket,
  { method, key }: { method: string; key: string },
  send: (signal: AbortSignal) => Promise<T>,
): Promise<T | undefined> {
  try {
    return await bucket.ask(`${method} ${key}`, ({ signal }) => send(signal))
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

async function getObject(bucket: Bucket, key: string): Promise<{ stored: Stored; body: Readable } | undefined> {
  const what = `GET ${key}`
  const command = new GetObjectCommand({ Bucket: bucket.bucket, Key: bucket.full(key) })
  const found = await unlessMissing(bucket, { method: 'GET', key }, (abortSignal) =>
    bucket.client.send(command, { abortSignal }),
  )
  if (found === undefined) return undefined
  const source = found.Body as Readable
  try {
    const stored = storedOf(key, { ...found, Size: found.ContentLength })
    const { sizeBytes } = stored
    if (sizeBytes <= bucket.limits.stepBytes)
      return { stored, body: await wholeBody(bucket, source, { what, sizeBytes }) }
    return { stored, body: patientBody(source, { what, sizeBytes, patience: bucket.patience }) }
  } catch (error) {
    source.destroy()
    throw error
  }
}

async function headObject(bucket: Bucket, key: string): Promise<Stored | undefined> {
  const command = new HeadObjectCommand({ Bucket: bucket.bucket, Key: bucket.full(key) })
  const found = await unlessMissing(bucket, { method: 'HEAD', key }, (abortSignal) =>
    bucket.client.send(command, { abortSignal }),
  )
  return found && storedOf(key, { ...found, Size: found.ContentLength })
}

/** A small object, read in one step. */
async function wholeBody(
  bucket: Bucket,
  source: Readable,
  { what, sizeBytes }: { what: string; sizeBytes: number },
): Promise<Readable> {
  const chunks = await bucket.ask(what, () => source.toArray() as Promise<Buffer[]>)
  const bytes = Buffer.concat(chunks)
  if (bytes.length !== sizeBytes) throw cutShort(what, bytes.length, sizeBytes)
  return Readable.from([bytes], { objectMode: false })
}

const cutShort = (what: string, length: number, sizeBytes: number): BlobError =>
  new BlobError('server', `${what}: ended after ${length} of ${sizeBytes} bytes`)

/** The source's bytes. An error, an end that comes too early or a pause of the store is a BlobError; the reader may pause. */
function patientBody(
  source: Readable,
  { what, sizeBytes, patience }: { what: string; sizeBytes: number; patience: Patience },
): Readable {
  async function* chunks() {
    const iterator = source[Symbol.asyncIterator]() as AsyncIterator<Buffer>
    let length = 0
    try {
      for (;;) {
        const next = await patiently(patience, what, () => iterator.next())
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

function storedOf(
  key: string,
  { Size: sizeBytes, ETag, LastModified }: Pick<_Object, 'Size' | 'ETag' | 'LastModified'>,
): Stored {
  if (sizeBytes === undefined || LastModified === undefined)
    throw new BlobError('server', `${key}: an answer without its facts`)
  const etag = ETag?.replaceAll('"', '')
  return { key, sizeBytes, modifiedAt: LastModified.getTime(), ...(etag !== undefined && { etag }) }
}
