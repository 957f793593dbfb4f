// `ingestctl db migrate` with the owner's URL, and a program with the role of the service afterwards.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { postgresUnavailable, startPostgres } from '../test/engines/postgres.ts'
import { ingestctl, temporaryFolder } from '../test/system.ts'

test.skipIf(postgresUnavailable())(
  'an update as docs/postgresql.md says: the owner migrates, the service starts',
  async ({ onTestFinished }) => {
    const postgres = await startPostgres()
    onTestFinished(() => postgres.stop())
    const database = new URL(postgres.url).pathname.slice(1)
    const document = readFileSync(join(import.meta.dirname, '../docs/postgresql.md'), 'utf8')
    const roles = /```sql roles\n([\s\S]*?)```/.exec(document)?.[1] ?? ''
    await postgres.psql(roles.replaceAll(/\bmail_ingest\b/g, database).replaceAll("'…'", "'p'"), database)
    const dataDir = temporaryFolder()
    const as = async (role: string, ...line: string[]) => {
      const url = postgres.url.replace(/\/\/[^@]+@/, `//${role}:p@`)
      const { status, stdout, stderr } = await ingestctl(dataDir, line, { DATABASE_URL: url })
      return { status, stdout: stdout.toString(), stderr }
    }
    const steps = JSON.stringify([
      { step: '0001-initial' },
      { step: '0002-months' },
      { step: '0004-domain-options' },
      { step: '0005-sender-policies' },
      { step: '0006-credentials' },
      { step: '0007-quotas' },
      { step: '0009-automatic-mail' },
      { step: '0010-erasures' },
    ])
    const refused = await as('mail_ingest_app', 'db', 'migrate')
    expect(refused).toMatchObject({ status: 4, stderr: expect.stringContaining('permission denied') as string })
    const dry = await as('mail_ingest_owner', 'db', 'migrate', '--dry-run', '--json')
    expect(JSON.stringify(JSON.parse(dry.stdout))).toBe(steps)
    const done = await as('mail_ingest_owner', 'db', 'migrate', '--json')
    expect(JSON.stringify(JSON.parse(done.stdout))).toBe(steps)
    expect(await as('mail_ingest_app', 'db', 'migrate', '--json')).toMatchObject({ status: 0, stdout: '[]\n' })
    expect(await as('mail_ingest_app', 'tenants', 'list', '--json')).toMatchObject({ status: 0, stdout: '[]\n' })
  },
)
