// smtpd accepts inbound mail over SMTP and spools it. It never talks to the network upstream.

import { main } from './main.ts'
import { startSmtpd } from './stages.ts'

await main({ stage: 'smtpd', start: (around) => startSmtpd(around, { endWhenPoisoned: true }) }, process.env)
