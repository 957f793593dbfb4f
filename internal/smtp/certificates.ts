// The certificates that the front door shows, each chosen by the name that the client asks for (RFC 6066 3), and followed as their
// files change: a good new pair serves the next handshake, a bad one changes nothing but a metric. Sessions are never touched.

import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createSecureContext, type SecureContext } from 'node:tls'
import { Counter, Gauge, type Registry } from '@prometheus-io/client'
import type { Clock, Log } from '../ports/ports.ts'

/** Files of one certificate, with the chain up to its authority, and of its key; PEM. */
export interface KeyPair {
  cert: string
  key: string
}

export interface CertificateOptions {
  /** The first serves clients that name no host, or one that no certificate is for. */
  pairs: readonly KeyPair[]
  registry: Registry
  clock: Pick<Clock, 'now' | 'sleep'>
  log: Pick<Log, 'info' | 'warn'>
}

/** How often the files are read, milliseconds. */
const LOOK_MS = 5000

interface Loaded {
  certificate: X509Certificate
  context: SecureContext
}

/** Reads the pairs. Rejects with the file's or OpenSSL's error where one is missing or no pair. */
export async function openCertificates(options: CertificateOptions): Promise<Certificates> {
  const text = await read(options.pairs)
  return new Certificates(options, text, text.map(load))
}

export class Certificates {
  readonly #options: CertificateOptions
  readonly #metrics: ReturnType<typeof certificateMetrics>
  #loaded: readonly Loaded[]
  /** What was read last, good or not: a bad pair is tried and told of once. */
  #tried: string

  constructor(options: CertificateOptions, text: readonly PairText[], loaded: readonly Loaded[]) {
    this.#options = options
    this.#metrics = certificateMetrics(options.registry)
    this.#tried = JSON.stringify(text)
    this.#loaded = loaded
    this.#metrics.expiry(loaded)
    if (this.#expired(loaded)) options.log.warn({}, 'a certificate is out of date; it is shown all the same')
  }

  /** What to show to a client that asks for `host`. */
  contextFor(host?: string): SecureContext | undefined {
    const named = host === undefined ? undefined : this.#loaded.find(({ certificate }) => certificate.checkHost(host))
    return (named ?? this.#loaded[0])?.context
  }

  /** Looks at the files now and then, until `signal` aborts. */
  async follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.look()
      await this.#options.clock.sleep(LOOK_MS, signal).catch((error: unknown) => {
        if (!signal.aborted) throw error
      })
    }
  }

  /** Takes what is in the files, if it changed and is good. Never rejects. */
  async look(): Promise<void> {
    const { pairs, log } = this.#options
    let tried = 'unreadable'
    try {
      const text = await read(pairs)
      tried = JSON.stringify(text)
      if (tried === this.#tried) return
      const loaded = text.map(load)
      if (this.#expired(loaded)) throw new Error('the new certificate is out of date')
      this.#loaded = loaded
      this.#metrics.reloaded('ok')
      this.#metrics.expiry(loaded)
      log.info({ certificates: pairs.map(({ cert }) => cert) }, 'new certificates taken')
    } catch (error) {
      if (tried === this.#tried) return
      this.#metrics.reloaded('failed')
      log.warn({ err: error }, 'the new certificates are not good; the last good ones stay in use')
    } finally {
      this.#tried = tried
    }
  }

  #expired(loaded: readonly Loaded[]): boolean {
    return loaded.some(({ certificate }) => certificate.validToDate.getTime() <= this.#options.clock.now())
  }
}

interface PairText {
  cert: string
  key: string
}

const read = (pairs: readonly KeyPair[]): Promise<PairText[]> =>
  Promise.all(
    pairs.map(async ({ cert, key }) => ({ cert: await readFile(cert, 'utf8'), key: await readFile(key, 'utf8') })),
  )

/** Throws where the two are no pair. */
function load({ cert, key }: PairText): Loaded {
  const certificate = new X509Certificate(cert)
  // RFC 8996 4 and 5: nothing older than TLS 1.2.
  const context = createSecureContext({ cert, key, minVersion: 'TLSv1.2', honorCipherOrder: true })
  return { certificate, context }
}

/** Declares the metrics in `registry`; once for each registry. */
export function certificateMetrics(registry: Registry) {
  const registers = [registry]
  const reloads = new Counter({
    name: 'mail_ingest_tls_reloads_total',
    help: 'Changes of the certificate files, by whether they were taken.',
    labelNames: ['result'] as const,
    registers,
  })
  const failing = new Gauge({
    name: 'mail_ingest_tls_reload_failing',
    help: '1 while the certificate files hold something that is not used.',
    registers,
  })
  const expiry = new Gauge({
    name: 'mail_ingest_tls_certificate_expiry_timestamp_seconds',
    help: 'When the first of the certificates in use ends.',
    registers,
  })
  for (const result of ['ok', 'failed']) reloads.inc({ result }, 0)
  failing.set(0)
  expiry.set(0)
  return {
    reloaded(result: 'ok' | 'failed') {
      reloads.inc({ result })
      failing.set(result === 'ok' ? 0 : 1)
    },
    expiry: (loaded: readonly Loaded[]) =>
      expiry.set(Math.min(...loaded.map(({ certificate }) => certificate.validToDate.getTime())) / 1000),
  }
}
