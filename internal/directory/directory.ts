// Package directory knows who may receive what. The store's refresher writes a snapshot file, smtpd reads it: mail is accepted
// while the store is down, and the last good snapshot serves for as long as it takes (R3).
//
// The rules are here and pure; where the rows come from is the adapter's matter (snapshot.ts).

import {
  addressKey,
  NO_POLICY,
  type Listing,
  type Mailbox,
  type PolicyAction,
  type PolicyRule,
  type SenderPolicy,
} from '../envelope/envelope.ts'

export { checkSecret, hashSecret, SALT_BYTES } from './secret.ts'
export { quotaLevel, QUOTA_LEVELS, quotaShares, type QuotaLevel } from './quotas.ts'

export interface TenantRow {
  /** Kebab-case, case-sensitive. */
  slug: string
  /** Largest message in bytes; null leaves the deployment's limit. */
  sizeMax: number | null
  enabled: boolean
}

/** `pending`: not yet proven to be its tenant's. `mx_lost`: its MX leads elsewhere for now. Both wait at the sender (R28). */
export type DomainState = 'pending' | 'active' | 'mx_lost' | 'suspended'

export interface DomainRow {
  /** Lower-case A-labels. */
  domain: string
  /** Slug; null for a domain that tenants share. */
  tenant: string | null
  state: DomainState
  /** Mailbox that gets what would go to an unknown one; null for none. */
  catchAll: string | null
  /** Nobody is told who is here: mail to others is taken like mail to those, and let go. */
  antiEnumeration: boolean
}

export interface MailboxRow {
  /** `local@domain`, compared by its `addressKey`. */
  address: string
  tenant: string
  enabled: boolean
}

/** One line of a tenant's table; what has none is not acted upon. */
export interface PolicyRow {
  tenant: string
  rule: PolicyRule
  action: PolicyAction
}

/** A sender that a tenant named: `local@domain` or a domain, in lower case, domains in A-labels. */
export interface SenderRow {
  tenant: string
  sender: string
  listing: Listing
}

/** Who may submit mail. Revoked ones have no row. */
export interface CredentialRow {
  /** What a client logs in with, lower-case. */
  name: string
  tenant: string
  /** As `hashSecret` made it. */
  secretHash: string
  /** Addresses and domains, lower-case; empty for all of the tenant's. */
  sendAs: readonly string[]
}

export type DirectoryRow =
  | ({ kind: 'tenant' } & TenantRow)
  | ({ kind: 'domain' } & DomainRow)
  | ({ kind: 'mailbox' } & MailboxRow)
  | ({ kind: 'policy' } & PolicyRow)
  | ({ kind: 'sender' } & SenderRow)
  | ({ kind: 'credential' } & CredentialRow)

/** Everything a snapshot is made from, in any order; read once and never held as a whole. */
export type DirectoryRows = Iterable<DirectoryRow> | AsyncIterable<DirectoryRow>

/** Where mail for one address goes, or why it does not. `discard`: nowhere, and the sender is not to know. */
export type Route =
  | { kind: 'mailbox'; tenant: string; mailbox: string; sizeMax?: number }
  | { kind: 'discard'; tenant: string | null; sizeMax?: number }
  | { kind: 'unknown_mailbox' }
  | { kind: 'unknown_tenant' }
  | { kind: 'not_ours' }
  | { kind: 'disabled' }
  | { kind: 'mx_lost' }
  | { kind: 'suspended' }
  | { kind: 'unavailable' }

/** What smtpd asks. Never throws: trouble of ours is `unavailable`, and makes nobody's policy. */
export interface Directory {
  route(mailbox: Mailbox): Route
  /** Slug of the tenant that is to hear of a refusal of this address; undefined where there is none, or where it is not known now. */
  concerns(mailbox: Mailbox): string | undefined
  policy(tenant: string): SenderPolicy
  /** What the tenant says of a sender by name: of the address, or else of its domain. */
  listing(tenant: string, sender: Mailbox): Listing | undefined
  /** The credential with this name, and whether its tenant is enabled. */
  credential(name: string): Login
  /** Whether the credential of this name is still good and may send as `sender`. */
  maySendAs(name: string, sender: Mailbox): 'yes' | 'no' | 'unavailable'
}

