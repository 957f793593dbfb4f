import { describe, expect, test } from 'vitest'
import { parsePath } from '../envelope/envelope.ts'
import {
  ownerBy,
  routeBy,
  type DomainRow,
  type Lookups,
  type MailboxRow,
  type Route,
  type TenantRow,
} from './directory.ts'

const tenants: TenantRow[] = [
  { slug: 'acme', sizeMax: null, enabled: true },
  { slug: 'tiny', sizeMax: 1000, enabled: true },
  { slug: 'gone', sizeMax: null, enabled: false },
]
const domain = (name: string, more: Partial<DomainRow> = {}): DomainRow => {
  return { domain: name, tenant: 'acme', state: 'active', catchAll: null, antiEnumeration: false, ...more }
}
const domains: DomainRow[] = [
  domain('acme.example'),
  domain('lost.example', { state: 'mx_lost' }),
  domain('pending.example', { state: 'pending' }),
  domain('suspended.example', { state: 'suspended' }),
  domain('xn--bcher-kva.example'),
  domain('catch.example', { catchAll: 'ann@acme.example' }),
  domain('dangling.example', { catchAll: 'nobody@acme.example' }),
  domain('quiet.example', { antiEnumeration: true }),
  domain('quiet-tiny.example', { antiEnumeration: true, tenant: 'tiny' }),
  domain('quiet-gone.example', { antiEnumeration: true, tenant: 'gone' }),
  domain('quiet-shared.example', { antiEnumeration: true, tenant: null }),
  domain('quiet-catch.example', { antiEnumeration: true, catchAll: 'ann@acme.example' }),
  domain('quiet-lost.example', { antiEnumeration: true, state: 'mx_lost' }),
]
const mailbox = (address: string, tenant = 'acme', enabled = true): MailboxRow => ({ address, tenant, enabled })
const mailboxes = [
  mailbox('postmaster@mail.example'),
  mailbox('info@mail.example', 'tiny'),
  mailbox('ann@acme.example'),
  mailbox('ann+vip@acme.example', 'tiny'),
  mailbox('off@acme.example', 'acme', false),
  mailbox('u@gone.example', 'gone'),
  mailbox('bob@gone-tenant.acme.example', 'gone'),
  mailbox('abuse@acme.example', 'tiny'),
  mailbox('ann@lost.example'),
  mailbox('ann@pending.example'),
  mailbox('ann@suspended.example'),
  mailbox('ann@xn--bcher-kva.example'),
  mailbox('closed@acme.example', 'gone'),
  mailbox('jos\u00e9@acme.example'),
  mailbox('bob@catch.example', 'tiny'),
  mailbox('off@catch.example', 'acme', false),
  mailbox('ann@quiet.example'),
  mailbox('off@quiet.example', 'acme', false),
  mailbox('ann@quiet-tiny.example', 'tiny'),
  mailbox('guest@quiet-tiny.example', 'acme'),
]

const lookups: Lookups = {
  tenant: (slug) => tenants.find((row) => row.slug === slug),
  domain: (name) => domains.find((row) => row.domain === name),
  mailbox: (address) => mailboxes.find((row) => row.address === address),
  credential: () => undefined,
}

const settings = (postmaster = 'postmaster@mail.example') => ({
  hostedDomain: 'mail.example',
  plusPrefix: 'orders',
  postmaster: parsePath(postmaster) ?? { local: '', domain: '', text: '' },
})

/** `tenant mailbox [limit]`, `discard tenant [limit]`, or the reason. */
const told = (route: Route): string =>
  route.kind === 'mailbox'
    ? [route.tenant, route.mailbox, route.sizeMax ?? ''].join(' ').trim()
    : route.kind === 'discard'
      ? ['discard', route.tenant ?? 'all', route.sizeMax ?? ''].join(' ').trim()
      : route.kind

const routed = (address: string, from = settings()): string => {
  const path = parsePath(address)
  if (path === null || path === undefined) throw new Error(`no path: ${address}`)
  return told(routeBy(from, lookups, path))
}

