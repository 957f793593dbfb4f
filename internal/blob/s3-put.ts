// How objects get into S3, and why they are believed to be there.
//
// Each request carries its length, the MD5 of its body (Content-MD5) and its SHA-256 as a part of what is signed: Ceph and
// Amazon check both, and refuse other bytes before the object changes. The answer's ETag is the MD5 of what was stored, and
// is compared once more here. Both digests stand before the body in the request, so a body is read before it is sent:
// a small one into memory, a larger one twice from its source, and one past 64 MiB part by part through memory, because a
// source cannot be opened at a part.
// Puts are unconditional: keys derive from ids, and If-None-Match is not honoured everywhere (multipart, versioned buckets).

import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  HeadObjectCommand,
} from '@aws-sdk/client-s3'
import { createHash, hash } from 'node:crypto'
import { BlobError, type Upload, type Verified } from './blob.ts'
import type { Bucket } from './s3-client.ts'
import { escaped } from './s3-sign.ts'
import { wholeOf, type WireBody } from './s3-wire.ts'
import { promisedBytes } from './source.ts'

/** Of an answer's body, in which there is nothing. */
const ANSWER_BYTES_MAX = 64 * 1024

/** Puts and verifies; the object is there when it resolves. Nothing is there, or what was there before, when it rejects. */
export async function putObject(bucket: Bucket, key: string, upload: Upload): Promise<Verified> {
  const { limits, clock } = bucket
  const put = { bucket, key, upload }
  const mark = upload.sizeBytes > limits.singleBytesMax ? await putParts(put) : await putWhole(put)
  return { key, sizeBytes: upload.sizeBytes, etag: mark, modifiedAt: clock.now() }
}

interface Put {
  bucket: Bucket
  key: string
  upload: Upload
}

/** What a request sends, and its digests. */
interface Body extends WireBody {
  md5: Buffer
}

async function putWhole({ bucket, key, upload }: Put): Promise<string> {
  const { contentType, metadata, sha256 } = upload
  const facts = Object.entries({ ...metadata, sha256 }).map(([name, value]) => [
    `x-amz-meta-${name.toLowerCase()}`,
    value,
  ])
  const headers = { 'content-type': contentType, ...Object.fromEntries(facts) }
  return sent(bucket, `PUT ${key}`, { key, headers, body: await bodyOf(bucket, key, upload) })
}

/** Sends an object, or a part of one, and resolves with its mark, verified. */
async function sent(
  bucket: Bucket,
  what: string,
  { key, headers, body, query = '' }: { key: string; headers?: Record<string, string>; body: Body; query?: string },
): Promise<string> {
  const answer = await bucket.ask(what, async (hold) => {
    const whole = { ...headers, 'content-md5': body.md5.toString('base64') }
    const answered = await bucket.send({ method: 'PUT', key: bucket.full(key), query, headers: whole, body }, hold)
    await wholeOf(answered, ANSWER_BYTES_MAX, hold)
    return answered
  })
  return sameMark(key, answer.headers.etag, body.md5.toString('hex'))
}

async function bodyOf(bucket: Bucket, key: string, upload: Upload): Promise<Body> {
  const { sizeBytes, sha256, bytes } = upload
  // Here, where they leave: they may have lain in memory for as long as the store was away.
  if (bytes !== undefined && (bytes.length !== sizeBytes || hash('sha256', bytes) !== sha256))
    throw new BlobError('digest', `${key}: the bytes in memory are not those that were promised`)
  if (sizeBytes <= bucket.limits.bufferedBytesMax)
    return inMemory(bucket, bytes ?? (await gathered(promisedBytes(key, upload))), sha256)
  const md5 = createHash('md5')
  for await (const chunk of promisedBytes(key, upload)) md5.update(chunk)
  return { sizeBytes, sha256, md5: md5.digest(), bytes: promisedBytes(key, upload) }
}

function inMemory({ limits }: Bucket, all: Buffer, sha256: string): Body {
  const bytes = all.length <= limits.stepBytes ? all : slicesOf(all, limits.stepBytes)
  return { sizeBytes: all.length, sha256, md5: hash('md5', all, 'buffer'), bytes }
}

async function gathered(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = []
  for await (const chunk of chunks) all.push(chunk)
  return Buffer.concat(all)
}

