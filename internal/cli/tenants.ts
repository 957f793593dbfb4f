// tenants list, add, show, set: the owners of mail. A change reaches the SMTP listener with the next directory snapshot.

import { createTenant, getTenant, listTenants, updateTenant, type Tenant } from '../store/store.ts'
import { CliError } from './exit.ts'
import { paged, stamped, stateText } from './directory-rows.ts'
import type { Column } from './output.ts'
import { sizeBytes, sizeText } from './quantity.ts'
import type { Call } from './tree.ts'

const limitText = (tenant: Tenant): string => (tenant.sizeMax === null ? 'deployment limit' : sizeText(tenant.sizeMax))
const TENANT_COLUMNS: readonly Column<Tenant>[] = [
  { head: 'SLUG', of: (row) => row.slug },
  { head: 'STATE', of: stateText, paint: (row) => (row.enabled ? 'green' : 'yellow') },
  { head: 'LARGEST MESSAGE', of: limitText },
  { head: 'NAME', of: (row) => row.name },
]

export async function list(call: Call<{ limit: number }>): Promise<void> {
  const store = await call.context.engines.store('read')
  const pages = paged(
    call.options.limit,
    (want) => listTenants(store, want),
    (row) => row.slug,
  )
  await call.output.pages(pages, TENANT_COLUMNS, stamped)
}

export async function add(call: Call<{ name?: string; size?: string }>): Promise<void> {
  const { name, size } = call.options
  const sizeMax = size === undefined ? null : sizeBytes(size)
  const store = await call.context.engines.store('write')
  const facts = {
    slug: call.args[0] ?? '',
    sizeMax,
    now: call.context.clock.now(),
    ...(name === undefined ? {} : { name }),
  }
  await shown(call, await store.transaction((tx) => createTenant(tx, facts)))
}

export async function show(call: Call): Promise<void> {
  await shown(call, await getTenant(await call.context.engines.store('read'), call.args[0] ?? ''))
}

interface SetOptions {
  name?: string
  size?: string
  enable?: boolean
  disable?: boolean
}

export async function set(call: Call<SetOptions>): Promise<void> {
  const { name, size, enable, disable } = call.options
  if (enable === true && disable === true) throw new CliError('usage', '--enable and --disable exclude each other')
  const change = {
    ...(name === undefined ? {} : { name }),
    ...(size === undefined ? {} : { sizeMax: size === 'default' ? null : sizeBytes(size) }),
    ...(enable === true || disable === true ? { enabled: enable === true } : {}),
  }
  if (Object.keys(change).length === 0)
    throw new CliError('usage', 'nothing to set: give --name, --size, --enable or --disable')
  const store = await call.context.engines.store('write')
  const now = call.context.clock.now()
  await shown(call, await store.transaction((tx) => updateTenant(tx, call.args[0] ?? '', { ...change, now })))
}

async function shown(call: Call, tenant: Tenant): Promise<void> {
  const { smtpPlusPrefix, smtpDomain } = call.context.config()
  const address = `${smtpPlusPrefix}+${tenant.slug}@${smtpDomain}`
  await call.output.facts({ ...stamped(tenant), address }, [
    ['slug', tenant.slug],
    ['name', tenant.name],
    ['state', stateText(tenant)],
    ['largest message', limitText(tenant)],
    ['receives at', address],
    ['created', new Date(tenant.createdAt).toISOString()],
  ])
}