describe('routes', () => {
  test.each([
    ['orders+acme@mail.example', 'acme orders+acme@mail.example', 'R1 plus-addressing'],
    ['ORDERS+acme@MAIL.example', 'acme orders+acme@mail.example', 'R1 prefix and domain in any case'],
    ['"orders+acme"@mail.example', 'acme orders+acme@mail.example', '5321 4.1.2 quoting changes nothing'],
    ['orders+tiny@mail.example', 'tiny orders+tiny@mail.example 1000', 'R8 size limit of a tenant'],
    ['orders+Acme@mail.example', 'unknown_tenant', 'R1 the slug is case-sensitive'],
    ['orders+nobody@mail.example', 'unknown_tenant', 'R2 550 5.1.1'],
    ['orders+a_b@mail.example', 'unknown_tenant', 'R1 kebab-case only'],
    ['orders+@mail.example', 'unknown_tenant', 'no slug'],
    ['orders+gone@mail.example', 'disabled', 'tenant disabled'],
    ['orders@mail.example', 'unknown_mailbox', 'the prefix alone is an ordinary mailbox'],
    ['orders+acme@acme.example', 'unknown_mailbox', 'R1 plus-addressing is on the hosted domain'],
    ['info@mail.example', 'tiny info@mail.example 1000', 'R1 plain mailbox on the hosted domain'],
    ['Info@mail.example', 'tiny info@mail.example 1000', 'local part without case'],
    ['ann@acme.example', 'acme ann@acme.example', 'R1 custom domain'],
    ['ann+x@acme.example', 'acme ann@acme.example', 'the tag is dropped'],
    ['ann+@acme.example', 'acme ann@acme.example', 'an empty tag'],
    ['ann+x+y@acme.example', 'acme ann@acme.example', 'the first plus begins the tag'],
    ['ann+vip@acme.example', 'tiny ann+vip@acme.example 1000', 'a mailbox that has a plus in its name comes first'],
    ['+x@acme.example', 'unknown_mailbox', 'nothing before the tag'],
    ['ann@bücher.example', 'acme ann@xn--bcher-kva.example', 'U-label and A-label are one domain'],
    ['bob@acme.example', 'unknown_mailbox', '550 5.1.1'],
    ['off@acme.example', 'disabled', '550 5.2.1'],
    ['closed@acme.example', 'disabled', 'tenant of the mailbox disabled'],
    ['ann@elsewhere.example', 'not_ours', '550 5.7.1 no relay'],
    ['u@gone.example', 'not_ours', 'a mailbox alone does not make a domain ours'],
    ['u@[192.0.2.1]', 'not_ours', 'address literal'],
    ['ann%elsewhere.example@acme.example', 'unknown_mailbox', 'never rewritten'],
    ['ann@lost.example', 'mx_lost', 'R28 451'],
    ['ann@pending.example', 'unavailable', 'not yet proven to be the tenant’s'],
    ['postmaster@pending.example', 'unavailable', 'not yet a domain of ours'],
    ['postmaster@lost.example', 'acme postmaster@mail.example', '5321 4.5.1 also without MX'],
    ['ann@suspended.example', 'suspended', 'R28 550'],
    ['Postmaster', 'acme postmaster@mail.example', '5321 4.1.1.3 bare'],
    ['postMaster@acme.example', 'acme postmaster@mail.example', '5321 4.5.1 every hosted domain'],
    ['abuse@mail.example', 'acme postmaster@mail.example', '2142 4'],
    ['abuse@acme.example', 'tiny abuse@acme.example 1000', 'a role mailbox of its own'],
    ['abuse@suspended.example', 'acme postmaster@mail.example', '5321 4.5.1 also while suspended'],
    ['postmaster@elsewhere.example', 'not_ours', 'only domains of ours'],
  ])('%s: %s (%s)', (address, want, _why) => {
    expect(routed(address)).toBe(want)
  })

  test.each([
    ['JOS\u00c9@acme.example', 'acme jos\u00e9@acme.example', 'without case beyond ASCII as well'],
    ['jose\u0301@acme.example', 'acme jos\u00e9@acme.example', '6530 10.1 composed or not'],
    ['jose@acme.example', 'unknown_mailbox', 'but not without its accent'],
    ['ann@B\u00dcCHER.example', 'acme ann@xn--bcher-kva.example', '5890 2.3.2.1 U-labels in any case'],
    ['ann@xn--BCHER-kva.example', 'acme ann@xn--bcher-kva.example', '5890 2.3.2.1 A-labels in any case'],
    ['ann@bucher.example', 'not_ours', 'another name'],
  ])('%s: %s (%s)', (address, want, _why) => {
    expect(routed(address)).toBe(want)
  })

  test.each([
    ['whoever@catch.example', 'acme ann@acme.example', 'nobody has it'],
    ['whoever+x@catch.example', 'acme ann@acme.example', 'with a tag'],
    ['+x@catch.example', 'acme ann@acme.example', 'with a tag alone'],
    ['bob@catch.example', 'tiny bob@catch.example 1000', 'a mailbox comes first'],
    ['bob+x@catch.example', 'tiny bob@catch.example 1000', 'with a tag as well'],
    ['off@catch.example', 'disabled', 'a disabled mailbox is not nobody'],
    ['postmaster@catch.example', 'acme postmaster@mail.example', '5321 4.5.1 comes first'],
    ['whoever@dangling.example', 'unknown_mailbox', 'a catch-all that is not there'],
  ])('catch-all: %s: %s (%s)', (address, want, _why) => {
    expect(routed(address)).toBe(want)
  })

  test.each([
    ['ann@quiet.example', 'acme ann@quiet.example', 'somebody'],
    ['bob@quiet.example', 'discard acme', 'nobody'],
    ['off@quiet.example', 'discard acme', 'disabled'],
    ['bob@quiet-tiny.example', 'discard tiny 1000', 'with the limit that others there have'],
    ['bob@quiet-shared.example', 'discard all', 'a domain that tenants share'],
    ['bob@quiet-gone.example', 'disabled', 'the whole tenant is known to be disabled'],
    ['bob@quiet-catch.example', 'acme ann@acme.example', 'a catch-all comes first'],
    ['bob@quiet-lost.example', 'mx_lost', 'the state of a domain is no secret'],
    ['postmaster@quiet.example', 'acme postmaster@mail.example', '5321 4.5.1'],
  ])('anti-enumeration: %s: %s (%s)', (address, want, _why) => {
    expect(routed(address)).toBe(want)
  })

  test('anti-enumeration asks as often for nobody as for somebody', () => {
    const asked = (address: string): string[] => {
      const seen: string[] = []
      const note =
        <T>(name: string, find: (key: string) => T) =>
        (key: string) => {
          seen.push(name)
          return find(key)
        }
      const counted: Lookups = {
        tenant: note('tenant', (key) => lookups.tenant(key)),
        domain: note('domain', (key) => lookups.domain(key)),
        mailbox: note('mailbox', (key) => lookups.mailbox(key)),
        credential: () => undefined,
      }
      routeBy(settings(), counted, parsePath(address) ?? { local: '', domain: '', text: '' })
      return seen
    }
    expect(asked('bob@quiet.example')).toEqual(asked('ann@quiet.example'))
  })

  test.each([
    ['nobody@mail.example', 'unavailable', 'missing'],
    ['off@acme.example', 'unavailable', 'disabled'],
    ['orders+acme@mail.example', 'acme orders+acme@mail.example', 'a tenant address'],
  ])('POSTMASTER_MAILBOX=%s gives %s (%s)', (postmaster, want, _why) => {
    expect(routed('postmaster', settings(postmaster))).toBe(want)
    expect(routed('abuse@acme.example', settings(postmaster))).toBe('tiny abuse@acme.example 1000')
  })
})

