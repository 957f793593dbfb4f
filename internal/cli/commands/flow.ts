// spool, events, replay, quarantine: mail on its way, and mail sent round again.

import { limitOption, option, tenantOption, timeOptions, type Noun, type Verb } from '../tree.ts'
import { whole } from '../quantity.ts'
import { dryRunOption, selection } from './messages.ts'

const spool = () => import('../spool.ts')
const events = () => import('../events.ts')
const replay = () => import('../replay.ts')

export const SPOOL: Noun = {
  name: 'spool',
  alias: 'queue',
  about: 'Looks into the spool of accepted mail, without a lock and with or without running daemons',
  verbs: [
    {
      usage: 'list',
      about: 'Lists entries that are not handed on yet, the oldest first, and those set aside',
      options: [limitOption(100)],
      examples: [['spool list', 'what waits']],
      run: async (call) => (await spool()).list(call),
    },
    {
      usage: 'show <id>',
      about: 'Shows one entry of the spool, by entry or trace id',
      examples: [['spool show ID', 'envelope, size, digest']],
      run: async (call) => (await spool()).show(call),
    },
    {
      usage: 'verify',
      about: 'Reads everything in the spool and checks every digest; exit 5 when something is damaged',
      examples: [['spool verify', 'after a crash of the machine']],
      run: async (call) => (await spool()).verify(call),
    },
    {
      usage: 'export [ids...]',
      about: 'Writes entries as files into a directory: ID.eml with the bytes as received, ID.json with the envelope',
      options: [option('--into <dir>', 'where to; made if it is not there').makeOptionMandatory()],
      examples: [
        ['spool export --into /tmp/mail', 'everything that waits'],
        ['spool export ID --into .', 'one entry'],
      ],
      run: async (call) => (await spool()).exportEntries(call),
    },
    {
      usage: 'attach <dir>',
      about:
        'Hands on everything that waits in the spool of a node that is gone, in DIR on this machine, and ends; exit 5 when something is set aside or refusals could not be told, 6 while its smtpd or uploaderd lives; safe to repeat',
      options: [dryRunOption()],
      examples: [
        ['spool attach /mnt/node3/spool --dry-run', 'how much waits'],
        ['spool attach /mnt/node3/spool', 'to the object store and the event log of the settings'],
      ],
      run: async (call) => (await import('../attach.ts')).attach(call),
    },
  ],
}

const eventOptions = () => [
  option('--type <types>', 'only these types; several with commas'),
  tenantOption(),
  option('--id <id>', 'only of this event, message, entry or trace'),
  ...timeOptions('happened'),
  option('--topic <topic>', 'only this topic'),
  option('--offset <n>', 'from this offset of --topic').argParser(whole('--offset', 0, Number.MAX_SAFE_INTEGER)),
]

export const EVENTS: Noun = {
  name: 'events',
  about: 'Reads the event log; --json and --ndjson print CloudEvents, one a line when following',
  verbs: [
    {
      usage: 'tail [id]',
      about: 'Prints the last events and then each new one, until interrupted',
      options: [
        ...eventOptions(),
        option('-n, --last <n>', 'begin with so many of the last events', 10).argParser(whole('-n', 0, 100_000)),
        option('--no-follow', 'stop at the present end'),
      ],
      examples: [
        ['events tail', 'watch mail come in'],
        ['events tail --from 1h --type message.quarantined --json', 'the last hour, then on'],
      ],
      run: async (call) => (await events()).tail(call),
    },
    {
      usage: 'query [id]',
      about: 'Prints the events that match, in the order of the log',
      options: [
        ...eventOptions(),
        limitOption(100, 'events'),
        option('-n, --last <n>', 'the last so many instead of the first').argParser(whole('-n', 1, 100_000)),
        option('--follow', 'go on with new events, like tail'),
      ],
      examples: [
        ['events query ID', 'of one message, entry or trace'],
        ['events query --tenant acme --from 1d --ndjson', 'a day of one tenant'],
      ],
      run: async (call) => (await events()).query(call),
    },
  ],
}

export const REFUSALS: Noun = {
  name: 'refusals',
  about: 'Says why mail did not arrive: what was refused, deferred or let go at the SMTP port',
  verbs: [
    {
      usage: 'list',
      about: 'Lists the last refusals, the newest at the end',
      options: [
        tenantOption(),
        option('--reason <reason>', 'only this reason (docs/events.md)'),
        ...timeOptions('refused'),
        limitOption(50),
      ],
      examples: [
        ['refusals list --tenant acme --from 1h', 'why did this mail not arrive?'],
        ['refusals list --reason unknown_rcpt --json', 'addresses that nobody has'],
      ],
      run: async (call) => (await import('../refusals.ts')).list(call),
    },
  ],
}

/** How a replay runs, whatever chose its messages. */
const running = () => [
  dryRunOption(),
  option('--show <n>', 'messages of a dry run that are shown field by field', 20).argParser(whole('--show', 0, 1000)),
  option('--yes', 'do not ask'),
  option('--limit <n>', 'at most so many messages, or all', 1000).argParser(manyOrAll),
  option('--rate <n>', 'at most so many messages a second', 200).argParser(whole('--rate', 1, 100_000)),
]

const manyOrAll = (text: string): number =>
  text === 'all' ? Number.POSITIVE_INFINITY : whole('--limit', 1, 10_000_000)(text)

