// send, status, health, doctor, config: trying it out and looking after it.

import { whole } from '../quantity.ts'
import { KINDS } from '../samples.ts'
import { option, type Noun, type Verb } from '../tree.ts'

const gathered = (value: string, before: unknown): string[] => [
  ...(Array.isArray(before) ? (before as string[]) : []),
  value,
]

export const SEND: Verb = {
  usage: 'send [what...]',
  about: `Makes test mail and sends it by SMTP. WHAT is a kind (${Object.keys(KINDS).join(', ')}), a file, or - for raw bytes from stdin`,
  options: [
    option('--demo', 'five samples: text, HTML, attachments, a forged DKIM signature, EICAR'),
    option('--kind <kind>', 'a kind of mail; may be repeated').argParser(gathered),
    option('--to <address>', 'recipient; may be repeated (default: the tenant acme)').argParser(gathered),
    option('--from <address>', 'sender; <> for the null sender', 'bob@example.test'),
    option('--subject <text>', 'instead of the kind’s own subject'),
    option('--count <n>', 'send each so many times', 1).argParser(whole('--count', 1, 10_000_000)),
    option('--rate <n>', 'at most so many a second').argParser(whole('--rate', 1, 100_000)),
    option('--size <bytes>', 'size of the mail `large`', '20M'),
    option('--server <host:port>', 'SMTP server (default: SMTP_HOST and SMTP_PORT)'),
    option('--crlf', 'make every line end CRLF in bytes that are given; else they are sent as they are'),
    option('--wait', 'wait until it is indexed; print what became of it, and how fast'),
    option('--timeout <seconds>', 'with --wait, how long at most', 30).argParser(whole('--timeout', 1, 86_400)),
  ],
  examples: [
    ['send --demo', 'five sample mails'],
    ['send pdf names --wait', 'two kinds, and what becomes of them'],
    ['send large --size 20M', 'a large one'],
    ['send - < x.eml', 'the bytes of a file as they are'],
  ],
  run: async (call) => (await import('../send.ts')).send(call),
}

export const STATUS: Verb = {
  usage: 'status',
  about: 'Says how it goes: spool, messages by status, lag, disk. Exit 0 ok, 1 warning, 2 critical',
  examples: [
    ['status', 'at a glance'],
    ['status --json', 'for a monitor'],
  ],
  run: async (call) => (await import('../status.ts')).status(call),
}

export const HEALTH: Verb = {
  usage: 'health',
  about: 'Asks the service on METRICS_LISTEN whether it is ready; exit 0 or 1',
  options: [option('--live', 'ask only whether it is alive')],
  examples: [['health', 'as a container probe does']],
  run: async (call) => (await import('../status.ts')).health(call),
}

export const DOCTOR: Verb = {
  usage: 'doctor',
  about:
    'Checks this machine: Node, settings, directories, fsync, space, clock, ports, locks, engines, topics; exit 1 when something fails',
  examples: [['doctor', 'before the first start, and when in doubt']],
  run: async (call) => (await import('../doctor.ts')).doctor(call),
}

export const DB: Noun = {
  name: 'db',
  about: 'Brings the schema of the store (DATABASE_URL) up to date',
  verbs: [
    {
      usage: 'migrate',
      about: 'Takes the steps that the schema lacks, all or none, and lists them; makes the store where there is none',
      options: [option('--dry-run', 'list them and take none')],
      examples: [
        ['db migrate --dry-run', 'what an update will do'],
        ['db migrate', 'with the DATABASE_URL of the role that owns the tables'],
      ],
      run: async (call) => (await import('../database.ts')).migrate(call),
    },
  ],
}

export const CONFIG: Noun = {
  name: 'config',
  about: 'Explains and checks the settings',
  verbs: [
    {
      usage: 'explain [key]',
      about: 'Prints a setting, its value and where that comes from; all settings without a key',
      examples: [
        ['config explain SPOOL_DIR', 'one setting'],
        ['config explain --json', 'all of them'],
      ],
      run: async (call) => (await import('../settings.ts')).explain(call),
    },
    {
      usage: 'check',
      about: 'Checks all settings and reports every problem; exit 2 when there is one',
      examples: [['config check', 'before a restart']],
      run: async (call) => (await import('../settings.ts')).check(call),
    },
  ],
}