async function putParts(put: Put): Promise<string> {
  const { bucket, key, upload } = put
  if (upload.sizeBytes > bucket.limits.partBytes * bucket.limits.partsMax) {
    throw new BlobError('client', `${key}: ${upload.sizeBytes} bytes are more than ${bucket.limits.partsMax} parts`)
  }
  const { contentType: ContentType, metadata, sha256 } = upload
  const created = { ...target(bucket, key), ContentType, Metadata: { ...metadata, sha256 } }
  const { UploadId: id } = await bucket.ask(`POST ${key}`, ({ signal }) =>
    bucket.client.send(new CreateMultipartUploadCommand(created), { abortSignal: signal }),
  )
  if (id === undefined) throw new BlobError('server', `POST ${key}: no upload id in the answer`)
  let marks: Buffer[]
  try {
    marks = await sendParts(put, id)
    await complete(put, id, marks)
  } catch (error) {
    // Best effort: the bucket's life cycle removes what stays, and the first error says more than a second one.
    await abortParts(put, id).catch((_leftover: unknown) => undefined)
    throw error
  }
  return verifyParts(put, marks)
}

/** Sends the parts one after the other, and resolves with their MD5s. */
async function sendParts({ bucket, key, upload }: Put, id: string): Promise<Buffer[]> {
  const marks: Buffer[] = []
  for await (const part of partsOf(promisedBytes(key, upload), bucket.limits.partBytes)) {
    const number = marks.length + 1
    const body = inMemory(bucket, part, hash('sha256', part))
    const query = `partNumber=${number}&uploadId=${escaped(id)}`
    await sent(bucket, `PUT ${key} part ${number}`, { key, query, body })
    marks.push(body.md5)
  }
  return marks
}

async function complete({ bucket, key }: Put, id: string, marks: Buffer[]): Promise<void> {
  const parts = marks.map((md5, at) => ({ ETag: `"${md5.toString('hex')}"`, PartNumber: at + 1 }))
  await bucket.ask(`POST ${key} complete`, ({ signal }) =>
    bucket.client.send(
      new CompleteMultipartUploadCommand({ ...target(bucket, key), UploadId: id, MultipartUpload: { Parts: parts } }),
      { abortSignal: signal },
    ),
  )
}

async function abortParts({ bucket, key }: Put, id: string): Promise<void> {
  await bucket.ask(`DELETE ${key} parts`, ({ signal }) =>
    bucket.client.send(new AbortMultipartUploadCommand({ ...target(bucket, key), UploadId: id }), {
      abortSignal: signal,
    }),
  )
}

/** The mark of an object in parts is the MD5 of their MD5s, and their number. Ceph 16 completes with an empty ETag: ask anew. */
async function verifyParts({ bucket, key, upload }: Put, marks: Buffer[]): Promise<string> {
  const { ContentLength: sizeBytes, ETag } = await bucket.ask(`HEAD ${key}`, ({ signal }) =>
    bucket.client.send(new HeadObjectCommand(target(bucket, key)), { abortSignal: signal }),
  )
  if (sizeBytes !== upload.sizeBytes) throw new BlobError('digest', `${key}: the store holds ${sizeBytes} bytes`)
  return sameMark(key, ETag, `${createHash('md5').update(Buffer.concat(marks)).digest('hex')}-${marks.length}`)
}

const target = (bucket: Bucket, key: string) => ({ Bucket: bucket.bucket, Key: bucket.full(key) })

/** Throws `digest` unless the store's mark is `wanted`. */
function sameMark(key: string, etag: string | undefined, wanted: string): string {
  if (etag?.replaceAll('"', '') === wanted) return wanted
  throw new BlobError('digest', `${key}: the store's mark is ${etag}, not ${wanted}`)
}

/** Gathers chunks into pieces of `partBytes`, the last one shorter. Each lies in the same memory as the one before. */
async function* partsOf(chunks: AsyncIterable<Uint8Array>, partBytes: number): AsyncGenerator<Buffer> {
  const part = Buffer.allocUnsafe(partBytes)
  let filled = 0
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.byteLength;) {
      const taken = Math.min(chunk.byteLength - at, partBytes - filled)
      part.set(chunk.subarray(at, at + taken), filled)
      at += taken
      filled += taken
      if (filled < partBytes) continue
      yield part
      filled = 0
    }
  }
  if (filled > 0) yield part.subarray(0, filled)
}

/** Memory for a connection, a step at a time: as each is accepted, the request has moved. */
function* slicesOf(part: Buffer, stepBytes: number): Generator<Uint8Array> {
  for (let at = 0; at < part.length; at += stepBytes) yield part.subarray(at, at + stepBytes)
}