/** What smtpd asks and tells about quotas. Never throws. */
export interface TenantQuotas {
  /** Whether a tenant may have one more message, of so many bytes; 0 where nobody said how many. */
  hasRoom(tenant: string, declaredBytes: number): boolean
  /** A tenant has one more message. */
  accepted(mail: AcceptedMail): void
}

export interface AcceptedMail {
  /** Of the tenant's message, not of the entry. */
  messageId: string
  tenant: string
  sizeBytes: number
  receivedAtMs: number
}

/** What is known of a name that somebody logs in with. */
export type Login =
  | { kind: 'credential'; credential: CredentialRow; enabled: boolean }
  | { kind: 'unknown' }
  | { kind: 'unavailable' }

export interface DirectorySettings {
  /** The hosted domain, whose `<prefix>+<slug>` addresses route to tenants. Lower-case A-labels. */
  hostedDomain: string
  /** Local part before the plus, lower case. */
  plusPrefix: string
  /** Gets postmaster@ and abuse@ of every hosted domain that has none of its own. */
  postmaster: Mailbox
}

/** The lookups that the rules need; each is one indexed read. Keys are A-labels, `addressKey`s and exact slugs. */
export interface Lookups {
  tenant(slug: string): TenantRow | undefined
  domain(domain: string): DomainRow | undefined
  mailbox(address: string): MailboxRow | undefined
  credential(name: string): CredentialRow | undefined
}

/** What policies need, indexed reads as well. */
export interface SenderLookups {
  policies(tenant: string): readonly PolicyRow[]
  sender(tenant: string, sender: string): SenderRow | undefined
}

export const policyBy = (lookups: SenderLookups, tenant: string): SenderPolicy => ({
  ...NO_POLICY,
  ...Object.fromEntries(lookups.policies(tenant).map(({ rule, action }) => [rule, action])),
})

export const listingBy = (lookups: SenderLookups, tenant: string, { local, domain }: Mailbox): Listing | undefined =>
  (lookups.sender(tenant, `${local.toLowerCase()}@${domain}`) ?? lookups.sender(tenant, domain))?.listing

const SLUG = /^[a-z0-9]+(-[a-z0-9]+)*$/
/** RFC 5321 4.5.1 and RFC 2142 4: always there, in any case. */
const ROLE = /^(postmaster|abuse)$/i
/** Somebody has to be reached about a domain, whatever the state of it and of its tenant. */
export const isRole = ({ local }: Pick<Mailbox, 'local'>): boolean => ROLE.test(local)
const HIDDEN: ReadonlySet<Route['kind']> = new Set(['unknown_mailbox', 'unknown_tenant', 'disabled'])
const UNAVAILABLE: Route = { kind: 'unavailable' }

/** Where mail for `mailbox` goes by what `lookups` says now. Throws what a lookup throws. */
export function routeBy(settings: DirectorySettings, lookups: Lookups, mailbox: Mailbox): Route {
  if (mailbox.domain === '') return toPostmaster(settings, lookups)
  const domain = lookups.domain(mailbox.domain)
  if (domain === undefined && mailbox.domain !== settings.hostedDomain) return { kind: 'not_ours' }
  if (domain?.state === 'pending') return UNAVAILABLE
  const own = isRole(mailbox) ? mailboxRoute(lookups, mailbox) : undefined
  // RFC 5321 4.5.1: also where the domain is suspended or lost its MX, so that its owner can be told about it.
  if (own !== undefined) return own.kind === 'mailbox' ? own : toPostmaster(settings, lookups)
  if (domain?.state === 'mx_lost' || domain?.state === 'suspended') return { kind: domain.state }
  const route = ordinaryRoute(settings, lookups, mailbox)
  if (domain === undefined) return route
  const caught = route.kind === 'unknown_mailbox' && domain.catchAll !== null
  return hidden(lookups, domain, caught ? rowRoute(lookups, lookups.mailbox(domain.catchAll ?? '')) : route)
}

