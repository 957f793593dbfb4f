import { existsSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { buildProgram, cliReferenceMarkdown, EXITS } from './cli.ts'
import type { Context } from './context.ts'
import { exitFor, sentenceFor } from './exit.ts'
import { emptyDesk, indexed, NOW, openDesk, type Ran } from './testing/desk.ts'
import { EventLogError } from '../eventlog/eventlog.ts'
import { StoreError } from '../store/store.ts'

describe('usage', () => {
  test.each([
    ['mesages list', 'Did you mean messages?'],
    ['messages lst', 'Did you mean list?'],
    ['messages list --jsn', 'Did you mean --json?'],
    ['messages list --limit many', '--limit must be a whole number'],
    ['messages list --limit 0', '--limit must be a whole number'],
    ['messages list --status broken', '--status must be of STORED'],
    ['messages list --status received', 'ingestctl spool list'],
    ['messages list --from yesterday', 'not a time'],
    ['messages list --from 1h --to 2h', '--from must be earlier'],
    ['messages list --json --plain', 'exclude each other'],
    ['messages show', "missing required argument 'id'"],
    ['messages raw ID --json', 'raw writes bytes'],
    ['events query --type nothing', '--type must be of ingest.received'],
    ['events tail --offset 5', '--offset needs --topic'],
    ['events tail --topic mail.none.v1', '--topic must be one of'],
    ['replay', 'say which messages'],
    ['replay ID --tenant acme', 'exclude each other'],
    ['replay --offsets mail.other.v1:0:1-2', '--offsets must be like mail.ingest.v1:0:100-200'],
    ['replay --offsets mail.ingest.v1:0:9-2', '--offsets must be like'],
    ['mailboxes add a@b.example', '--tenant'],
    ['tenants set acme', 'nothing to set'],
    ['tenants set acme --size 10MBit', 'not a size'],
    ['tenants set acme --messages-per-day 0', 'whole number from 1'],
    ['tenants set acme --bytes-per-day much', 'not a size'],
    ['send eicra', 'did you mean eicar?'],
    ['send --demo pdf', '--demo sends its own five'],
    ['send --server nowhere', '--server must be like'],
    ['completion tcsh', 'completion is for bash, zsh, fish'],
  ])('`%s` ends with 2 and says "%s"', async (line, sentence) => {
    const { status, stdout, stderr } = await emptyDesk().run(line)
    expect(stderr).toContain(sentence)
    expect(stdout).toBe('')
    expect(status).toBe(EXITS.usage.status)
  })

  test('a bad setting ends with 2 and every problem', async () => {
    const environment = { SMTP_PORT: 'x', INDEX_RETRIES: '-1' }
    const { status, stderr } = await emptyDesk().run('config check', { environment })
    expect(status).toBe(2)
    expect(stderr).toMatch(/SMTP_PORT[^]*INDEX_RETRIES/)
  })

  test.each([
    'messages',
    'documents',
    'events',
    'spool',
    'queue',
    'quarantine',
    'tenants',
    'domains',
    'mailboxes',
    'policy',
    'senders',
    'config',
    'db',
  ])('`%s` alone prints what it can do, with examples', async (noun) => {
    const { status, stdout } = await emptyDesk().run(noun)
    expect(status).toBe(0)
    expect(stdout).toContain('Examples:\n  ingestctl ')
  })
})

describe('where nothing was ever started', () => {
  test.each([
    'messages list',
    'messages show ID',
    'messages raw ID',
    'search x',
    'documents list',
    'events query',
    'trace ID',
    'status',
    'tenants list',
    'tenants add globex',
    'quarantine redrive --yes',
    'replay --tenant acme --yes',
  ])('`%s` ends with 6, in a sentence, and makes nothing', async (line) => {
    const desk = emptyDesk()
    const { status, stderr } = await desk.run(line)
    expect(status).toBe(EXITS.unavailable.status)
    expect(stderr).toContain('there is no ')
    expect(stderr).not.toMatch(/\n\s+at /)
    expect(existsSync(desk.dataDir)).toBe(false)
  })

  test.each(['spool list', 'spool verify', 'config explain', 'version', 'doctor'])('`%s` works', async (line) => {
    const desk = emptyDesk()
    expect((await desk.run(line, { environment: { SMTP_PORT: '0', METRICS_LISTEN: '127.0.0.1:0' } })).status).toBe(0)
    expect(existsSync(desk.dataDir)).toBe(false)
  })
})

test('`db migrate` makes the store what this release wants, and says first what it would do', async () => {
  const desk = emptyDesk()
  const steps = async (line: string) => {
    const { status, stdout } = await desk.run(line)
    expect(status).toBe(0)
    return (JSON.parse(stdout) as { step: string }[]).map(({ step }) => step)
  }
  const all = [
    '0001-initial',
    '0002-months',
    '0004-domain-options',
    '0005-sender-policies',
    '0006-credentials',
    '0007-quotas',
    '0009-automatic-mail',
    '0010-erasures',
  ]
  expect(await steps('db migrate --dry-run --json')).toEqual(all)
  expect(existsSync(desk.dataDir)).toBe(false)
  expect(await steps('db migrate --json')).toEqual(all)
  expect(await steps('db migrate --json')).toEqual([])
  expect((await desk.run('tenants list')).status).toBe(0)
})

describe('exit statuses', () => {
  test.each([
    [new StoreError('conflict', ''), 'conflict'],
    [new StoreError('not_found', ''), 'missing'],
    [new StoreError('invalid', ''), 'usage'],
    [new StoreError('unavailable', ''), 'unavailable'],
    [new StoreError('unavailable', '', { cause: Object.assign(new Error('no'), { code: '28P01' }) }), 'denied'],
    [new StoreError('unavailable', '', { cause: Object.assign(new Error('no'), { code: '3D000' }) }), 'usage'],
    [new StoreError('unavailable', '', { cause: Object.assign(new Error('no'), { code: '57P03' }) }), 'unavailable'],
    [new Error('no', { cause: Object.assign(new Error('no'), { name: 'SignatureDoesNotMatch' }) }), 'denied'],
    [Object.assign(new Error('no'), { code: 'EACCES' }), 'denied'],
    [Object.assign(new Error('no'), { code: 'ECONNREFUSED' }), 'unavailable'],
    [Object.assign(new Error('no'), { fault: 'timeout' }), 'unavailable'],
    [Object.assign(new Error('no'), { fault: 'digest' }), 'failure'],
    [new TypeError('a bug'), 'failure'],
    ['text', 'failure'],
  ] as const)('%s is %s', (thrown, exit) => expect(exitFor(thrown)).toBe(exit))

  test('an event log that does not answer has a name', async () => {
    const topics = () => Promise.reject(new EventLogError('server', 'event log: no answer'))
    const environment = { EVENT_LOG_URL: 'kafka://127.0.0.1:1' }
    const { status, stderr } = await emptyDesk().run('topics plan', { environment, engines: { topics } })
    expect({ status, stderr }).toEqual({
      status: 6,
      stderr: 'ingestctl: event log: no answer (EVENT_LOG_URL kafka://127.0.0.1:1)\n',
    })
  })

  test('an engine that cannot be closed keeps nobody', async () => {
    const close = () => new Promise<void>(() => {})
    expect((await emptyDesk().run('version', { engines: { close } })).status).toBe(0)
  })

  test('only a bug shows its stack', () => {
    expect(sentenceFor(new StoreError('conflict', 'exists'))).toBe('exists')
    expect(sentenceFor(new TypeError('a bug'))).toContain('cli.test.ts')
  })
})

describe('settings', () => {
  test('a value comes with its source', async () => {
    const desk = emptyDesk()
    expect(await desk.json('config explain DATA_DIR')).toMatchObject({ value: desk.dataDir, source: 'environment' })
    expect(await desk.json('config explain smtp_port')).toMatchObject({
      key: 'SMTP_PORT',
      value: '2525',
      source: 'default',
    })
  })

  test('a value that may hold a password is not printed', async () => {
    const DATABASE_URL = 'postgresql://mail:hush@db.example/mail'
    const environment = { DATABASE_URL, KAFKA_SASL_PASSWORD: 'hush' }
    const { stdout } = await emptyDesk().run('config explain', { environment })
    expect(stdout).toContain('(set, not shown)')
    expect(stdout).not.toContain('hush')
  })

  test('a slip is answered with the nearest name', async () => {
    const { status, stderr } = await emptyDesk().run('config explain SMTP_PROT')
    expect({ status, stderr }).toEqual({
      status: 3,
      stderr: 'ingestctl: no setting SMTP_PROT (did you mean SMTP_PORT?)\n',
    })
  })
})

describe('tenants, domains, mailboxes', () => {
  test('are added, changed, listed and removed', async () => {
    const desk = await openDesk()
    expect((await desk.run('tenants add globex --size 10M')).status).toBe(0)
    expect(await desk.json('tenants show globex')).toMatchObject({
      slug: 'globex',
      sizeMax: 10_485_760,
      enabled: true,
      address: 'orders+globex@mail.localhost',
    })
    expect(await desk.json('tenants set globex --disable --size default')).toMatchObject({
      enabled: false,
      sizeMax: null,
    })
    expect((await desk.run('domains add Mail.Example.ORG --tenant globex')).stderr).toContain(
      'mail.example.org. 3600 IN MX 10 mail.localhost.',
    )
    expect((await desk.run('mailboxes add sales@mail.example.org --tenant globex')).status).toBe(0)
    expect(await desk.json('mailboxes disable sales@mail.example.org')).toMatchObject({ enabled: false })
    const quiet = 'domains set mail.example.org --catch-all sales@mail.example.org --anti-enumeration on'
    expect(await desk.json(quiet)).toMatchObject({ catchAll: 'sales@mail.example.org', antiEnumeration: true })
    expect((await desk.run('domains list --plain')).stdout).toContain(
      'mail.example.org\tactive\tglobex\tsales@mail.example.org\n',
    )
    expect((await desk.run('mailboxes remove sales@mail.example.org')).status).toBe(5)
    expect(await desk.json('domains set mail.example.org --catch-all none')).toMatchObject({ catchAll: null })
    expect((await desk.run('domains list --plain')).stdout).toContain('globex\ttaken and let go\n')
    expect((await desk.run('domains remove mail.example.org')).status).toBe(5)
    expect((await desk.run('mailboxes remove sales@mail.example.org')).status).toBe(0)
    expect((await desk.run('domains remove mail.example.org')).status).toBe(0)
    expect((await desk.run('tenants list --plain')).stdout).toBe(
      'acme\tenabled\tdeployment limit\t-\tacme\nglobex\tdisabled\tdeployment limit\t-\tglobex\n',
    )
  })

  test('a tenant has quotas, is shown what it has of them today, and status warns of them', async () => {
    const desk = await openDesk()
    const quotaOf = async (status: Ran) => JSON.parse(status.stdout) as { quotas?: { level: string; value: unknown } }
    const saved = (n: number, receivedAt: number) => indexed(desk, { sizeBytes: 400 + n, receivedAt })
    await saved(1, NOW)
    await saved(2, NOW - 86_400_000)
    const usage = { day: '2026-10-06', messages: 1, bytes: 401, storedBytes: 803 }
    const none = { messagesPerDay: null, bytesPerDay: null, storedBytes: null }
    expect(await desk.json('tenants show acme')).toMatchObject({ quotas: none, usage: { ...usage, percent: none } })
    expect((await quotaOf(await desk.run('status --json'))).quotas).toBeUndefined()

    const set = 'tenants set acme --messages-per-day 2 --bytes-per-day 4K --stored-bytes 1000'
    const quotas = { messagesPerDay: 2, bytesPerDay: 4096, storedBytes: 1000 }
    const percent = { messagesPerDay: 50, bytesPerDay: 9, storedBytes: 80 }
    expect(await desk.json(set)).toMatchObject({ quotas, usage: { ...usage, percent } })
    expect(await desk.json('tenants list')).toMatchObject([{ slug: 'acme', quotas, usage: { ...usage, percent } }])
    expect((await desk.run('tenants list --plain')).stdout).toContain('\t80 %\tacme')
    expect((await desk.run('tenants show acme')).stdout).toMatch(/stored: +803 B, 80 % of 1\.0 KB/)
    const near = await quotaOf(await desk.run('status --json'))
    expect(near.quotas).toEqual({ level: 'warn', value: { tenants: 1, near: ['acme'], over: [] } })

    await desk.run('tenants set acme --stored-bytes 803')
    expect((await desk.run('status --plain')).stdout).toContain('warn\tquotas\tover: acme\n')
    await desk.run('tenants set acme --stored-bytes none')
    expect((await desk.run('status --plain')).stdout).toContain('ok\tquotas\t1 tenant within them\n')
  })

  test('a tenant has a policy on senders, and names some', async () => {
    const desk = await openDesk()
    expect(await desk.json('policy show acme')).toEqual({
      tenant: 'acme',
      unreachable: 'none',
      spf_fail: 'none',
      dmarc_reject: 'none',
      unauthenticated: 'none',
    })
    const set = 'policy set acme --spf-fail tag --dmarc-reject reject --unreachable reject'
    expect(await desk.json(set)).toMatchObject({
      unreachable: 'reject',
      spf_fail: 'tag',
      dmarc_reject: 'reject',
      unauthenticated: 'none',
    })
    expect((await desk.run('policy show acme')).stdout).toMatch(/dmarc reject: +reject/)
    expect(await desk.json('senders block Noise@Example.ORG --tenant acme')).toMatchObject({
      sender: 'noise@example.org',
      listing: 'block',
    })
    await desk.run('senders allow lists.example.org --tenant acme')
    expect((await desk.run('senders list --plain')).stdout).toBe(
      'lists.example.org\tallow\tacme\nnoise@example.org\tblock\tacme\n',
    )
    await desk.run('senders remove noise@example.org --tenant acme')
    expect(await desk.json('senders list --tenant acme')).toHaveLength(1)
  })

  test.each([
    ['tenants add acme', 5],
    ['tenants add Bad_Slug', 2],
    ['tenants show nobody', 3],
    ['mailboxes add x@else.example --tenant acme', 3],
    ['domains records nowhere.example', 3],
    ['domains set mail.localhost', 2],
    ['domains set mail.localhost --anti-enumeration maybe', 2],
    ['domains set mail.localhost --catch-all nobody@mail.localhost', 3],
    ['policy show nobody', 3],
    ['policy set acme', 2],
    ['policy set acme --spf-fail bounce', 2],
    ['senders block x.example --tenant nobody', 3],
    ['senders remove x.example --tenant acme', 3],
    ['senders allow not!a!domain --tenant acme', 2],
  ])('`%s` ends with %i', async (line, status) => {
    const desk = await openDesk()
    expect((await desk.run(line)).status).toBe(status)
  })
})

describe('the reference', () => {
  const program = buildProgram({ streams: { out: process.stdout, err: process.stderr } } as unknown as Context)
  const reference = cliReferenceMarkdown(program)

  test('has every verb of every noun, with an example', () => {
    const verbs = program.commands.flatMap((noun) =>
      noun.commands.map((verb) => `### ingestctl ${noun.name()} ${verb.name()}`),
    )
    expect(verbs.length).toBeGreaterThan(30)
    expect(verbs.filter((heading) => !reference.includes(heading))).toEqual([])
    expect(reference.split('```sh\n```')).toHaveLength(1)
  })

  test('has every exit status', () => {
    for (const { status, meaning } of Object.values(EXITS)) expect(reference).toContain(`| ${status} | ${meaning} |`)
  })
})