describe('whom a refusal concerns', () => {
  test.each([
    ['nobody@acme.example', 'acme', 'the domain is its'],
    ['off@acme.example', 'acme', 'disabled'],
    ['closed@acme.example', 'gone', 'a mailbox of another tenant'],
    ['ann+vip@acme.example', 'tiny', 'the address itself before its untagged form'],
    ['ann+x@acme.example', 'acme', 'tagged'],
    ['x@suspended.example', 'acme', 'a suspended domain'],
    ['x@lost.example', 'acme', 'a domain that lost its MX'],
    ['x@pending.example', undefined, 'not proven to be its tenant\u2019s'],
    ['orders+gone@mail.example', 'gone', 'a tenant that is switched off'],
    ['orders+nobody@mail.example', undefined, 'a tenant that does not exist'],
    ['orders+a b@mail.example', undefined, 'no slug'],
    ['nobody@mail.example', undefined, 'a domain that tenants share'],
    ['info@mail.example', 'tiny', 'a mailbox there'],
    ['x@elsewhere.example', undefined, 'not ours'],
    ['guest@quiet-tiny.example', 'tiny', 'who is there is not told, not even by who hears of it'],
    ['ann@quiet-shared.example', undefined, 'who is there is not told, and nobody has the domain'],
  ])('%s: %s (%s)', (address, want, _why) => {
    const [local = '', name = ''] = address.split('@')
    expect(ownerBy(settings(), lookups, { local, domain: name, text: address })).toBe(want)
  })
})
