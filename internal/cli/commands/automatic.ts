// autoreplies, outbound: what mailboxes answer by themselves, and mail of ours on its way out.

import { limitOption, option, tenantOption, type Noun } from '../tree.ts'

const autoreplies = () => import('../autoreplies.ts')
const outbound = () => import('../outbound.ts')

export const AUTOREPLIES: Noun = {
  name: 'autoreplies',
  about: 'Lists and changes what mailboxes answer by themselves',
  verbs: [
    {
      usage: 'list',
      about: 'Lists automatic replies',
      options: [tenantOption(), limitOption(1000)],
      examples: [['autoreplies list --tenant acme', 'of one tenant']],
      run: async (call) => (await autoreplies()).list(call),
    },
    {
      usage: 'show <address>',
      about: 'Shows what a mailbox answers',
      examples: [['autoreplies show sales@mail.example.org', 'one mailbox']],
      run: async (call) => (await autoreplies()).show(call),
    },
    {
      usage: 'set <address>',
      about:
        'Has a mailbox answer people by itself: each sender once in a while, no lists, no programs, nobody unauthenticated',
      options: [
        option('--file <file>', 'the text of the reply; - for standard input').makeOptionMandatory(),
        option('--subject <text>', 'after `Auto: `; else the subject of the mail that is answered'),
        option('--from <time>', 'answer from then on: 2026-12-24 or 2026-12-24T12:00:00Z'),
        option('--until <time>', 'answer until then'),
        option('--every <duration>', 'each sender gets one reply in so long, 1d to 365d', '7d'),
      ],
      examples: [
        ['autoreplies set sales@mail.example.org --file away.txt --until 2027-01-04', 'while nobody is there'],
        ["echo 'We have it.' | ingestctl autoreplies set info@mail.example.org --file - --subject Received", 'always'],
      ],
      run: async (call) => (await autoreplies()).set(call),
    },
    {
      usage: 'remove <address>',
      about: 'Ends the automatic reply of a mailbox',
      examples: [['autoreplies remove sales@mail.example.org', 'answer nothing any more']],
      run: async (call) => (await autoreplies()).remove(call),
    },
  ],
}

export const OUTBOUND: Noun = {
  name: 'outbound',
  about: 'Looks into the queue of mail that goes out, such as automatic replies',
  verbs: [
    {
      usage: 'list',
      about: 'Lists outbound mail, the newest first',
      options: [
        tenantOption(),
        option('--state <state>', 'only this one: pending, sending, sent, failed'),
        limitOption(50),
      ],
      examples: [['outbound list --state failed', 'what could not be sent']],
      run: async (call) => (await outbound()).list(call),
    },
    {
      usage: 'show <id>',
      about: 'Shows one outbound mail, with what the relay said last',
      examples: [['outbound show ID', 'one mail']],
      run: async (call) => (await outbound()).show(call),
    },
    {
      usage: 'retry <ids...>',
      about: 'Tries failed mail again, for five more days',
      examples: [['outbound retry ID', 'after the relay was mended']],
      run: async (call) => (await outbound()).retry(call),
    },
    {
      usage: 'drop <ids...>',
      about: 'Takes mail out of the queue, unless it is being sent',
      examples: [['outbound drop ID', 'never send it']],
      run: async (call) => (await outbound()).drop(call),
    },
  ],
}
