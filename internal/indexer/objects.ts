// The two objects of a message, mostly with one request: the envelope lies in the metadata of the raw object as well.

import type { Readable } from 'node:stream'
import type { BlobStore, Found } from '../blob/blob.ts'
import { envelopeAlong, type MessageMeta } from '../envelope/envelope.ts'
import type { Clock } from '../ports/ports.ts'
import type { Received } from './facts.ts'
import { blobTrouble, Fault } from './trouble.ts'

/** Bytes of an envelope object; a thousand recipients take a quarter of it. */
const META_BYTES_MAX = 4 * 1024 * 1024
/** Milliseconds that an open body waits for a free parser: an object store gives up on who does not read for a minute. */
const HELD_MS_MAX = 10_000

interface Parts {
  blobs: Pick<BlobStore, 'get'>
  clock: Pick<Clock, 'monotonic'>
}

/** The raw object: asked for at once, and again each time that it is opened once more. Close it. */
export class RawObject {
  readonly #parts: Parts
  readonly #key: string
  readonly #since: number
  /** How it was found, until it is opened: what is wrong with it then comes to light where it did without a head start. */
  #first: Promise<Found | undefined> | undefined

  constructor(parts: Parts, key: string) {
    this.#parts = parts
    this.#key = key
    this.#first = parts.blobs.get(key)
    this.#since = parts.clock.monotonic()
  }

  /** What lies beside it, as far as it can be had. */
  async metadata(): Promise<Found['metadata']> {
    return (await this.#foundFirst())?.metadata
  }

  /** Rejects with BlobError; undefined if there is none. */
  async open(): Promise<Found | undefined> {
    const { blobs, clock } = this.#parts
    const first = this.#take()
    if (first === undefined) return blobs.get(this.#key)
    const found = await first
    const isHeld = found !== undefined && found.bytes === undefined
    if (!isHeld || clock.monotonic() - this.#since < HELD_MS_MAX) return found
    found.body.destroy()
    return blobs.get(this.#key)
  }

  /** Lets go of a body that is not in memory, to be asked for again: it would hold a connection while another is waited for. */
  async rest(): Promise<void> {
    const found = await this.#foundFirst()
    if (found !== undefined && found.bytes === undefined) this.close()
  }

  /** Lets go of what nobody opened. */
  close(): void {
    this.#take()?.then(
      (found) => {
        if (found?.bytes === undefined) found?.body.destroy()
      },
      () => undefined,
    )
  }

  /** Undefined also where it could not be had: whoever opens it learns why. */
  async #foundFirst(): Promise<Found | undefined> {
    try {
      return await this.#first
    } catch {
      return undefined
    }
  }

  #take(): Promise<Found | undefined> | undefined {
    const first = this.#first
    this.#first = undefined
    return first
  }
}

/** Envelope and bytes of a message. Rejects with Fault or Outage where there is no envelope; the bytes tell by themselves. */
export async function fetchMessage(parts: Parts, { data }: Received): Promise<{ meta: MessageMeta; raw: RawObject }> {
  const raw = new RawObject(parts, data.rawKey)
  try {
    const along = envelopeAlong(await raw.metadata(), META_BYTES_MAX)
    const meta = along && metaOf(along.toString(), data)
    if (meta !== undefined) return { meta, raw }
    await raw.rest()
    return { meta: await fetchMeta(parts.blobs, data), raw }
  } catch (error) {
    raw.close()
    throw error
  }
}

async function fetchMeta(blobs: Parts['blobs'], data: Received['data']): Promise<MessageMeta> {
  let text: string
  try {
    const found = await blobs.get(data.metaKey)
    if (found === undefined) throw new Fault('object_missing', `no object ${data.metaKey}`)
    text = await readAll(found.body)
  } catch (error) {
    return blobTrouble(error, 'read')
  }
  const meta = metaOf(text, data)
  if (meta === undefined) throw new Fault('envelope', `${data.metaKey} is not the envelope of this message`)
  return meta
}

/** The envelope, or undefined for text that is none, or that of another message. */
function metaOf(text: string, { messageId, tenant }: Received['data']): MessageMeta | undefined {
  const meta = metaFrom(text)
  return meta?.messageId === messageId && meta.tenant === tenant ? meta : undefined
}

/** The envelope, or undefined for text that is none. Only what the indexer reads is checked: the writer is ours. */
export function metaFrom(text: string): MessageMeta | undefined {
  try {
    const meta = JSON.parse(text) as Partial<MessageMeta> | null
    const fits = meta?.version === 1 && typeof meta.messageId === 'string' && Array.isArray(meta.envelope?.recipients)
    return fits ? (meta as MessageMeta) : undefined
  } catch {
    return undefined
  }
}

/** The text of an envelope object. */
export async function readAll(body: Readable): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of body) {
    chunks.push(chunk as Buffer)
    bytes += (chunk as Buffer).length
    if (bytes > META_BYTES_MAX) throw new Fault('envelope', `an envelope of more than ${META_BYTES_MAX} bytes`)
  }
  return Buffer.concat(chunks).toString()
}
