// What a tenant has of what it may have, for people and for programs.

import { quotaShares } from '../directory/directory.ts'
import { dayOf, type Quotas, type Usage } from '../store/store.ts'
import { countText, sizeText } from './quantity.ts'

const DAY_MS = 86_400_000

const percent = (share: number): number => Math.floor(share * 100)

/** Quotas and usage; percents are null where there is no quota. */
export function quotaJson(quotas: Quotas, usage: Usage, now: number) {
  const shares = Object.entries(quotaShares(quotas, usage))
  const percents = shares.map(([quota, share]) => [quota, share === null ? null : percent(share)] as const)
  const day = new Date(dayOf(now) * DAY_MS).toISOString().slice(0, 10)
  return { quotas, usage: { day, ...usage, percent: Object.fromEntries(percents) } }
}

/** The fullest quota: `83 %`; a dash where there is none. */
export function quotaText({ usage, ...quotas }: Quotas & { usage: Usage }): string {
  const shares = Object.values(quotaShares(quotas, usage)).filter((share) => share !== null)
  return shares.length === 0 ? '-' : `${percent(Math.max(...shares))} %`
}

/** What there is of each, with its quota if there is one. */
export function quotaFacts(quotas: Quotas, usage: Usage): [string, string][] {
  const { messagesPerDay, bytesPerDay, storedBytes } = quotaShares(quotas, usage)
  const line = (used: string, share: number | null, most: string): string =>
    share === null ? used : `${used}, ${percent(share)} % of ${most}`
  return [
    ['messages today', line(countText(usage.messages, 'message'), messagesPerDay, String(quotas.messagesPerDay))],
    ['bytes today', line(sizeText(usage.bytes), bytesPerDay, sizeText(quotas.bytesPerDay ?? 0))],
    ['stored', line(sizeText(usage.storedBytes), storedBytes, sizeText(quotas.storedBytes ?? 0))],
  ]
}
