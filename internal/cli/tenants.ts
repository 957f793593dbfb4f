// tenants list, add, show, set: the owners of mail. A change reaches the SMTP listener with the next directory snapshot.

import {
  createTenant,
  dayOf,
  getTenant,
  listTenants,
  updateTenant,
  usageOf,
  type Queries,
  type Quotas,
  type Tenant,
  type Usage,
} from '../store/store.ts'
import { CliError } from './exit.ts'
import { paged, stamped, stateText } from './directory-rows.ts'
import type { Column } from './output.ts'
import { sizeBytes, sizeText, whole } from './quantity.ts'
import { quotaFacts, quotaJson, quotaText } from './quotas.ts'
import type { Call } from './tree.ts'

const limitText = (tenant: Tenant): string => (tenant.sizeMax === null ? 'deployment limit' : sizeText(tenant.sizeMax))
/** A tenant with what it has today. */
type Used = Tenant & { usage: Usage }

const TENANT_COLUMNS: readonly Column<Used>[] = [
  { head: 'SLUG', of: (row) => row.slug },
  { head: 'STATE', of: stateText, paint: (row) => (row.enabled ? 'green' : 'yellow') },
  { head: 'LARGEST MESSAGE', of: limitText },
  { head: 'QUOTA USED', of: quotaText },
  { head: 'NAME', of: (row) => row.name },
]

export async function list(call: Call<{ limit: number }>): Promise<void> {
  const store = await call.context.engines.store('read')
  const pages = paged(
    call.options.limit,
    (want) => listTenants(store, want),
    (row) => row.slug,
  )
  const now = call.context.clock.now()
  await call.output.pages(eachUsed(store, pages, now), TENANT_COLUMNS, (tenant) => jsonOf(tenant, now))
}

async function used(on: Queries, tenants: readonly Tenant[], now: number): Promise<Used[]> {
  const usage = await usageOf(
    on,
    tenants.map(({ slug }) => slug),
    dayOf(now),
  )
  return tenants.map((tenant) => ({
    ...tenant,
    usage: usage.get(tenant.slug) ?? { messages: 0, bytes: 0, storedBytes: 0 },
  }))
}

async function* eachUsed(on: Queries, pages: AsyncIterable<Tenant[]>, now: number) {
  for await (const page of pages) yield await used(on, page, now)
}

function jsonOf(tenant: Used, now: number) {
  const { messagesPerDay, bytesPerDay, storedBytes, usage, ...rest } = tenant
  return { ...stamped(rest), ...quotaJson({ messagesPerDay, bytesPerDay, storedBytes }, usage, now) }
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
  await shown(call, store, await store.transaction((tx) => createTenant(tx, facts)))
}

export async function show(call: Call): Promise<void> {
  const store = await call.context.engines.store('read')
  await shown(call, store, await getTenant(store, call.args[0] ?? ''))
}

interface SetOptions {
  name?: string
  size?: string
  messagesPerDay?: string
  bytesPerDay?: string
  storedBytes?: string
  enable?: boolean
  disable?: boolean
}

/** A number above nothing, or `none` for no quota. */
const quotaOf = (text: string, parse: (text: string) => number): number | null => (text === 'none' ? null : parse(text))

function quotasOf({ messagesPerDay, bytesPerDay, storedBytes }: SetOptions): Partial<Quotas> {
  const messages = whole('--messages-per-day', 1, 1e15)
  return {
    ...(messagesPerDay === undefined ? {} : { messagesPerDay: quotaOf(messagesPerDay, messages) }),
    ...(bytesPerDay === undefined ? {} : { bytesPerDay: quotaOf(bytesPerDay, sizeBytes) }),
    ...(storedBytes === undefined ? {} : { storedBytes: quotaOf(storedBytes, sizeBytes) }),
  }
}

export async function set(call: Call<SetOptions>): Promise<void> {
  const { name, size, enable, disable } = call.options
  if (enable === true && disable === true) throw new CliError('usage', '--enable and --disable exclude each other')
  const change = {
    ...(name === undefined ? {} : { name }),
    ...(size === undefined ? {} : { sizeMax: size === 'default' ? null : sizeBytes(size) }),
    ...quotasOf(call.options),
    ...(enable === true || disable === true ? { enabled: enable === true } : {}),
  }
  if (Object.keys(change).length === 0)
    throw new CliError('usage', 'nothing to set: give --name, --size, a quota, --enable or --disable')
  const store = await call.context.engines.store('write')
  const now = call.context.clock.now()
  await shown(call, store, await store.transaction((tx) => updateTenant(tx, call.args[0] ?? '', { ...change, now })))
}

async function shown(call: Call, store: Queries, tenant: Tenant): Promise<void> {
  const now = call.context.clock.now()
  const [row] = await used(store, [tenant], now)
  if (row === undefined) throw new TypeError('a tenant without its usage')
  const { smtpPlusPrefix, smtpDomain } = call.context.config()
  const address = `${smtpPlusPrefix}+${tenant.slug}@${smtpDomain}`
  await call.output.facts({ ...jsonOf(row, now), address }, [
    ['slug', tenant.slug],
    ['name', tenant.name],
    ['state', stateText(tenant)],
    ['largest message', limitText(tenant)],
    ...quotaFacts(row, row.usage),
    ['receives at', address],
    ['created', new Date(tenant.createdAt).toISOString()],
  ])
}
