// Who sent a message, as far as it could be found out (RFC 8601 2.7), and what its recipients' tenants make of it.

export const SPF_RESULTS = ['none', 'neutral', 'pass', 'fail', 'softfail', 'temperror', 'permerror'] as const
export const DKIM_RESULTS = ['none', 'pass', 'fail', 'policy', 'neutral', 'temperror', 'permerror'] as const
export const DMARC_RESULTS = ['none', 'pass', 'fail', 'temperror', 'permerror'] as const
export const ARC_RESULTS = ['none', 'pass', 'fail', 'temperror', 'permerror'] as const
export const IPREV_RESULTS = ['pass', 'fail', 'temperror', 'permerror'] as const
/** `null_mx`: it says that it takes no mail (RFC 7505 3). `unknown`: it is not there, or has neither MX nor address. */
export const SENDER_DOMAIN_RESULTS = ['reachable', 'null_mx', 'unknown', 'temperror'] as const

/** `temperror`: the DNS did not tell in time; another try may come to something else. */
export interface Authentication {
  /** `helo` is checked where the sender is null (RFC 7208 2.4). */
  spf: { result: (typeof SPF_RESULTS)[number]; identity: 'mailfrom' | 'helo'; domain: string }
  /** One for each signature; a single `none` without any. */
  dkim: { result: (typeof DKIM_RESULTS)[number]; domain: string; selector: string }[]
  arc: { result: (typeof ARC_RESULTS)[number] }
  /** `policy`: what the author's domain asks for mail that fails. */
  dmarc: { result: (typeof DMARC_RESULTS)[number]; domain: string; policy?: 'none' | 'quarantine' | 'reject' }
  /** `name`: the client's name, where it leads back to its address (RFC 8601 3). */
  iprev: { result: (typeof IPREV_RESULTS)[number]; name?: string }
  /** Whether mail could be sent back; absent for the null sender and for address literals. */
  senderDomain?: { result: (typeof SENDER_DOMAIN_RESULTS)[number]; domain: string }
}

/** What a tenant may have an opinion on. */
export const POLICY_RULES = {
  unreachable: 'the sender’s domain takes no mail (null MX) or is not there, so nobody can be answered',
  spf_fail: 'the sender’s domain says that this client does not send for it (SPF -all)',
  dmarc_reject: 'the author’s domain asks to reject mail that fails DMARC, and this one did',
  unauthenticated: 'neither SPF nor a DKIM signature says who sent it',
} as const satisfies Record<string, string>
export type PolicyRule = keyof typeof POLICY_RULES

/** Mildest first. */
export const POLICY_ACTIONS = ['none', 'tag', 'quarantine', 'reject'] as const
export type PolicyAction = (typeof POLICY_ACTIONS)[number]

/** A tenant's table. */
export type SenderPolicy = Readonly<Record<PolicyRule, PolicyAction>>

export const NO_POLICY: SenderPolicy = {
  unreachable: 'none',
  spf_fail: 'none',
  dmarc_reject: 'none',
  unauthenticated: 'none',
}

/** What a tenant's table says of senders by name; an address comes before its domain. */
export const LISTINGS = ['allow', 'block'] as const
export type Listing = (typeof LISTINGS)[number]

/** What was decided at the door for one recipient of an accepted message. */
export interface PolicyVerdict {
  rule: PolicyRule
  action: 'tag' | 'quarantine'
}
