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
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { BlobError, type Upload, type Verified } from './blob.ts'
import type { Hold } from './patience.ts'
import type { Bucket } from './s3-client.ts'
import { promisedBytes } from './source.ts'

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
interface Body {
  sizeBytes: number
  md5: Buffer
  /** Hex. */
  sha256: string
  /** All of it, where it moves in one step. */
  step?: Buffer
  chunks(): AsyncIterable<Uint8Array> | Iterable<Uint8Array>
}

async function putWhole({ bucket, key, upload }: Put): Promise<string> {
  const body = await bodyOf(bucket, key, upload)
  const answer = await bucket.ask(`PUT ${key}`, (hold) =>
    sending(body, hold, (Body, abortSignal) => {
      const command = new PutObjectCommand({ ...target(bucket, key), ...headersOf(upload), ...lengthOf(body), Body })
      command.middlewareStack.add(signing(body), AT_BUILD)
      return bucket.client.send(command, { abortSignal })
    }),
  )
  return sameMark(key, answer.ETag, body.md5.toString('hex'))
}

async function bodyOf({ limits }: Bucket, key: string, upload: Upload): Promise<Body> {
  const { sizeBytes, sha256 } = upload
  const md5 = createHash('md5')
  const kept: Uint8Array[] = []
  for await (const chunk of promisedBytes(key, upload)) {
    md5.update(chunk)
    if (sizeBytes <= limits.bufferedBytesMax) kept.push(chunk)
  }
  const chunks = () => (sizeBytes <= limits.bufferedBytesMax ? kept : promisedBytes(key, upload))
  const step = sizeBytes <= limits.stepBytes ? { step: Buffer.concat(kept) } : {}
  return { sizeBytes, md5: md5.digest(), sha256, ...step, chunks }
}

async function putParts(put: Put): Promise<string> {
  const { bucket, key, upload } = put
  if (upload.sizeBytes > bucket.limits.partBytes * bucket.limits.partsMax) {
    throw new BlobError('client', `${key}: ${upload.sizeBytes} bytes are more than ${bucket.limits.partsMax} parts`)
  }
  const { UploadId: id } = await bucket.ask(`POST ${key}`, ({ signal }) =>
    bucket.client.send(new CreateMultipartUploadCommand({ ...target(bucket, key), ...headersOf(upload) }), {
      abortSignal: signal,
    }),
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
    const body: Body = {
      sizeBytes: part.length,
      md5: createHash('md5').update(part).digest(),
      sha256: createHash('sha256').update(part).digest('hex'),
      chunks: () => slicesOf(part, bucket.limits.stepBytes),
    }
    const where = { ...target(bucket, key), UploadId: id, PartNumber: number }
    const answer = await bucket.ask(`PUT ${key} part ${number}`, (hold) =>
      sending(body, hold, (Body, abortSignal) => {
        const command = new UploadPartCommand({ ...where, ...lengthOf(body), Body })
        command.middlewareStack.add(signing(body), AT_BUILD)
        return bucket.client.send(command, { abortSignal })
      }),
    )
    sameMark(key, answer.ETag, body.md5.toString('hex'))
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

const headersOf = ({ contentType, metadata, sha256 }: Upload) => ({
  ContentType: contentType,
  Metadata: { ...metadata, sha256 },
})

const lengthOf = ({ sizeBytes, md5 }: Body) => ({ ContentLength: sizeBytes, ContentMD5: md5.toString('base64') })

/** Puts the body's hash into what is signed; the SDK by itself leaves the body of a stream unsigned. */
const signing =
  ({ sha256 }: Body) =>
  <A extends { request: unknown }, R>(next: (args: A) => Promise<R>) =>
  (args: A): Promise<R> => {
    ;(args.request as { headers: Record<string, string> }).headers['x-amz-content-sha256'] = sha256
    return next(args)
  }

/** After the headers of the input, before the signature. */
const AT_BUILD = { step: 'build', name: 'bodyHash' } as const

/** Runs a request with `body`, as a stream where it takes steps. The SDK does not look at the stream's errors: they end the request here. */
async function sending<T>(
  body: Body,
  hold: Hold,
  send: (body: Readable | Buffer, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  if (body.step !== undefined) return send(body.step, hold.signal)
  async function* moving() {
    for await (const chunk of body.chunks()) {
      hold.moved()
      yield chunk
    }
  }
  const stream = Readable.from(moving(), { objectMode: false })
  const end = new AbortController()
  const broken = new Promise<never>((_resolve, reject) => void stream.once('error', reject))
  try {
    return await Promise.race([broken, send(stream, AbortSignal.any([hold.signal, end.signal]))])
  } finally {
    end.abort()
    stream.destroy()
  }
}

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
