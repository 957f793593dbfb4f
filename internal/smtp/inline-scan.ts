// A scan for malware between the last octet of a mail and its reply, from what lies in the spool already: a sender that takes its time
// holds no connection of the scanner.

import type { Envelope } from '../envelope/envelope.ts'
import { ScannerError, type Scanner, type Verdict, type WhileDown } from '../scanner/scanner.ts'
import type { House } from './house.ts'
import type { ReplyName } from './replies.ts'

export interface InlineScan {
  scanner: Scanner
  down: WhileDown
  /** What an infected message gets. In quarantine it is put by the indexer. */
  infected: 'reject' | 'quarantine'
}

export interface Scannable {
  entryId: string
  content: AsyncIterable<Uint8Array>
}

/** Why the mail is refused, or what its envelope says of the scan. Rejects when the content cannot be read. */
export async function scanInline(
  { inlineScan, log }: House,
  { entryId, content }: Scannable,
): Promise<{ refusal: ReplyName } | Pick<Envelope, 'scan'>> {
  if (inlineScan === undefined) return {}
  const { scanner, down } = inlineScan
  try {
    const found = await scanner.scan(content)
    if (found.verdict === 'infected') log.warn({ entryId, signature: found.signature }, 'malware in a message')
    return consequence(found, inlineScan)
  } catch (error) {
    if (!(error instanceof ScannerError)) throw error
    log.warn({ err: error, entryId }, 'a message could not be scanned before its reply')
    return down === 'defer' ? { refusal: 'scanner_down' } : {}
  }
}

function consequence(found: Verdict, { infected }: InlineScan): { refusal: ReplyName } | Pick<Envelope, 'scan'> {
  switch (found.verdict) {
    case 'clean':
      return { scan: { verdict: 'clean' } }
    case 'infected':
      return infected === 'reject' ? { refusal: 'malware' } : { scan: found }
    case 'too_large':
      // Not known; the indexer flags it.
      return {}
  }
}
