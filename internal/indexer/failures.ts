// What an error that ended a try says: whether all messages lack something, and what a message comes to when nothing helps.

import { isUnavailable } from '../store/store.ts'
import type { FailureReason, Judgement } from './facts.ts'
import { Fault, Outage, type Need } from './trouble.ts'

/** What all messages need and this one did not get; undefined where its trouble is its own. */
export function lackedBy(error: unknown): Need | undefined {
  if (error instanceof Outage) return error.need
  return isUnavailable(error) ? 'store' : undefined
}

/** An outage that turned out to be one message's. */
const lasting = (need: Need): FailureReason => (need === 'scan' ? 'unscannable' : 'unreachable')

/** What a message comes to when its last try ended so. */
export function failure(error: unknown, attempts: number): Judgement {
  const reason = error instanceof Fault ? error.reason : error instanceof Outage ? lasting(error.need) : 'internal'
  const message = error instanceof Error ? error.message : String(error)
  const meta = error instanceof Fault ? error.meta : undefined
  return { kind: 'failed', reason, detail: { message, attempts }, ...(meta && { meta }) }
}
