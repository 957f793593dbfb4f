// What a tenant's policy makes of what was found out about a sender. Pure.
//
// One transaction has one reply: it is refused when every tenant of it refuses. Where some take it, those that would refuse it have it
// quarantined, since a reply of 5xx would be untrue for the others.

import type { Directory } from '../directory/directory.ts'
import {
  parsePath,
  POLICY_ACTIONS,
  type Authentication,
  type Listing,
  type PolicyAction,
  type PolicyRule,
  type PolicyVerdict,
  type SenderPolicy,
} from '../envelope/envelope.ts'

/** What the DNS could not tell now may say otherwise tomorrow, so nothing that hangs on it is held against the sender. */
const APPLIES: Record<PolicyRule, (found: Authentication) => boolean> = {
  unreachable: ({ senderDomain }) => senderDomain?.result === 'null_mx' || senderDomain?.result === 'unknown',
  spf_fail: ({ spf }) => spf.result === 'fail',
  dmarc_reject: (found) => found.dmarc.result === 'fail' && found.dmarc.policy === 'reject' && settled(found),
  unauthenticated: (found) =>
    settled(found) && found.spf.result !== 'pass' && found.dkim.every(({ result }) => result !== 'pass'),
}

const settled = ({ spf, dkim }: Authentication): boolean =>
  spf.result !== 'temperror' && dkim.every(({ result }) => result !== 'temperror')

export interface Decision {
  rule: PolicyRule
  action: Exclude<PolicyAction, 'none'>
}

/** The strictest of a tenant's rules that apply; of equals the first in the table. */
export function decide(policy: SenderPolicy, found: Authentication): Decision | undefined {
  const decisions = Object.entries(APPLIES).flatMap(([name, applies]): Decision[] => {
    const rule = name as PolicyRule
    const action = policy[rule]
    return action !== 'none' && applies(found) ? [{ rule, action }] : []
  })
  return decisions.toSorted((a, b) => strictness(b) - strictness(a))[0]
}

const strictness = ({ action }: Decision): number => POLICY_ACTIONS.indexOf(action)

/** What is replied where all tenants refuse; a rule's name is its reply's, but for `unreachable`, of which there are two kinds. */
type Refusal = Exclude<PolicyRule, 'unreachable'> | 'sender_null_mx' | 'sender_unknown'

const refusalOf = (rule: PolicyRule, { senderDomain }: Authentication): Refusal => {
  if (rule !== 'unreachable') return rule
  return senderDomain?.result === 'null_mx' ? 'sender_null_mx' : 'sender_unknown'
}

/** How all tenants refuse, or what each made of it. */
export type Judged = { refused: Refusal } | { verdicts: ReadonlyMap<string, PolicyVerdict> }

/** Judges a mail for all its tenants. What a tenant allows by name its policy passes over. */
export function judge(
  directory: Pick<Directory, 'policy' | 'listing'>,
  { mailFrom, tenants }: { mailFrom: string; tenants: readonly string[] },
  found: Authentication,
): Judged {
  const verdicts = new Map<string, PolicyVerdict>()
  const refusals: PolicyRule[] = []
  for (const tenant of tenants) {
    const allowed = listed(directory, tenant, mailFrom) === 'allow'
    const decision = allowed ? undefined : decide(directory.policy(tenant), found)
    if (decision === undefined) continue
    const { rule, action } = decision
    if (action === 'reject') refusals.push(rule)
    verdicts.set(tenant, { rule, action: action === 'reject' ? 'quarantine' : action })
  }
  const [refused] = refusals
  return refused !== undefined && refusals.length === tenants.length
    ? { refused: refusalOf(refused, found) }
    : { verdicts }
}

/** What a tenant says of the sender by name. Nothing of the null sender: a bounce may come from anybody. */
export function listed(directory: Pick<Directory, 'listing'>, tenant: string, mailFrom: string): Listing | undefined {
  const sender = parsePath(mailFrom)
  return sender ? directory.listing(tenant, sender) : undefined
}
