// Whom a credential may send as: the addresses of its tenant, or those of them that it was narrowed to.

import type { Mailbox } from '../envelope/envelope.ts'
import type { CredentialRow, DirectorySettings, Lookups } from './directory.ts'

/** Throws what a lookup throws. */
export function maySendAs(
  settings: DirectorySettings,
  lookups: Lookups,
  { tenant, sendAs }: CredentialRow,
  sender: Mailbox,
): boolean {
  const { domain } = sender
  const addresses = [sender.local, withoutTag(sender.local)].map((local) => `${local}@${domain}`.toLowerCase())
  if (sendAs.length > 0 && ![domain, ...addresses].some((name) => sendAs.includes(name))) return false
  const owner = lookups.domain(domain)
  // A domain that waits for its proof is nobody's yet; one that is suspended sends no more than it receives.
  if (owner !== undefined && owner.state !== 'active' && owner.state !== 'mx_lost') return false
  if (owner?.tenant === tenant) return true
  // In a domain that tenants share, only what is the tenant's by name.
  if (owner === undefined ? domain !== settings.hostedDomain : owner.tenant !== null) return false
  if (sender.local === `${settings.plusPrefix}+${tenant}` && domain === settings.hostedDomain) return true
  const mailbox = addresses.map((address) => lookups.mailbox(address)).find((row) => row !== undefined)
  return mailbox !== undefined && mailbox.enabled && mailbox.tenant === tenant
}

/** The local part before its first plus. */
const withoutTag = (local: string): string => (local.indexOf('+') > 0 ? local.slice(0, local.indexOf('+')) : local)
