// messages, documents, trace, search: what came in.

import { limitOption, option, tenantOption, timeOptions, type Noun, type Verb } from '../tree.ts'

const messages = () => import('../messages.ts')
const documents = () => import('../documents.ts')

/** Of every command that has messages indexed again. */
export const dryRunOption = () =>
  option('--dry-run', 'index each message on trial, say what would change, and change nothing')

/** Which messages: the same for lists, searches and replays. */
export const selection = () => [
  tenantOption(),
  option('--mailbox <address>', 'only mail that came to this mailbox'),
  option('--status <statuses>', 'only these: STORED, PARSED, QUARANTINED, FAILED, DUPLICATE; several with commas'),
  option('--reason <reason>', 'only those with this quarantine or failure reason'),
  option('--flag <flag>', 'only those with this flag, such as unscanned'),
  option('--thread <id>', 'only this conversation'),
  ...timeOptions('received'),
]

const listing = () => [...selection(), limitOption(50), option('--ids', 'print the ids alone, for pipes')]

const searchVerb = (usage: string): Verb => ({
  usage: `${usage} <query...>`,
  about:
    'Finds messages by words and by from:, to:, subject:, filename:, body:, before:, after:, newer:, larger:, has:attachment, status:, mailbox:',
  options: listing(),
  examples: [
    [`${usage === 'search' ? '' : 'messages '}search 'from:bob filename:pdf'`, 'PDF files from Bob'],
    ["search 'subject:invoice -status:PARSED' --ids", 'ids for a pipe'],
  ],
  run: async (call) => (await messages()).search(call),
})

export const MESSAGES: Noun = {
  name: 'messages',
  about: 'Lists, shows, downloads and retries messages',
  verbs: [
    {
      usage: 'list',
      about: 'Lists messages, the newest first',
      options: listing(),
      examples: [
        ['messages list', 'the newest 50'],
        ['messages list --status QUARANTINED,FAILED --from 1d --json', 'what went wrong since yesterday'],
      ],
      run: async (call) => (await messages()).list(call),
    },
    {
      usage: 'show <id>',
      about: 'Shows one message, by its id, or by an entry, trace or Message-ID that has one message',
      examples: [['messages show 0193f1c2-7f3e-7c1a-9a52-3f0f3a1b2c3d --json', 'one object for a script']],
      run: async (call) => (await messages()).show(call),
    },
    {
      usage: 'raw <id>',
      about: 'Writes the bytes exactly as received',
      options: [option('--with-trace', 'our Return-Path and Received lines before them')],
      examples: [['messages raw ID > x.eml', 'save it']],
      run: async (call) => (await messages()).raw(call),
    },
    { ...searchVerb('search') },
    {
      usage: 'retry <ids...>',
      about: 'Indexes messages again, whatever their status; safe to repeat',
      options: [dryRunOption()],
      examples: [['messages retry ID', 'try a FAILED message again']],
      run: async (call) => (await import('../replay.ts')).retry(call),
    },
    {
      usage: 'process <ids...>',
      about: 'Processes duplicates by hand, as if they were the first with their Message-ID',
      options: [dryRunOption()],
      examples: [['messages process ID', 'index a DUPLICATE in full']],
      run: async (call) => (await import('../replay.ts')).processDuplicate(call),
    },
  ],
}

export const DOCUMENTS: Noun = {
  name: 'documents',
  about: 'Lists and downloads the file attachments of messages',
  verbs: [
    {
      usage: 'list [message]',
      about: 'Lists documents, of one message or the newest of all',
      options: [
        tenantOption(),
        option('--type <content-type>', 'only this content type'),
        option('--sha256 <hex>', 'only this content'),
        limitOption(50),
      ],
      examples: [
        ['documents list ID', 'the files of one message'],
        ['documents list --type application/pdf --json', 'the newest PDF files'],
      ],
      run: async (call) => (await documents()).list(call),
    },
    {
      usage: 'get <id>',
      about: 'Writes the bytes of a document',
      examples: [['documents get ID > file', 'save it']],
      run: async (call) => (await documents()).get(call),
    },
  ],
}

export const SEARCH: Verb = searchVerb('search')

export const TRACE: Verb = {
  usage: 'trace <id>',
  about:
    'Shows the whole life of a message, by entry, message or trace id: every message, object, event and log position',
  examples: [['trace 0193f1c2-7f3e-7c1a-9a52-3f0f3a1b2c3d', 'the id that the 250 quoted']],
  run: async (call) => (await import('../trace.ts')).trace(call),
}