/**
 * Whose address it is, whether anybody has it or not. Where nobody is to know who is here, it is the domain's owner for all alike; a domain
 * that is not proven to be its tenant's is nobody's.
 */
export function ownerBy(settings: DirectorySettings, lookups: Lookups, mailbox: Mailbox): string | undefined {
  const domain = lookups.domain(mailbox.domain)
  if (domain?.state === 'pending' || (domain === undefined && mailbox.domain !== settings.hostedDomain))
    return undefined
  const owner = domain?.tenant ?? undefined
  if (domain?.antiEnumeration === true) return owner
  const slug = slugOf(settings, mailbox)
  if (slug !== undefined) return SLUG.test(slug) ? lookups.tenant(slug)?.slug : undefined
  return mailboxRow(lookups, mailbox)?.tenant ?? owner
}

/** Where nobody is to know who is here, nobody has the size limit of those that are, too. A tenant that is disabled is as a whole. */
function hidden(lookups: Lookups, domain: DomainRow, route: Route): Route {
  if (!domain.antiEnumeration || !HIDDEN.has(route.kind)) return route
  const owner = domain.tenant === null ? undefined : lookups.tenant(domain.tenant)
  if (owner?.enabled === false) return { kind: 'disabled' }
  return { kind: 'discard', tenant: domain.tenant, ...limitOf(owner) }
}

function ordinaryRoute(settings: DirectorySettings, lookups: Lookups, mailbox: Mailbox): Route {
  const slug = slugOf(settings, mailbox)
  if (slug === undefined) return mailboxRoute(lookups, mailbox)
  const name = `${settings.plusPrefix}+${slug}@${mailbox.domain}`
  return SLUG.test(slug) ? tenantRoute(lookups.tenant(slug), name) : { kind: 'unknown_tenant' }
}

/** The slug of `<prefix>+<slug>@<hosted domain>`; the prefix in any case, the slug as it is (R1). */
function slugOf(settings: DirectorySettings, { local, domain }: Mailbox): string | undefined {
  if (domain !== settings.hostedDomain) return undefined
  const plus = settings.plusPrefix.length
  return local.slice(0, plus + 1).toLowerCase() === `${settings.plusPrefix}+` ? local.slice(plus + 1) : undefined
}

/** A plain mailbox: the address itself first, then without its tag (`user+tag` is `user`). */
function mailboxRow(lookups: Lookups, { local, domain }: Mailbox): MailboxRow | undefined {
  const plus = local.indexOf('+')
  const find = (name: string) => lookups.mailbox(addressKey({ local: name, domain }))
  return find(local) ?? (plus > 0 ? find(local.slice(0, plus)) : undefined)
}

const mailboxRoute = (lookups: Lookups, mailbox: Mailbox): Route => rowRoute(lookups, mailboxRow(lookups, mailbox))

function rowRoute(lookups: Lookups, row: MailboxRow | undefined): Route {
  if (row === undefined) return { kind: 'unknown_mailbox' }
  return row.enabled ? tenantRoute(lookups.tenant(row.tenant), row.address) : { kind: 'disabled' }
}

function tenantRoute(tenant: TenantRow | undefined, mailbox: string): Route {
  if (tenant === undefined) return { kind: 'unknown_tenant' }
  if (!tenant.enabled) return { kind: 'disabled' }
  return { kind: 'mailbox', tenant: tenant.slug, mailbox, ...limitOf(tenant) }
}

const limitOf = (tenant: TenantRow | undefined): { sizeMax?: number } =>
  tenant?.sizeMax === undefined || tenant.sizeMax === null ? {} : { sizeMax: tenant.sizeMax }

/** A missing postmaster mailbox is our fault, so the sender waits (451) and is never told that nobody is there. */
function toPostmaster(settings: DirectorySettings, lookups: Lookups): Route {
  const route = ordinaryRoute(settings, lookups, settings.postmaster)
  return route.kind === 'mailbox' ? route : UNAVAILABLE
}
