// Package scanner asks a malware scanner about the bytes of a message.
//
// Contract: `clean` and `infected` are about all of the bytes. Whatever keeps the scanner from saying so rejects with ScannerError, and
// then nothing is known of the message: what follows from that is for the caller's policy to say. Bytes flow through in pieces; nothing
// here holds a message.

export { measured } from './measured.ts'
export { ScannerError, type ScannerFault, type Verdict } from './outcome.ts'
export { watchScanner } from './watch.ts'

import type { Verdict } from './outcome.ts'

export interface Scanner {
  /**
   * Reads `body` to its end, or no further than the scanner wants. Rejects with ScannerError, also when `signal` aborts, and with
   * what `body` rejects with.
   */
  scan(body: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<Verdict>
  /** What answers there, for people. Rejects with ScannerError. */
  version(): Promise<string>
}

/** What is done while the scanner is down: `defer` waits for it, `accept` goes on without and scans later. */
export type WhileDown = 'defer' | 'accept'
