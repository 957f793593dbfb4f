// policy, senders: what tenants make of who sent a mail.

import { limitOption, option, tenantOption, type Noun } from '../tree.ts'

const policy = () => import('../policy.ts')
const senders = () => import('../senders.ts')

const actionOption = (flag: string, when: string) =>
  option(`${flag} <action>`, `none, tag, quarantine or reject ${when}`)
const ownerOption = () => option('--tenant <slug>', 'the tenant that says so').makeOptionMandatory()

export const POLICY: Noun = {
  name: 'policy',
  about: 'Shows and changes what a tenant makes of mail whose sender does not show who it is',
  verbs: [
    {
      usage: 'show <tenant>',
      about: 'Shows the policy of a tenant',
      examples: [['policy show acme', 'what happens to mail that fails SPF or DMARC']],
      run: async (call) => (await policy()).show(call),
    },
    {
      usage: 'set <tenant>',
      about: 'Changes the policy of a tenant; trouble with the DNS is never held against a mail',
      options: [
        actionOption('--unreachable', 'mail whose sender’s domain takes no mail (null MX) or is not there'),
        actionOption('--spf-fail', 'mail whose client SPF says does not send for the sender'),
        actionOption('--dmarc-reject', 'mail that fails DMARC where the author’s domain asks to reject it'),
        actionOption('--unauthenticated', 'mail that neither SPF nor a DKIM signature vouches for'),
      ],
      examples: [
        [
          'policy set acme --dmarc-reject reject --spf-fail tag',
          'refuse what DMARC says is forged, mark what fails SPF',
        ],
      ],
      run: async (call) => (await policy()).set(call),
    },
  ],
}

export const SENDERS: Noun = {
  name: 'senders',
  about: 'Lists and changes the senders that a tenant takes or refuses by name',
  verbs: [
    {
      usage: 'list',
      about: 'Lists senders that are allowed or blocked',
      options: [tenantOption(), limitOption(1000)],
      examples: [['senders list --tenant acme', 'of one tenant']],
      run: async (call) => (await senders()).list(call),
    },
    {
      usage: 'allow <sender>',
      about: 'Takes mail of a sender (MAIL FROM), an address or a domain, whatever the policy says; it can be forged',
      options: [ownerOption()],
      examples: [['senders allow lists.example.org --tenant acme', 'a mailing list that breaks signatures']],
      run: async (call) => (await senders()).put('allow')(call),
    },
    {
      usage: 'block <sender>',
      about: 'Refuses mail of a sender (MAIL FROM), an address or a domain, with 550 5.7.1',
      options: [ownerOption()],
      examples: [['senders block noise@example.org --tenant acme', 'one address']],
      run: async (call) => (await senders()).put('block')(call),
    },
    {
      usage: 'remove <sender>',
      about: 'Forgets what was said of a sender',
      options: [ownerOption()],
      examples: [['senders remove noise@example.org --tenant acme', 'say nothing of it']],
      run: async (call) => (await senders()).remove(call),
    },
  ],
}
