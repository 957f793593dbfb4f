// Content that follows a command, as the connection feeds it: what a session answers when it wants more than lines.

import type { Reply } from './replies.ts'

/** One call at a time; `end` is the last. */
export interface Intake {
  /** Said before the content comes: 354. BDAT has no such reply (RFC 3030 2). */
  readonly invitation?: Reply
  /** So many octets follow, kept as they are; undefined: lines up to CRLF . CRLF. */
  readonly octets?: number
  /** Never rejects. */
  write(chunk: Buffer): Promise<void>
  /** The client goes on so far past the limit that nobody waits for the end. */
  readonly runaway: boolean
  /** All is here. `bare`: a CR or LF outside CRLF was in it. Rejects on bugs, and then nothing is held. */
  end(bare: boolean): Promise<Reply>
}

/** Takes what was announced, keeps nothing, then gives the answer that was clear before (case 83 of the SMTP cases). */
export function swallow(octets: number, octetsMax: number, answer: Reply): Intake {
  let seen = 0
  return {
    octets,
    write: async (chunk) => void (seen += chunk.length),
    get runaway() {
      return seen > octetsMax
    },
    end: async () => answer,
  }
}
