// Scanning a message for malware while it is read: the same bytes flow to the hash, to the parser and to the scanner, once.

import { PassThrough } from 'node:stream'
import { ScannerError, type Scanner, type Verdict, type WhileDown } from '../scanner/scanner.ts'

export interface Scanning {
  scanner: Scanner
  down: WhileDown
}

/** A verdict, or why there is none. */
export type Scanned = Verdict | { verdict: 'down'; error: ScannerError }

/** A scan of what passes on its way to another reader. Whoever is slower sets the pace; when the scan ends before, the other reads on. */
export class ScanBeside {
  /** Never rejects: bytes that do not come to their end are their reader's to tell of, and `down` here. */
  readonly scanned: Promise<Scanned>
  readonly #copy = new PassThrough()

  constructor(scanner: Scanner, signal: AbortSignal) {
    this.scanned = this.#scan(scanner, signal)
  }

  /** Calls `next` when the next bytes may come. */
  take(chunk: Buffer, next: () => void): void {
    if (this.#copy.destroyed || this.#copy.write(chunk)) return next()
    const go = () => {
      this.#copy.off('drain', go).off('close', go)
      next()
    }
    this.#copy.once('drain', go).once('close', go)
  }

  /** All bytes have passed. */
  end(): void {
    this.#copy.end()
  }

  /** No more will come, or they came before. */
  close(): void {
    if (!this.#copy.writableEnded) this.#copy.destroy()
  }

  async #scan(scanner: Scanner, signal: AbortSignal): Promise<Scanned> {
    try {
      return await scanner.scan(this.#copy, signal)
    } catch (cause) {
      const error =
        cause instanceof ScannerError ? cause : new ScannerError('failed', 'not all of it was read', { cause })
      return { verdict: 'down', error }
    } finally {
      this.#copy.destroy()
    }
  }
}
