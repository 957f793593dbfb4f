// What a tenant makes of senders: its policy, and those it allows or blocks by name.

import {
  NO_POLICY,
  parseMailbox,
  type Listing,
  type PolicyAction,
  type PolicyRule,
  type SenderPolicy,
} from '../envelope/envelope.ts'
import { cleanDomain } from './addresses.ts'
import type { Queries } from './database.ts'
import { directoryChanged } from './directory-version.ts'
import { StoreError } from './errors.ts'
import type { PolicyLine, ListedSender } from './rows.ts'
import { getTenant } from './tenants.ts'

/** Names a row for `after`; a slug has no blank. */
export const policyKey = ({ tenant, rule }: PolicyLine): string => `${tenant} ${rule}`
export const senderKey = ({ tenant, sender }: ListedSender): string => `${tenant} ${sender}`

const partsOf = (key: string): [tenant: string, rest: string] => {
  const blank = key.indexOf(' ')
  return [key.slice(0, blank), key.slice(blank + 1)]
}

/** The lines of all policies that were set, in order. */
export async function listPolicyLines(
  on: Queries,
  want: { after?: string; limit?: number } = {},
): Promise<PolicyLine[]> {
  let query = on.kysely
    .selectFrom('senderPolicies')
    .select(['tenant', 'rule', 'action'])
    .orderBy('tenant')
    .orderBy('rule')
    .limit(want.limit ?? 1000)
  if (want.after !== undefined) {
    const [tenant, rule] = partsOf(want.after)
    query = query.where((each) =>
      each.or([
        each('tenant', '>', tenant),
        each.and([each('tenant', '=', tenant), each('rule', '>', rule as PolicyRule)]),
      ]),
    )
  }
  return query.execute()
}

/** `not_found` tenant. */
export async function getPolicy(on: Queries, tenant: string): Promise<SenderPolicy> {
  await getTenant(on, tenant)
  const lines = await on.kysely
    .selectFrom('senderPolicies')
    .select(['rule', 'action'])
    .where('tenant', '=', tenant)
    .execute()
  return { ...NO_POLICY, ...Object.fromEntries(lines.map(({ rule, action }) => [rule, action])) }
}

/** Changes the rules that are given. `not_found` tenant. */
export async function setPolicy(
  on: Queries,
  tenant: string,
  change: { rules: Partial<Record<PolicyRule, PolicyAction>>; now: number },
): Promise<SenderPolicy> {
  await getTenant(on, tenant)
  const lines = Object.entries(change.rules) as [PolicyRule, PolicyAction][]
  for (const [rule, action] of lines) {
    await on.kysely
      .insertInto('senderPolicies')
      .values({ tenant, rule, action, updatedAt: change.now })
      .onConflict((found) => found.columns(['tenant', 'rule']).doUpdateSet({ action, updatedAt: change.now }))
      .execute()
  }
  if (lines.length > 0) await directoryChanged(on)
  return getPolicy(on, tenant)
}

/** `local@domain` or a domain, as it is kept: local parts are matched without case, domains are A-labels. `invalid`. */
function cleanSender(text: string): string {
  if (!text.includes('@')) return cleanDomain(text)
  const parsed = parseMailbox(text)
  if (parsed === undefined) throw new StoreError('invalid', `not an address: ${JSON.stringify(text)}`)
  return `${parsed.local.toLowerCase()}@${cleanDomain(parsed.domain)}`
}

/** Allows or blocks a sender; what was said of it before is replaced. `invalid`, `not_found` tenant. */
export async function listSender(
  on: Queries,
  given: { tenant: string; sender: string; listing: Listing; now: number },
): Promise<ListedSender> {
  const { tenant, listing, now: updatedAt } = given
  const sender = cleanSender(given.sender)
  await getTenant(on, tenant)
  await on.kysely
    .insertInto('senders')
    .values({ tenant, sender, listing, updatedAt })
    .onConflict((found) => found.columns(['tenant', 'sender']).doUpdateSet({ listing, updatedAt }))
    .execute()
  await directoryChanged(on)
  return { tenant, sender, listing, updatedAt }
}

/** Senders of one tenant or of all, in order. */
export async function listSenders(
  on: Queries,
  want: { tenant?: string; after?: string; limit?: number } = {},
): Promise<ListedSender[]> {
  let query = on.kysely
    .selectFrom('senders')
    .selectAll()
    .orderBy('tenant')
    .orderBy('sender')
    .limit(want.limit ?? 1000)
  if (want.tenant !== undefined) query = query.where('tenant', '=', want.tenant)
  if (want.after !== undefined) {
    const [tenant, sender] = partsOf(want.after)
    query = query.where((each) =>
      each.or([each('tenant', '>', tenant), each.and([each('tenant', '=', tenant), each('sender', '>', sender)])]),
    )
  }
  return query.execute()
}

/** `not_found` if the tenant says nothing of it. */
export async function unlistSender(on: Queries, given: { tenant: string; sender: string }): Promise<void> {
  const sender = cleanSender(given.sender)
  const { numDeletedRows } = await on.kysely
    .deleteFrom('senders')
    .where('tenant', '=', given.tenant)
    .where('sender', '=', sender)
    .executeTakeFirst()
  if (numDeletedRows === 0n) throw new StoreError('not_found', `tenant ${given.tenant} lists no sender ${sender}`)
  await directoryChanged(on)
}