export const REPLAY: Verb = {
  usage: 'replay [ids...]',
  about:
    'Has messages indexed again, from the objects that are kept: by id, or by what they have in common; safe to repeat',
  options: [
    ...selection(),
    option('--offsets <range>', 'messages of a range of the log: topic:partition:from-to'),
    option(
      '--objects <prefix>',
      'messages of the object store under this prefix, also those that the store knows nothing of',
    ),
    option('--resume <job>', 'go on with an interrupted replay'),
    ...running(),
  ],
  examples: [
    ['replay --from 5m --dry-run', 'what would change'],
    ['replay --tenant acme --status FAILED --yes', 'every failed message of a tenant'],
    ["search 'from:bob' --ids | ingestctl replay -", 'ids from a pipe'],
    ['replay --offsets mail.ingest.v1:0:100-200 --yes', 'what was told at these places of the log'],
    ["replay --objects '' --limit all --yes", 'everything, from the object store alone'],
  ],
  run: async (call) => (await replay()).replayMessages(call),
}

export const QUARANTINE: Noun = {
  name: 'quarantine',
  about: 'Looks at mail that was set aside with a reason, and sends it round again',
  verbs: [
    {
      usage: 'list',
      about: 'Lists quarantined messages, the newest first',
      options: [
        tenantOption(),
        option('--reason <reason>', 'only this reason'),
        ...timeOptions('received'),
        limitOption(50),
        option('--ids', 'print the ids alone'),
      ],
      examples: [['quarantine list', 'what was set aside, and why']],
      run: async (call) => (await import('../quarantine.ts')).list(call),
    },
    {
      usage: 'show <id>',
      about: 'Shows one quarantined message with its reason',
      examples: [['quarantine show ID', 'why it was set aside']],
      run: async (call) => (await import('../quarantine.ts')).show(call),
    },
    {
      usage: 'release <ids...>',
      about: 'Takes in messages that a policy set aside, and remembers it',
      options: running(),
      examples: [['quarantine release ID', 'it was no forgery']],
      run: async (call) => (await replay()).release(call),
    },
    {
      usage: 'redrive [ids...]',
      about: 'Has quarantined messages judged again, by id, reason or tenant',
      options: [
        tenantOption(),
        option('--reason <reason>', 'only this reason'),
        ...timeOptions('received'),
        ...running(),
      ],
      examples: [['quarantine redrive --reason mime_depth --dry-run', 'what would change']],
      run: async (call) => (await replay()).redrive(call),
    },
  ],
}

const groupOption = () => option('--group <group>', 'only what this consumer group could not read')
const topicOption = () => option('--topic <topic>', 'only records of this topic')

const dlqChanging = () => [
  groupOption(),
  topicOption(),
  option('--all', 'of every group and topic'),
  option('--dry-run', 'say what would be done, and do nothing'),
  option('--yes', 'do not ask'),
  limitOption(1000, 'dead letters'),
]

export const DLQ: Noun = {
  name: 'dlq',
  about:
    'Looks at dead letters, the records that a consumer group could not read, and sends them round again or drops them',
  verbs: [
    {
      usage: 'list',
      about: 'Lists dead letters, of each partition the oldest first',
      options: [groupOption(), topicOption(), limitOption(50, 'dead letters'), option('--ids', 'print the ids alone')],
      examples: [['dlq list', 'what could not be read, and why']],
      run: async (call) => (await import('../dlq.ts')).list(call),
    },
    {
      usage: 'show <id>',
      about: 'Shows one dead letter: where it stood, why it is dead, its headers and value as they were',
      examples: [['dlq show indexer/mail.ingest.v1/3/1204', 'by the id that list prints']],
      run: async (call) => (await import('../dlq.ts')).show(call),
    },
    {
      usage: 'replay [ids...]',
      about:
        'Puts records back at the end of their topic, as they were, and forgets the letters; after an upgrade that can read them; safe to repeat',
      options: dlqChanging(),
      examples: [
        ['dlq replay --all --dry-run', 'how many there are'],
        ['dlq replay --group indexer --yes', 'all of one group'],
      ],
      run: async (call) => (await import('../dlq.ts')).replay(call),
    },
    {
      usage: 'drop [ids...]',
      about: 'Gives dead letters up for good; a letter goes only with the older ones of its partition',
      options: dlqChanging(),
      examples: [['dlq drop indexer/mail.ingest.v1/3/1204', 'one that nobody needs']],
      run: async (call) => (await import('../dlq.ts')).drop(call),
    },
  ],
}

const reordering = () =>
  option(
    '--accept-reordering',
    'let partitions grow, although the order of the events of one message is lost across it',
  )

export const TOPICS: Noun = {
  name: 'topics',
  about: 'Compares the topics of the Kafka cluster with what the settings want, and makes them so',
  verbs: [
    {
      usage: 'plan',
      about: 'Lists what is to be done, and does nothing; exit 5 when a step is refused',
      options: [reordering()],
      examples: [['topics plan', 'before a change']],
      run: async (call) => (await import('../topics.ts')).plan(call),
    },
    {
      usage: 'apply',
      about: 'Does what plan lists: all of it, or nothing when a step is refused',
      options: [reordering()],
      examples: [['topics apply', 'before the first start on a cluster']],
      run: async (call) => (await import('../topics.ts')).apply(call),
    },
  ],
}
