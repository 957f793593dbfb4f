// The life of a message (R17) as a table. RECEIVED has no row: the message is still in a spool or on its way.

export const MESSAGE_STATUSES = ['STORED', 'PARSED', 'QUARANTINED', 'FAILED', 'DUPLICATE'] as const
export type MessageStatus = (typeof MESSAGE_STATUSES)[number]

/**
 * What happens to a message. `consumed`: its event was seen and the outcome is still open. `promoted`: the first with its header
 * id went away, so this one is to be processed. `demoted`: an older message with its header id came later.
 */
export const MESSAGE_MOVES = [
  'consumed',
  'parsed',
  'repeated',
  'quarantined',
  'gave_up',
  'demoted',
  'promoted',
  'forced',
] as const
export type MessageMove = (typeof MESSAGE_MOVES)[number]

type Moves = Partial<Record<MessageMove, MessageStatus>>

// Every state can be tried again by hand, and a newer parser may judge otherwise.
const JUDGED = { parsed: 'PARSED', repeated: 'DUPLICATE', quarantined: 'QUARANTINED' } as const
const OUTCOMES = { ...JUDGED, gave_up: 'FAILED' } as const

export const NEXT = {
  RECEIVED: { consumed: 'STORED', ...OUTCOMES },
  STORED: { ...OUTCOMES, forced: 'PARSED', consumed: 'STORED' },
  // What was processed once stays so when its bytes cannot be read for another try.
  PARSED: { ...JUDGED, demoted: 'DUPLICATE', forced: 'PARSED' },
  QUARANTINED: { ...OUTCOMES, forced: 'PARSED' },
  FAILED: { ...OUTCOMES, forced: 'PARSED' },
  DUPLICATE: { ...JUDGED, promoted: 'STORED', forced: 'PARSED' },
} as const satisfies Record<MessageStatus | 'RECEIVED', Moves>

/** The status after `move`, or undefined where the table has no such move. */
export function nextStatus(from: MessageStatus | 'RECEIVED', move: MessageMove): MessageStatus | undefined {
  const moves: Moves = NEXT[from]
  return moves[move]
}

/** The life of a mail on its way out. `sending`: one process has it. A failed one stays, so that it can be tried again by hand. */
export const OUTBOUND_STATES = ['pending', 'sending', 'sent', 'failed'] as const
export type OutboundState = (typeof OUTBOUND_STATES)[number]

/** What happens to it. `lost`: the process that had it went away, and nobody knows whether the server took it. */
export const OUTBOUND_NEXT = {
  claimed: { from: 'pending', to: 'sending' },
  accepted: { from: 'sending', to: 'sent' },
  deferred: { from: 'sending', to: 'pending' },
  refused: { from: 'sending', to: 'failed' },
  lost: { from: 'sending', to: 'pending' },
  retried: { from: 'failed', to: 'pending' },
} as const satisfies Record<string, { from: OutboundState; to: OutboundState }>
export type OutboundMove = keyof typeof OUTBOUND_NEXT
