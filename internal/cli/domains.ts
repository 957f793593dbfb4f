// domains list, add, set, records, remove: the domains that mail is received for.

import { isIP } from 'node:net'
import { addDomain, getDomain, listDomains, removeDomain, updateDomain, type Domain } from '../store/store.ts'
import { CliError } from './exit.ts'
import { paged, stamped } from './directory-rows.ts'
import type { Column } from './output.ts'
import { recordLine, recordsFor, type DnsRecord } from './records.ts'
import type { Call } from './tree.ts'

const DOMAIN_COLUMNS: readonly Column<Domain>[] = [
  { head: 'DOMAIN', of: (row) => row.domain },
  { head: 'STATE', of: (row) => row.state, paint: (row) => (row.state === 'active' ? 'green' : 'yellow') },
  { head: 'TENANT', of: (row) => row.tenant ?? '(all)' },
  { head: 'MAIL TO NOBODY', of: (row) => mailToNobody(row) },
]

const mailToNobody = ({ catchAll, antiEnumeration }: Domain): string =>
  catchAll ?? (antiEnumeration ? 'taken and let go' : 'refused')

export async function list(call: Call<{ tenant?: string; limit: number }>): Promise<void> {
  const { tenant, limit } = call.options
  const store = await call.context.engines.store('read')
  const only = tenant === undefined ? {} : { tenant }
  const pages = paged(
    limit,
    (want) => listDomains(store, { ...want, ...only }),
    (row) => row.domain,
  )
  await call.output.pages(pages, DOMAIN_COLUMNS, stamped)
}

export async function add(call: Call<{ tenant?: string }>): Promise<void> {
  const store = await call.context.engines.store('write')
  const facts = { domain: call.args[0] ?? '', tenant: call.options.tenant ?? null, now: call.context.clock.now() }
  const row = await store.transaction((tx) => addDomain(tx, facts))
  await shown(call, row)
  const { smtpHostname: hostname } = call.context.config()
  const [mx] = recordsFor({ domain: row.domain, hostname, addresses: [], tls: false })
  if (mx !== undefined) call.output.note(`Now point its mail here: ${recordLine(mx)}`)
}

interface SetOptions {
  catchAll?: string
  antiEnumeration?: string
}

export async function set(call: Call<SetOptions>): Promise<void> {
  const { catchAll, antiEnumeration } = call.options
  if (catchAll === undefined && antiEnumeration === undefined)
    throw new CliError('usage', 'nothing to set: give --catch-all or --anti-enumeration')
  if (antiEnumeration !== undefined && antiEnumeration !== 'on' && antiEnumeration !== 'off')
    throw new CliError('usage', '--anti-enumeration is on or off')
  const change = {
    ...(catchAll === undefined ? {} : { catchAll: catchAll === 'none' ? null : catchAll }),
    ...(antiEnumeration === undefined ? {} : { antiEnumeration: antiEnumeration === 'on' }),
    now: call.context.clock.now(),
  }
  const store = await call.context.engines.store('write')
  await shown(call, await store.transaction((tx) => updateDomain(tx, call.args[0] ?? '', change)))
}

async function shown(call: Call, row: Domain): Promise<void> {
  await call.output.facts(stamped(row), [
    ['domain', row.domain],
    ['state', row.state],
    ['tenant', row.tenant ?? '(all)'],
    ['mail to nobody', mailToNobody(row)],
  ])
}

export async function records(call: Call<{ address?: string[] }>): Promise<void> {
  const { domain } = await getDomain(await call.context.engines.store('read'), call.args[0] ?? '')
  const { smtpHostname: hostname, smtpTlsCert } = call.context.config()
  const { address: addresses = [] } = call.options
  const wrong = addresses.find((address) => isIP(address) === 0)
  if (wrong !== undefined) throw new CliError('usage', `--address ${wrong} is not an IP address`)
  const found = recordsFor({ domain, hostname, addresses, tls: smtpTlsCert.length > 0 })
  const { output } = call
  if (output.forScripts) await output.rows(found, RECORD_COLUMNS)
  else for (const record of found) await output.line(recordLine(record))
  if (addresses.length === 0) output.note(`--address, with the addresses of ${hostname}, adds A, AAAA and PTR records`)
  if (smtpTlsCert.length > 0)
    output.note(
      `with a web server of yours at mta-sts.${domain}, relays can be told to insist on TLS (MTA-STS, RFC 8461 3)`,
    )
}

const RECORD_COLUMNS: readonly Column<DnsRecord>[] = [
  { head: 'NEED', of: ({ need }) => need },
  { head: 'RECORD', of: recordLine },
  { head: 'WHY', of: ({ why }) => why },
]

export async function remove(call: Call): Promise<void> {
  const store = await call.context.engines.store('write')
  await store.transaction((tx) => removeDomain(tx, call.args[0] ?? ''))
  call.output.note(`removed domain ${call.args[0] ?? ''}; mail that came to it stays`)
}
