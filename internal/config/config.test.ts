import { describe, expect, test } from 'vitest'
import { loadConfig, settingText, SETTINGS } from './config.ts'

const problemsOf = (environment: Record<string, string>): string => {
  try {
    loadConfig(environment)
    return ''
  } catch (error) {
    return String(error)
  }
}

describe('settings', () => {
  test('an empty environment gives a working configuration', () => {
    const config = loadConfig({})
    expect(config.smtpPort).toBe(2525)
    expect(config.metricsListen).toEqual({ host: '127.0.0.1', port: 9090 })
  })

  test('a default derives from the setting it names', () => {
    const config = loadConfig({ DATA_DIR: '/srv/mail', SMTP_DOMAIN: 'Example.ORG' })
    expect(config.spoolDir).toBe('/srv/mail/spool')
    expect(config.objectStoreUrl).toBe('file:/srv/mail/objects')
    expect(config.smtpHostname).toBe('example.org')
    expect(config.postmasterMailbox).toBe('postmaster@example.org')
  })

  test('a relative directory is taken from where the process was started, in engine URLs too', () => {
    const config = loadConfig({ DATA_DIR: './here', EVENT_LOG_URL: 'sqlite:there/events.db' })
    expect(config.objectStoreUrl).toBe(`file:${process.cwd()}/here/objects`)
    expect(config.eventLogUrl).toBe(`sqlite:${process.cwd()}/there/events.db`)
  })

  test('DNS servers are addresses, with or without ports', () => {
    const servers = '192.0.2.53, 127.0.0.1:5353,2001:db8::53,[::1]:5353'
    expect(loadConfig({ SMTP_DNS_SERVERS: servers }).smtpDnsServers).toEqual(servers.split(/, ?/))
    expect(loadConfig({}).smtpDnsServers).toEqual([])
  })

  test('all problems are reported together', () => {
    const problems = problemsOf({ SMTP_PORT: 'x', PARSER_PROCESSES: '0', METRICS_LISTEN: '0.0.0.0:9090' })
    expect(problems).toMatch(/SMTP_PORT/)
    expect(problems).toMatch(/PARSER_PROCESSES/)
    expect(problems).toMatch(/METRICS_LISTEN: must be a loopback address/)
  })

  test.each([
    ['SMTP_PORT', '65536', 'past the last port'],
    ['SMTP_PORT', '-1', 'a sign'],
    ['SMTP_PORT', '25.0', 'not whole'],
    ['SMTP_MAX_MESSAGE_SIZE', '25MB', 'a limit with a suffix would be NaN'],
    ['SMTP_DOMAIN', 'bad_domain!', 'no domain'],
    ['POSTMASTER_MAILBOX', 'postmaster', 'no domain in an address'],
    ['OBJECT_STORE_URL', 'ftp://x', 'no adapter'],
    ['METRICS_LISTEN', '192.0.2.1:9090', 'R29: loopback only'],
    ['METRICS_LISTEN', '127.0.0.1.example.org:9090', 'R29: a name that begins like loopback'],
    ['LOG_LEVEL', 'loud', 'not in the set'],
    ['SMTP_TRUSTED', '192.0.2.0/33', 'longer than an address'],
    ['SMTP_TRUSTED', 'mx.example.org', 'a name'],
    ['SMTP_TRUSTED', '10.0.0.0/8;127.0.0.1', 'not a comma'],
    ['EVENT_LOG_URL', 'kafka://', 'no broker'],
    ['EVENT_LOG_URL', 'kafka:/foo', 'a path and no broker'],
    ['EVENT_LOG_URL', 'kafka://host:70000', 'past the last port'],
    ['EVENT_LOG_URL', 'kafka://user:hunter2@host', 'a password where none belongs'],
    ['EVENT_LOG_URL', 'sqlite:', 'no file'],
    ['OBJECT_STORE_URL', 's3://mail?endpint=http://127.0.0.1:8000', 'a parameter that nobody reads'],
    ['OBJECT_STORE_URL', 's3://key:hunter2@mail', 'a password where none belongs'],
    ['DATABASE_URL', 'postgresql://u:hunter2@h:99999/x', 'past the last port'],
    ['DATABASE_URL', 'postgresql://u:hunter2#@h/x', 'a mark in the password that ends the URL'],
    ['DATABASE_URL', 'postgresql:u:hunter2@h/x', 'no host'],
    ['DATABASE_URL', 'postgresql://u:hunter2@h/x?sslmode=verify_full', 'a mode that would be taken for none'],
    ['DATABASE_URL', 'mysql://u:hunter2@h/x', 'no adapter'],
    ['DATABASE_URL', 'hunter2', 'no scheme'],
    ['SMTP_DNS_SERVERS', 'dns.example', 'a name needs a DNS'],
    ['SMTP_DNS_SERVERS', '192.0.2.53:0', 'no port'],
    ['SMTP_DNS_SERVERS', '192.0.2.53,', 'an empty one'],
    ['SMTP_AUTHENTICATION', 'yes', 'not in the set'],
    ['SMTP_REQUIRE_TLS', 'yes', 'true or false'],
    ['SMTP_TLS_PORT', '70000', 'past the last port'],
    ['SMTP_PROXY_FROM', '10.0.0.0/33', 'more bits than there are'],
    ['SMTP_PROXY_FROM', 'balancer.example', 'a name'],
    ['OUTBOUND_URL', 'relay.example:25', 'no scheme'],
    ['OUTBOUND_URL', 'smtp://', 'no host'],
    ['OUTBOUND_URL', 'http://u:hunter2@relay.example', 'not SMTP'],
    ['OUTBOUND_URL', 'smtp://u:hunter2@relay.example/x', 'a path'],
    ['OUTBOUND_URL', 'smtp://u:hunter2#@relay.example', 'a mark in the password that ends the URL'],
    ['OUTBOUND_URL', 'smtp://u:hunter2%zz@relay.example', 'no escape'],
    ['OUTBOUND_URL', 'smtp://hunter2@relay.example', 'a user and no password'],
    ['OUTBOUND_URL', 'smtp://u:hunter2@relay.example:99999', 'past the last port'],
    ['OUTBOUND_TLS', 'none', 'not in the set'],
    ['SCANNER_URL', '127.0.0.1:3310', 'no scheme'],
    ['SCANNER_URL', 'clamd://', 'no place'],
    ['SCANNER_URL', 'clamd://127.0.0.1', 'no port'],
    ['SCANNER_URL', 'clamd://127.0.0.1:3310/x', 'a port and a path'],
  ])('%s=%s is refused (%s)', (env, value, _why) => {
    const problem = problemsOf({ [env]: value })
    expect(problem).toMatch(new RegExp(`${env}: must (be|have|hold|name) `))
    expect(problem).not.toContain('hunter2')
  })

  test.each([
    ['127.8.9.1', '127.0.0.0/8,::1', true, 'the default'],
    ['::1', '127.0.0.0/8,::1', true, 'an address alone'],
    ['192.0.2.1', '127.0.0.0/8,::1', false, 'not listed'],
    ['2001:db8:9::1', '10.0.0.0/8, 2001:DB8::/32', true, 'RFC 4291 2.3, and a blank'],
    ['10.1.1.1', ',', false, 'nothing listed'],
  ])('%s in SMTP_TRUSTED=%s: %s (%s)', (address, list, want, _why) => {
    const trusted = loadConfig({ SMTP_TRUSTED: list }).smtpTrusted
    expect(trusted.check(address, address.includes(':') ? 'ipv6' : 'ipv4')).toBe(want)
  })

  test.each([
    ['EVENT_LOG_URL', 'kafka://[::1]:9092,b.example,10.0.0.1:65535/'],
    ['OBJECT_STORE_URL', 's3://mail/in?endpoint=https://rgw.example:8443&region=eu&pathStyle=true'],
    ['DATABASE_URL', 'postgresql://u:p%23%40@h:5432/x?sslmode=verify-full&sslrootcert=/etc/ca.pem'],
    ['DATABASE_URL', 'postgres://u@%2Fvar%2Frun%2Fpostgresql/x'],
    ['DATABASE_URL', 'postgresql:///x?host=/var/run/postgresql'],
  ])('%s=%s is taken as it is', (env, value) => expect(problemsOf({ [env]: value })).toBe(''))

  test.each([
    [{ SMTP_REQUIRE_TLS: 'true' }, 'SMTP_REQUIRE_TLS: needs SMTP_TLS_CERT'],
    [{ SMTP_TLS_PORT: '465' }, 'SMTP_TLS_PORT: needs SMTP_TLS_CERT'],
    [{ SMTP_SUBMISSION_PORT: '587' }, 'SMTP_SUBMISSION_PORT: needs SMTP_TLS_CERT'],
    [{ SMTP_TLS_CERT: 'a.crt,b.crt', SMTP_TLS_KEY: 'a.key' }, 'SMTP_TLS_KEY: must name as many files'],
  ])('%j: %s', (environment, problem) => {
    expect(problemsOf(environment)).toContain(problem)
  })

  test('several certificates, ports and balancers', () => {
    const files = { SMTP_TLS_CERT: '/a.crt, /b.crt', SMTP_TLS_KEY: '/a.key,/b.key' }
    const config = loadConfig({ ...files, SMTP_SUBMISSION_PORT: '587', SMTP_PROXY_FROM: '10.0.0.0/8, 2001:db8::1' })
    expect(config.smtpTlsCert).toEqual(['/a.crt', '/b.crt'])
    expect(config.smtpSubmissionPort).toBe(587)
    expect(config.smtpTlsPort).toBeUndefined()
    expect(config.smtpProxyFrom.check('2001:db8::1', 'ipv6')).toBe(true)
  })

  test.each([
    ['', undefined],
    ['clamd://127.0.0.1:3310', { host: '127.0.0.1', port: 3310 }],
    ['clamd://[::1]:3310', { host: '::1', port: 3310 }],
    ['clamd:///run/clamav/clamd.ctl', { path: '/run/clamav/clamd.ctl' }],
  ])('SCANNER_URL=%s', (value, place) => {
    expect(loadConfig({ SCANNER_URL: value }).scannerUrl).toEqual(place)
  })

  test.each([
    ['', undefined],
    ['smtp://relay.example', { host: 'relay.example', port: 25, secure: false }],
    ['smtp://[::1]:2525/', { host: '::1', port: 2525, secure: false }],
    [
      'smtp://u%40x:p%2F%25@relay.example',
      { host: 'relay.example', port: 587, secure: false, credentials: { user: 'u@x', pass: 'p/%' } },
    ],
    ['smtps://relay.example', { host: 'relay.example', port: 465, secure: true }],
  ])('OUTBOUND_URL=%s', (value, place) => {
    expect(loadConfig({ OUTBOUND_URL: value }).outboundUrl).toEqual(place)
  })

  test('resume must not be below the floor', () => {
    expect(problemsOf({ SPOOL_FREE_MIN: '100', SPOOL_FREE_RESUME: '99' })).toContain('SPOOL_FREE_RESUME')
  })

  test('of the replicas one may be away unless told otherwise; more than there are never acknowledge', () => {
    const least = (KAFKA_REPLICATION: string) => loadConfig({ KAFKA_REPLICATION }).kafkaMinInsyncReplicas
    expect(['1', '2', '3', '5'].map(least)).toEqual([1, 1, 2, 4])
    expect(loadConfig({ KAFKA_MIN_INSYNC_REPLICAS: '3' }).kafkaMinInsyncReplicas).toBe(3)
    const wrong = problemsOf({ KAFKA_REPLICATION: '2', KAFKA_MIN_INSYNC_REPLICAS: '3' })
    expect(wrong).toContain('KAFKA_MIN_INSYNC_REPLICAS: must not be above KAFKA_REPLICATION (2), got "3"')
  })

  test('zero is a value, not a missing one', () => {
    expect(loadConfig({ INDEX_RETRIES: '0' }).indexRetries).toBe(0)
  })

  test('an empty variable counts as not set', () => {
    expect(settingText('SMTP_PORT', { SMTP_PORT: '' })).toEqual({ text: '2525', origin: 'default' })
  })

  test('names are unique and upper-case', () => {
    const names = Object.values(SETTINGS).map((each) => each.env)
    expect(new Set(names).size).toBe(names.length)
    expect(names.filter((name) => !/^[A-Z][A-Z_]+$/.test(name))).toEqual([])
  })
})
