// Objects put, read, listed and deleted by a process of its own, since Node takes NODE_EXTRA_CA_CERTS at its start.
//
//   node there-and-back.ts ENDPOINT BUCKET     prints `the same`, or the fault and its text

import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { BlobError, type Upload } from '../blob.ts'
import { s3Blobs } from '../s3.ts'
import { clock } from './bucket.ts'

const MIB = 1024 ** 2
/** Sent and read as small ones are, from the source, and in parts. */
const SIZES = [1000, 3 * MIB, 12 * MIB]
const LIMITS = { singleBytesMax: 5 * MIB, partBytes: 5 * MIB }

const [endpoint = '', bucket = ''] = process.argv.slice(2)

function made(sizeBytes: number): Upload {
  const bytes = Buffer.alloc(sizeBytes, 'mail ')
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  const open = () => Readable.from([bytes], { objectMode: false })
  return { sizeBytes, sha256, contentType: 'message/rfc822', open }
}

async function thereAndBack(): Promise<string> {
  const store = s3Blobs({ endpoint, bucket, prefix: 'tls', pathStyle: true, clock, limits: LIMITS })
  try {
    for (const sizeBytes of SIZES) {
      const key = `t/${sizeBytes}`
      const upload = made(sizeBytes)
      await store.put(key, upload)
      if ((await store.head(key))?.sizeBytes !== sizeBytes) return `${key} has another size`
      const hash = createHash('sha256')
      for await (const chunk of (await store.get(key))?.body ?? []) hash.update(chunk as Buffer)
      if (hash.digest('hex') !== upload.sha256) return `${key} has other bytes`
    }
    const listed = await Array.fromAsync(store.list(''))
    for (const { key } of listed) await store.delete(key)
    return listed.length === SIZES.length ? 'the same' : `${listed.length} objects are listed`
  } catch (error) {
    return error instanceof BlobError ? `${error.fault}: ${error.message}` : String(error)
  } finally {
    store.close()
  }
}

process.stdout.write(await thereAndBack())
