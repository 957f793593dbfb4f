// What a tenant may have, and whether there is room for more. Pure.

/** Null: no such quota. A day is one of UTC. Bytes are those of messages as received. */
export interface Quotas {
  messagesPerDay: number | null
  bytesPerDay: number | null
  storedBytes: number | null
}

/** Messages and bytes that came on a day, and bytes that are kept. */
export interface Usage {
  messages: number
  bytes: number
  storedBytes: number
}

export type Quota = keyof Quotas

/** What of the usage each quota limits. */
const USED: Record<Quota, keyof Usage> = {
  messagesPerDay: 'messages',
  bytesPerDay: 'bytes',
  storedBytes: 'storedBytes',
}
const QUOTAS = Object.keys(USED) as Quota[]

/** Whoever has used so much of a quota is told of. */
const NEAR = 0.8

const DAY_MS = 86_400_000

/** The UTC day of a time in milliseconds, counted from 1970. */
export const dayOf = (ms: number): number => Math.floor(ms / DAY_MS)

/** The quota that one more message goes over, of the bytes that it was said to have; undefined where it fits. */
export function exceeded(quotas: Quotas, usage: Usage, declaredBytes: number): Quota | undefined {
  // What does not say its size has at least one.
  const bytes = Math.max(1, declaredBytes)
  const more: Usage = { messages: 1, bytes, storedBytes: bytes }
  return QUOTAS.find((quota) => usage[USED[quota]] + more[USED[quota]] > (quotas[quota] ?? Infinity))
}

/** How much of each quota is used, 1 for all of it; null where there is no quota. */
export const quotaShares = (quotas: Quotas, usage: Usage): Record<Quota, number | null> => ({
  messagesPerDay: shareOf(quotas, usage, 'messagesPerDay'),
  bytesPerDay: shareOf(quotas, usage, 'bytesPerDay'),
  storedBytes: shareOf(quotas, usage, 'storedBytes'),
})

function shareOf(quotas: Quotas, usage: Usage, quota: Quota): number | null {
  const most = quotas[quota]
  return most === null ? null : usage[USED[quota]] / most
}

/** `near`: 80 % of a quota or more. `over`: all of it. */
export const QUOTA_LEVELS = ['ok', 'near', 'over'] as const
export type QuotaLevel = (typeof QUOTA_LEVELS)[number]

/** By the quota of which most is used. */
export function quotaLevel(quotas: Quotas, usage: Usage): QuotaLevel {
  const most = Math.max(...Object.values(quotaShares(quotas, usage)).map((share) => share ?? 0))
  return most >= 1 ? 'over' : most >= NEAR ? 'near' : 'ok'
}
