// smtpd accepts inbound mail over SMTP and spools it. It never talks to the network upstream, but to a malware scanner where
// SCANNER_INLINE says so.

import { main, type Stage, type Surroundings } from './main.ts'
import { openScanner } from './scanning.ts'
import { startSmtpd } from './stages.ts'

async function start(around: Surroundings): Promise<Stage> {
  const inline = around.config.scannerInline === 'on'
  const { scanner, parts } = inline ? await openScanner(around) : { scanner: undefined, parts: [] }
  const stage = await startSmtpd(around, { endWhenPoisoned: true, scanner })
  return { parts: [...parts, ...stage.parts], checks: stage.checks }
}

await main({ stage: 'smtpd', start }, process.env)
