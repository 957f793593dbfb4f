// tenants, domains, mailboxes: who may receive what; credentials: who may submit.

import { limitOption, option, tenantOption, type Noun } from '../tree.ts'

const tenants = () => import('../tenants.ts')
const domains = () => import('../domains.ts')
const mailboxes = () => import('../mailboxes.ts')
const credentials = () => import('../credentials.ts')

const nameOption = () => option('--name <text>', 'the name for people')

export const TENANTS: Noun = {
  name: 'tenants',
  about: 'Lists and changes tenants, the owners of mail',
  verbs: [
    {
      usage: 'list',
      about: 'Lists tenants, with what they have of their quotas today',
      options: [limitOption(1000)],
      examples: [['tenants list', 'all of them']],
      run: async (call) => (await tenants()).list(call),
    },
    {
      usage: 'add <slug>',
      about: 'Makes a tenant; it receives at <prefix>+<slug>@<domain> within seconds',
      options: [nameOption(), option('--size <bytes>', 'largest message, like 10M; else the limit of the deployment')],
      examples: [["tenants add globex --name 'Globex Corporation'", 'a new tenant']],
      run: async (call) => (await tenants()).add(call),
    },
    {
      usage: 'show <slug>',
      about: 'Shows one tenant, the address it receives at, and what it has of its quotas today',
      examples: [['tenants show acme', 'one tenant']],
      run: async (call) => (await tenants()).show(call),
    },
    {
      usage: 'set <slug>',
      about: 'Changes a tenant; a disabled one gets no new mail and keeps what it has',
      options: [
        nameOption(),
        option('--size <bytes>', 'largest message, like 10M; `default` for the limit of the deployment'),
        option('--messages-per-day <n>', 'messages of one day (UTC); `none` for no quota'),
        option('--bytes-per-day <bytes>', 'their size in all, like 2G; `none` for no quota'),
        option('--stored-bytes <bytes>', 'what is kept in all, like 50G; `none` for no quota'),
        option('--enable', 'receive mail'),
        option('--disable', 'refuse new mail'),
      ],
      examples: [
        ['tenants set acme --size 10M', 'a smaller limit'],
        ['tenants set acme --messages-per-day 10000 --stored-bytes 50G', 'quotas: mail over them waits at its sender'],
      ],
      run: async (call) => (await tenants()).set(call),
    },
    {
      usage: 'erase <slug>',
      about:
        'Erases a tenant with all its mail, rows and objects, for good; its slug is not given again; safe to repeat',
      options: [option('--dry-run', 'count what there is, and erase nothing'), option('--yes', 'do not ask')],
      examples: [
        ['tenants erase acme --dry-run', 'how much there is'],
        ['tenants erase acme', 'asks for its slug'],
      ],
      run: async (call) => (await import('../erase.ts')).erase(call),
    },
  ],
}

export const DOMAINS: Noun = {
  name: 'domains',
  about: 'Lists and changes the domains that mail is received for',
  verbs: [
    {
      usage: 'list',
      about: 'Lists domains',
      options: [tenantOption(), limitOption(1000)],
      examples: [['domains list', 'all of them']],
      run: async (call) => (await domains()).list(call),
    },
    {
      usage: 'add <domain>',
      about: 'Adds a domain, of one tenant or of all, and prints the MX record it needs',
      options: [option('--tenant <slug>', 'the tenant that owns it; else every tenant shares it')],
      examples: [['domains add mail.example.org --tenant acme', 'a domain of one tenant']],
      run: async (call) => (await domains()).add(call),
    },
    {
      usage: 'set <domain>',
      about: 'Changes what becomes of mail to addresses of a domain that nobody has',
      options: [
        option('--catch-all <address>', 'the mailbox that gets it; `none` refuses it'),
        option(
          '--anti-enumeration <on|off>',
          'on: nobody is told who is there; mail to nobody, and to disabled mailboxes, is taken with 250 and let go',
        ),
      ],
      examples: [
        ['domains set mail.example.org --catch-all sales@mail.example.org', 'misspelt addresses'],
        ['domains set mail.example.org --anti-enumeration on', 'nobody can try out addresses'],
      ],
      run: async (call) => (await domains()).set(call),
    },
    {
      usage: 'records <domain>',
      about: 'Prints the DNS records that a domain needs, as lines of a zone file',
      options: [option('--address <ips...>', 'the addresses that relays reach SMTP_HOSTNAME at')],
      examples: [
        ['domains records mail.example.org --address 192.0.2.7 2001:db8::25', 'for the zone file'],
        ['domains records mail.example.org --json', 'with what each is for'],
      ],
      run: async (call) => (await domains()).records(call),
    },
    {
      usage: 'remove <domain>',
      about: 'Removes a domain that has no mailboxes; its mail stays',
      examples: [['domains remove mail.example.org', 'receive for it no more']],
      run: async (call) => (await domains()).remove(call),
    },
  ],
}

export const MAILBOXES: Noun = {
  name: 'mailboxes',
  about: 'Lists and changes plain mailboxes, which need no plus-address',
  verbs: [
    {
      usage: 'list',
      about: 'Lists mailboxes',
      options: [tenantOption(), limitOption(1000)],
      examples: [['mailboxes list --tenant acme', 'of one tenant']],
      run: async (call) => (await mailboxes()).list(call),
    },
    {
      usage: 'add <address>',
      about: 'Adds a mailbox in a domain that is ours',
      options: [option('--tenant <slug>', 'the tenant that gets its mail').makeOptionMandatory()],
      examples: [['mailboxes add sales@mail.example.org --tenant acme', 'a plain address']],
      run: async (call) => (await mailboxes()).add(call),
    },
    {
      usage: 'remove <address>',
      about: 'Removes a mailbox; its mail stays',
      examples: [['mailboxes remove sales@mail.example.org', 'refuse its mail']],
      run: async (call) => (await mailboxes()).remove(call),
    },
    {
      usage: 'disable <address>',
      about: 'Refuses mail for a mailbox until it is enabled again',
      examples: [['mailboxes disable sales@mail.example.org', 'for a while']],
      run: async (call) => (await mailboxes()).disable(call),
    },
    {
      usage: 'enable <address>',
      about: 'Takes mail for a disabled mailbox again',
      examples: [['mailboxes enable sales@mail.example.org', 'as before']],
      run: async (call) => (await mailboxes()).enable(call),
    },
  ],
}

export const CREDENTIALS: Noun = {
  name: 'credentials',
  about: 'Lists, makes and revokes what clients log in with to submit mail',
  verbs: [
    {
      usage: 'list',
      about: 'Lists credentials, the revoked ones too; never their secrets',
      options: [tenantOption(), limitOption(1000)],
      examples: [['credentials list --tenant acme', 'of one tenant']],
      run: async (call) => (await credentials()).list(call),
    },
    {
      usage: 'add <name>',
      about: 'Makes a credential and shows its secret, this once',
      options: [
        option('--tenant <slug>', 'the tenant whose addresses it sends as').makeOptionMandatory(),
        option('--send-as <senders...>', 'only these of its addresses and domains'),
      ],
      examples: [
        ['credentials add shop --tenant acme', 'may send as every address of the tenant'],
        ['credentials add crm --tenant acme --send-as sales@mail.example.org', 'as this one only'],
      ],
      run: async (call) => (await credentials()).add(call),
    },
    {
      usage: 'revoke <name>',
      about: 'Ends a credential for good; its name is not given again',
      examples: [['credentials revoke shop', 'let it in no more']],
      run: async (call) => (await credentials()).revoke(call),
    },
  ],
}
