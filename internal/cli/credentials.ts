// credentials list, add, revoke: who may submit mail for a tenant, over the submission listener.

import { hashSecret, SALT_BYTES } from '../directory/directory.ts'
import { addCredential, listCredentials, revokeCredential, type Credential } from '../store/store.ts'
import { paged } from './directory-rows.ts'
import type { Column } from './output.ts'
import type { Call } from './tree.ts'

/** 192 bits: nobody guesses it, however fast. */
const SECRET_BYTES = 24

const stateOf = (row: Credential): string => (row.revokedAt === null ? 'good' : 'revoked')
const sendersOf = (row: Credential): string => (row.sendAs.length === 0 ? '(all of the tenant)' : row.sendAs.join(' '))

const COLUMNS: readonly Column<Credential>[] = [
  { head: 'NAME', of: (row) => row.name },
  { head: 'STATE', of: stateOf, paint: (row) => (row.revokedAt === null ? 'green' : 'yellow') },
  { head: 'TENANT', of: (row) => row.tenant },
  { head: 'SENDS AS', of: sendersOf },
]

/** Without its hash, which is nobody's business. */
const shownJson = ({ name, tenant, sendAs, createdAt, revokedAt }: Credential) => ({
  name,
  tenant,
  sendAs,
  createdAt: new Date(createdAt).toISOString(),
  revokedAt: revokedAt === null ? null : new Date(revokedAt).toISOString(),
})

export async function list(call: Call<{ tenant?: string; limit: number }>): Promise<void> {
  const { tenant, limit } = call.options
  const store = await call.context.engines.store('read')
  const only = tenant === undefined ? {} : { tenant }
  const pages = paged(
    limit,
    (want) => listCredentials(store, { ...want, ...only }),
    (row) => row.name,
  )
  await call.output.pages(pages, COLUMNS, shownJson)
}

export async function add(call: Call<{ tenant: string; sendAs?: string[] }>): Promise<void> {
  const { clock, random, engines } = call.context
  const { tenant, sendAs = [] } = call.options
  const store = await engines.store('write')
  const secret = random(SECRET_BYTES).toString('base64url')
  const secretHash = await hashSecret(secret, random(SALT_BYTES))
  const facts = { name: call.args[0] ?? '', tenant, secretHash, sendAs, now: clock.now() }
  const row = await store.transaction((tx) => addCredential(tx, facts))
  await call.output.facts({ ...shownJson(row), secret }, [
    ['name', row.name],
    ['tenant', row.tenant],
    ['sends as', sendersOf(row)],
    ['secret', secret],
  ])
  call.output.note('The secret is shown this once. The submission listener knows it within seconds.')
}

export async function revoke(call: Call): Promise<void> {
  const { clock, engines } = call.context
  const store = await engines.store('write')
  const row = await store.transaction((tx) => revokeCredential(tx, call.args[0] ?? '', clock.now()))
  call.output.note(`revoked ${row.name}; sessions that it opened send no more mail within seconds`)
}
