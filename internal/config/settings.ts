// Every setting: name, default, unit, meaning, parser. docs/settings.md and deploy/env.example are generated from this table.

import { engineUrl } from './engine-url.ts'
import * as parse from './parse.ts'

/** A default is a text, or derives from the texts of other settings. */
type Default = string | ((of: (env: string) => string) => string)

export interface Setting<T> {
  env: string
  fallback: Default
  /** Empty for texts and URLs. */
  unit: '' | 'bytes' | 'ms' | 'days' | 'count'
  meaning: string
  /** Holds a password: never printed. */
  secret: boolean
  parse(text: string): T
}

function setting<T>(
  env: string,
  read: (text: string) => T,
  fallback: Default,
  meaning: string,
  unit: Setting<T>['unit'] = '',
  secret = false,
): Setting<T> {
  return { env, parse: read, fallback, meaning, unit, secret }
}

const MIB = 1024 * 1024
const mib = (count: number) => String(count * MIB)
const GIB = 1024 * MIB

/** One fewer than a number, and at least 1; of anything else the words for it, as documents show a default. */
const oneLess = (count: string) => (/^\d+$/.test(count) ? String(Math.max(1, Number(count) - 1)) : `${count} - 1`)

// One statement a line: the table reads as a table.
// prettier-ignore
export const SETTINGS = {
  dataDir: setting('DATA_DIR', parse.path, './data', 'Directory of everything that is kept on this machine.'),
  deployment: setting('DEPLOYMENT', parse.text, 'local', 'Name of this deployment; part of every event\'s source.'),
  logLevel: setting('LOG_LEVEL', parse.oneOf('debug', 'info', 'warn', 'error'), 'info', 'Least severe log lines written.'),
  logFile: setting('LOG_FILE', parse.text, '-', 'File that JSON log lines go to; `-` is standard output. `make run` uses DATA_DIR/ingest.log unless this is set.'),
  logAddresses: setting('LOG_ADDRESSES', parse.oneOf('full', 'masked'), 'full', '`masked`: log lines have `…@example.org` for an address and a client\'s /24 or /64 for its own.'),
  logRepeatMax: setting('LOG_REPEAT_MAX', parse.whole(0, 1_000_000), '1000', 'Lines with the same message in 10 s; more are counted and left out. What becomes of accepted mail is always told. 0 for no such limit.', 'count'),
  metricsListen: setting('METRICS_LISTEN', parse.loopbackListen, '127.0.0.1:9090', 'Listener of /metrics, /healthz and /readyz; anything but a loopback address is refused. Port 9091 for uploaderd, 9092 for indexerd, 9095 for probed unless set.'),

  smtpHost: setting('SMTP_HOST', parse.host, '127.0.0.1', 'Address that the SMTP listener binds.'),
  smtpPort: setting('SMTP_PORT', parse.whole(0, 65_535), '2525', 'Port of the SMTP listener; 0 takes a free one.', 'count'),
  smtpDomain: setting('SMTP_DOMAIN', parse.domain, 'mail.localhost', 'Hosted domain whose `<prefix>+<tenant>` addresses route to tenants.'),
  smtpHostname: setting('SMTP_HOSTNAME', parse.domain, (of) => of('SMTP_DOMAIN'), 'Name in the banner and in Received.'),
  smtpPlusPrefix: setting('SMTP_PLUS_PREFIX', parse.localPart, 'orders', 'Local part before the plus in addresses that route to a tenant: `orders+acme@`.'),
  smtpMaxMessageSize: setting('SMTP_MAX_MESSAGE_SIZE', parse.whole(1024, GIB), mib(25), 'Largest message; larger ones get 552 5.3.4. A tenant may have a smaller limit of its own.', 'bytes'),
  smtpMaxRecipients: setting('SMTP_MAX_RECIPIENTS', parse.whole(100, 5000), '1000', 'Recipients of one transaction; the surplus gets 452 4.5.3 (RFC 5321 4.5.3.1.8: at least 100).', 'count'),
  smtpMaxSessions: setting('SMTP_MAX_SESSIONS', parse.whole(1, 100_000), '500', 'Sessions at one time; more get 421.', 'count'),
  smtpTrusted: setting('SMTP_TRUSTED', parse.networks, '127.0.0.0/8,::1', 'Addresses and networks (`192.0.2.0/24,2001:db8::/32`) that no limit of an address or network holds for.'),
  smtpAddressSessions: setting('SMTP_ADDRESS_SESSIONS', parse.whole(0, 100_000), '50', 'Sessions of one address at one time; more get 421 4.7.0. 0 for no such limit.', 'count'),
  smtpNetworkSessions: setting('SMTP_NETWORK_SESSIONS', parse.whole(0, 100_000), '200', 'Sessions of one /24 or IPv6 /64 at one time; more get 421 4.7.0. 0 for no such limit.', 'count'),
  smtpSessionRate: setting('SMTP_SESSION_RATE', parse.whole(0, 1_000_000), '300', 'New sessions of one client in a minute; more get 421 4.7.0. An IPv6 client is its /64, here and below. 0 for no such limit.', 'count'),
  smtpCommandRate: setting('SMTP_COMMAND_RATE', parse.whole(0, 100_000_000), '20000', 'Commands of one client in a minute; more get 421 4.7.0. 0 for no such limit.', 'count'),
  smtpErrorRate: setting('SMTP_ERROR_RATE', parse.whole(0, 1_000_000), '300', 'Replies of 5xx to one client in a minute, unknown recipients among them; then 421 4.7.0, also to new sessions. 0 for no such limit.', 'count'),
  smtpMessageRate: setting('SMTP_MESSAGE_RATE', parse.whole(0, 1_000_000), '1000', 'Mails of one client in a minute; more get 450 4.7.1. 0 for no such limit.', 'count'),
  smtpRecipientRate: setting('SMTP_RECIPIENT_RATE', parse.whole(0, 10_000_000), '10000', 'Recipients that one client names in a minute; more get 450 4.7.1. 0 for no such limit.', 'count'),
  smtpByteRate: setting('SMTP_BYTE_RATE', parse.whole(0, 1024 * GIB), String(2 * GIB), 'Content of one client in a minute; once it is more, mail gets 450 4.7.1 for as long as that is too much. 0 for no such limit.', 'bytes'),
  smtpTenantMessageRate: setting('SMTP_TENANT_MESSAGE_RATE', parse.whole(0, 100_000_000), '0', 'Mails to one tenant in a minute, on this node; its recipients in others get 452 4.2.2. 0 for no such limit.', 'count'),
  smtpTenantByteRate: setting('SMTP_TENANT_BYTE_RATE', parse.whole(0, 1024 * GIB), '0', 'Mail to one tenant in a minute, on this node; once it is more, its recipients get 452 4.2.2 for as long as that is too much. 0 for no such limit.', 'bytes'),
  smtpDomainMessageRate: setting('SMTP_DOMAIN_MESSAGE_RATE', parse.whole(0, 100_000_000), '0', 'Mails to one of our domains in a minute, on this node; its recipients in others get 452 4.2.2. 0 for no such limit.', 'count'),
  smtpDomainByteRate: setting('SMTP_DOMAIN_BYTE_RATE', parse.whole(0, 1024 * GIB), '0', 'Mail to one of our domains in a minute, on this node; once it is more, its recipients get 452 4.2.2 for as long as that is too much. 0 for no such limit.', 'bytes'),
  smtpRefusalRate: setting('SMTP_REFUSAL_RATE', parse.whole(1, 1_000_000), '60', 'Refusals of one tenant for one reason in a minute, on this node, that become an `ingest.refused` each; the next one after that says how many did not.', 'count'),
  smtpMaxHeaderSize: setting('SMTP_MAX_HEADER_SIZE', parse.whole(0, GIB), mib(1), 'Largest header block of a mail; larger ones get 552 5.3.4. 0 for no such limit.', 'bytes'),
  smtpGreetingTimeoutMs: setting('SMTP_GREETING_TIMEOUT_MS', parse.whole(1000, 3_600_000), '300000', 'EHLO or HELO has to come within so long, whatever else comes.', 'ms'),
  smtpIdleTimeoutMs: setting('SMTP_IDLE_TIMEOUT_MS', parse.whole(1000, 3_600_000), '300000', 'A session that sends nothing for so long is closed (RFC 5321 4.5.3.2.7: at least 5 minutes).', 'ms'),
  smtpDataTimeoutMs: setting('SMTP_DATA_TIMEOUT_MS', parse.whole(1000, 86_400_000), '1800000', 'The content of one mail, or of one BDAT chunk, has to come in within so long.', 'ms'),
  smtpSessionTimeoutMs: setting('SMTP_SESSION_TIMEOUT_MS', parse.whole(1000, 86_400_000), '3600000', 'A session that is as old as this is closed between two mails.', 'ms'),
  smtpMinDataRate: setting('SMTP_MIN_DATA_RATE', parse.whole(0, 1_000_000), '500', 'Bytes a second that content has to come in with; slower senders use up SMTP_IDLE_TIMEOUT_MS. 0 for none.', 'bytes'),
  smtpGreetingDelayMs: setting('SMTP_GREETING_DELAY_MS', parse.whole(0, 6000), '0', 'Wait before the banner; who talks meanwhile gets 554 5.5.1.', 'ms'),
  smtpDrainTimeoutMs: setting('SMTP_DRAIN_TIMEOUT_MS', parse.whole(0, 600_000), '30000', 'On shutdown, how long transfers under way may take to finish.', 'ms'),
  smtpAuthentication: setting('SMTP_AUTHENTICATION', parse.oneOf('on', 'off', 'all'), 'on', 'Whether SPF, DKIM, DMARC and ARC of mail are checked: `on` for clients other than this machine, `all` for those of loopback as well, `off`.'),
  smtpAuthenticationTimeoutMs: setting('SMTP_AUTHENTICATION_TIMEOUT_MS', parse.whole(100, 60_000), '10000', 'From the end of a mail, how long the DNS is waited for; what it has not told by then is temperror, and the mail is taken.', 'ms'),
  smtpDnsServers: setting('SMTP_DNS_SERVERS', parse.ipAddresses, '', 'DNS servers, `ADDRESS` or `ADDRESS:PORT` (IPv6 in brackets), separated by commas; empty for those of the system.'),
  smtpTlsCert: setting('SMTP_TLS_CERT', parse.paths, '', 'PEM file of the certificate and its chain; STARTTLS is offered once it is set. Several with commas: clients get the first that is for the name they ask for, else the first. Looked at every 5 s.'),
  smtpTlsKey: setting('SMTP_TLS_KEY', parse.paths, '', 'PEM file of its key; as many as there are certificates, in the same order.'),
  smtpRequireTls: setting('SMTP_REQUIRE_TLS', parse.flag, 'false', 'true: mail in plain text gets 530 5.7.0. Relays that cannot do TLS then deliver nothing.'),
  smtpTlsPort: setting('SMTP_TLS_PORT', parse.port, 'off', 'Port that speaks TLS from the first octet; 0 takes a free one, off for none.', 'count'),
  smtpSubmissionPort: setting('SMTP_SUBMISSION_PORT', parse.port, 'off', 'Port for clients that log in (`ingestctl credentials`), over STARTTLS; for recipients here only, nothing is relayed. 0 takes a free one, off for none.', 'count'),
  smtpProxyFrom: setting('SMTP_PROXY_FROM', parse.networks, '', 'Balancers that begin by a PROXY header (version 1 or 2), as addresses or networks with commas; they are served no other way.'),
  postmasterMailbox: setting('POSTMASTER_MAILBOX', parse.address, (of) => `postmaster@${of('SMTP_DOMAIN')}`, 'Mailbox that gets postmaster@ and abuse@ of every hosted domain that has none of its own.'),

  spoolDir: setting('SPOOL_DIR', parse.path, (of) => `${of('DATA_DIR')}/spool`, 'Directory of accepted mail; on a local disk that honours fsync.'),
  spoolFreeMin: setting('SPOOL_FREE_MIN', parse.whole(0, 1024 * GIB), mib(256), 'Free space that mail never takes; below it new mail gets 452 4.3.1.', 'bytes'),
  spoolFreeResume: setting('SPOOL_FREE_RESUME', parse.whole(0, 1024 * GIB), mib(320), 'Once short of space, free space at which mail is taken again; not below SPOOL_FREE_MIN.', 'bytes'),

  objectStoreUrl: setting('OBJECT_STORE_URL', engineUrl('file', 's3'), (of) => `file:${of('DATA_DIR')}/objects`, 'Object store for raw messages and attachments: file:DIRECTORY, or s3://BUCKET/PREFIX?endpoint=URL&region=NAME&pathStyle=true with the AWS_* variables of the SDK.'),
  eventLogUrl: setting('EVENT_LOG_URL', engineUrl('sqlite', 'kafka'), (of) => `sqlite:${of('DATA_DIR')}/events.db`, 'Event log: sqlite:FILE, or kafka://HOST:PORT,HOST:PORT.'),
  databaseUrl: setting('DATABASE_URL', engineUrl('sqlite', 'postgresql', 'postgres'), (of) => `sqlite:${of('DATA_DIR')}/store.db`, 'Store of tenants, messages and documents: sqlite:FILE, or postgresql://USER:PASSWORD@HOST/DATABASE.', '', true),
  databasePoolMax: setting('DATABASE_POOL_MAX', parse.whole(2, 1000), '10', 'PostgreSQL connections of one process.', 'count'),
  databaseStatementTimeoutMs: setting('DATABASE_STATEMENT_TIMEOUT_MS', parse.whole(100, 3_600_000), '30000', 'PostgreSQL statements that take longer are given up and tried again.', 'ms'),

  scannerUrl: setting('SCANNER_URL', parse.scannerUrl, '', 'Malware scanner: clamd://HOST:PORT, or clamd:///PATH of a Unix socket; empty for none. See docs/scanner.md.'),
  scannerDown: setting('SCANNER_DOWN', parse.oneOf('defer', 'accept'), 'defer', 'While the scanner does not answer: `defer` waits for it (451 4.7.1 to senders where SCANNER_INLINE is on), `accept` goes on and flags messages `unscanned`.'),
  scannerInline: setting('SCANNER_INLINE', parse.oneOf('off', 'on'), 'off', 'Whether smtpd scans before its final reply as well; indexerd scans what has not been scanned.'),
  scannerInfected: setting('SCANNER_INFECTED', parse.oneOf('reject', 'quarantine'), 'reject', 'With SCANNER_INLINE, what an infected message gets: 554 5.7.1, or 250 and a place in quarantine.'),
  scannerTimeoutMs: setting('SCANNER_TIMEOUT_MS', parse.whole(100, 600_000), '30000', 'The scanner has so long for each step: a connection, a chunk, the verdict.', 'ms'),
  scannerStreamMax: setting('SCANNER_STREAM_MAX', parse.whole(1024, 4 * GIB), mib(25), 'Largest message that the scanner is asked about; larger ones are flagged `unscanned`. Not above StreamMaxLength of clamd.', 'bytes'),
  scannerConnections: setting('SCANNER_CONNECTIONS', parse.whole(1, 256), '8', 'Scans of one process at one time; of all processes no more than MaxThreads of clamd.', 'count'),

  outboundUrl: setting('OUTBOUND_URL', parse.outboundUrl, '', 'Relay for mail of ours, such as automatic replies: smtp://USER:PASSWORD@HOST:587, smtps://… or smtp://HOST:25; empty for none, and then nothing is answered. The same for every indexerd. See docs/automatic-mail.md.', '', true),
  outboundTls: setting('OUTBOUND_TLS', parse.oneOf('required', 'opportunistic'), 'required', '`required`: the relay offers STARTTLS with a certificate that holds, or nothing is sent. `opportunistic`: plain text where it does not, and any certificate; a password is never sent in plain text.'),
  outboundTlsCa: setting('OUTBOUND_TLS_CA', parse.anything, '', 'PEM file of the authorities for the relay’s certificate; empty for those that Node knows.'),
  outboundTimeoutMs: setting('OUTBOUND_TIMEOUT_MS', parse.whole(100, 600_000), '60000', 'The relay has so long for a connection, and for its greeting; for each reply it has ten minutes (RFC 5321 4.5.3.2.6).', 'ms'),
  outboundConnections: setting('OUTBOUND_CONNECTIONS', parse.whole(1, 100), '4', 'Mails on their way to the relay at one time.', 'count'),
  outboundRetentionDays: setting('OUTBOUND_RETENTION_DAYS', parse.whole(1, 36_500), '30', 'Days that mail which was sent, or could not be, is kept in the queue, so that reports on it can be told apart.', 'days'),

  kafkaTlsCa: setting('KAFKA_TLS_CA', parse.anything, '', 'TLS to Kafka: a PEM file of authorities, or `system` for those that Node knows; empty for none.'),
  kafkaSaslMechanism: setting('KAFKA_SASL_MECHANISM', parse.anything, '', 'plain, scram-sha-256 or scram-sha-512; empty for none.'),
  kafkaSaslUsername: setting('KAFKA_SASL_USERNAME', parse.anything, '', 'Name to log in to Kafka with.'),
  kafkaSaslPassword: setting('KAFKA_SASL_PASSWORD', parse.anything, '', 'Password to log in to Kafka with.', '', true),
  kafkaTopicPrefix: setting('KAFKA_TOPIC_PREFIX', parse.anything, '', 'Stands before the name of every topic and consumer group, with its dot: `com.example.`.'),
  kafkaReplication: setting('KAFKA_REPLICATION', parse.whole(1, 100), '3', 'Copies of each partition that `topics apply` asks for.', 'count'),
  kafkaMinInsyncReplicas: setting('KAFKA_MIN_INSYNC_REPLICAS', parse.whole(1, 100), (of) => oneLess(of('KAFKA_REPLICATION')), 'Copies that must have an event before it is acknowledged; at least 1, at most KAFKA_REPLICATION.', 'count'),
  kafkaPartitions: setting('KAFKA_PARTITIONS', parse.whole(1, 10_000), '12', 'Partitions of each topic: how many indexers can share the work. Chosen for years: growing breaks the order of keys.', 'count'),
  kafkaIngestRetentionDays: setting('KAFKA_INGEST_RETENTION_DAYS', parse.whole(1, 36_500), '14', 'How long mail.ingest.v1 keeps its events.', 'days'),
  kafkaMessagesRetentionDays: setting('KAFKA_MESSAGES_RETENTION_DAYS', parse.whole(1, 36_500), '30', 'How long mail.messages.v1 keeps its events.', 'days'),
  kafkaRefusalsRetentionDays: setting('KAFKA_REFUSALS_RETENTION_DAYS', parse.whole(1, 36_500), '14', 'How long mail.refusals.v1 keeps its events.', 'days'),
  kafkaDeadLetterRetentionDays: setting('KAFKA_DEAD_LETTER_RETENTION_DAYS', parse.whole(1, 36_500), '30', 'How long the topics of dead letters keep theirs.', 'days'),

  uploadConcurrency: setting('UPLOAD_CONCURRENCY', parse.whole(1, 256), '16', 'Entries on their way from the spool to the object store at one time.', 'count'),
  uploadRetryMaxMs: setting('UPLOAD_RETRY_MAX_MS', parse.whole(100, 3_600_000), '30000', 'Longest pause between two tries while the object store or the event log fails.', 'ms'),
  directoryRefreshMs: setting('DIRECTORY_REFRESH_MS', parse.whole(100, 3_600_000), '1000', 'How often uploaderd looks for changed tenants, domains and mailboxes, and for what tenants with quotas have.', 'ms'),

  indexConcurrency: setting('INDEX_CONCURRENCY', parse.whole(1, 1024), '32', 'Messages under way in the indexer at one time.', 'count'),
  indexRetries: setting('INDEX_RETRIES', parse.whole(0, 1000), '8', 'Tries after the first when an object is missing; then the message is FAILED.', 'count'),
  eventsRetentionDays: setting('EVENTS_RETENTION_DAYS', parse.whole(0, 36_500), '400', 'Days that the store keeps its copy of the log’s events; PostgreSQL drops them by whole months; 0 keeps them for ever. Messages stay.', 'count'),
  parserProcesses: setting('PARSER_PROCESSES', parse.whole(1, 64), '2', 'Child processes that parse; each has one message at a time.', 'count'),
  parserDeadlineMs: setting('PARSER_DEADLINE_MS', parse.whole(100, 600_000), '20000', 'Time to parse a message, plus one second for each MiB; then the child is killed and the message quarantined.', 'ms'),
  parserMemoryMax: setting('PARSER_MEMORY_MAX', parse.whole(64 * MIB, 16 * GIB), mib(384), 'Resident memory of one parser child; above it the child is killed and the message quarantined.', 'bytes'),
  mimePartsMax: setting('MIME_PARTS_MAX', parse.whole(1, 1000), '1000', 'MIME parts of one message; more are quarantined.', 'count'),
  mimeDepthMax: setting('MIME_DEPTH_MAX', parse.whole(1, 1000), '100', 'Depth of nested MIME parts; deeper ones are quarantined.', 'count'),
  mimeHeaderMax: setting('MIME_HEADER_MAX', parse.whole(1024, MIB), mib(1), 'Size of one header block; larger ones are quarantined.', 'bytes'),

  probeTargets: setting('PROBE_TARGETS', parse.places, '', 'Front doors, `HOST:PORT` with commas, that probed sends a canary to; those that relays reach. In the all-in-one empty for none.'),
  probeRecipient: setting('PROBE_RECIPIENT', parse.address, (of) => `${of('SMTP_PLUS_PREFIX')}+canary@${of('SMTP_DOMAIN')}`, 'Address that canaries are sent to; a tenant of its own keeps them apart.'),
  probeEveryMs: setting('PROBE_EVERY_MS', parse.whole(1000, 3_600_000), '60000', 'How often a canary is sent to each front door.', 'ms'),
  probeDeadlineMs: setting('PROBE_DEADLINE_MS', parse.whole(1000, 3_600_000), '60000', 'A canary that is not indexed within so long has failed.', 'ms'),
} as const

export type SettingName = keyof typeof SETTINGS
export type Config = { readonly [K in SettingName]: ReturnType<(typeof SETTINGS)[K]['parse']> }
