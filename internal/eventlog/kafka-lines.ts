// What kafkajs says of itself, as lines of our log: everyday trouble quietly, and what it repeats once a minute.

import kafkajs, { type LogEntry } from 'kafkajs'
import type { Log } from '../ports/ports.ts'

/** What kafkajs calls an error and is everyday: members come and go, coordinators move, brokers restart. */
const EVERYDAY =
  /rebalanc|coordinator|not aware of this member|re-?join|Response Heartbeat|Connection (error|timeout)|Closed connection/i
/** It asks ten times a second for a topic that is not there, and says so each time. */
const EVERY_MS = 60_000
/** Kinds of lines that are remembered. */
const KINDS_MAX = 100

/** A line of one kind that was told. */
interface Told {
  at: number
  /** How often it came since then. */
  repeated: number
}

/** Takes the lines of one client. Quiet ones are `debug`; a loud one tells how often its kind came since the last. */
export function kafkaLines(log: Log): (entry: LogEntry) => void {
  const kinds = new Map<string, Told>()
  return ({ namespace, level, log: line }) => {
    const { message, timestamp, logger: _logger, stack: _stack, ...fields } = line
    const text = `${message} ${String(fields['error'] ?? '')}`
    const facts = { ...fields, kafka: namespace, said: message }
    const isLoud = level <= kafkajs.logLevel.ERROR && !EVERYDAY.test(text)
    const kind = `${namespace} ${text}`.replaceAll(/\d+/g, '')
    const repeated = isLoud ? toldBefore(kinds, kind, Date.parse(timestamp)) : undefined
    if (repeated === undefined) log.debug(facts, 'the Kafka client says')
    else log.warn({ ...facts, ...(repeated > 0 && { repeated }) }, 'the Kafka client says')
  }
}

/** How often a kind came since it was told last, which it is now; undefined if that was a moment ago. */
function toldBefore(kinds: Map<string, Told>, kind: string, at: number): number | undefined {
  const last = kinds.get(kind)
  if (last !== undefined && at - last.at < EVERY_MS) {
    last.repeated += 1
    return undefined
  }
  if (kinds.size >= KINDS_MAX) kinds.clear()
  kinds.set(kind, { at, repeated: 0 })
  return last?.repeated ?? 0
}
