// Before the first test on real engines: all that they need is fetched, side by side, once on each machine. What cannot be fetched is
// told; the tests that need it are then skipped with that reason, or fail where they should have run.

import { clamdUnavailable, installClamd } from './clamd.ts'
import { eximUnavailable, installExim } from './exim.ts'
import { installKafka, kafkaUnavailable } from './kafka.ts'
import { installMailPeers, mailPeersUnavailable } from './mail-peers.ts'
import { installNsd, nsdUnavailable } from './nsd.ts'
import { installPostgres, postgresUnavailable } from './postgres.ts'
import { installPostfix, postfixUnavailable } from './postfix.ts'
import { installPrometheus, prometheusUnavailable } from './prometheus.ts'
import { installRgw, rgwUnavailable } from './rgw.ts'
import { installSwaks, swaksUnavailable } from './swaks.ts'

type Engine = [name: string, unavailable: () => string | undefined, install: () => Promise<void>]

const ENGINES: Engine[] = [
  ['Kafka', kafkaUnavailable, installKafka],
  ['Ceph RGW', rgwUnavailable, installRgw],
  ['PostgreSQL', postgresUnavailable, installPostgres],
  ['nsd', nsdUnavailable, installNsd],
  ['dkimpy and the suite of SPF', mailPeersUnavailable, installMailPeers],
  ['clamd', clamdUnavailable, installClamd],
  ['Prometheus', prometheusUnavailable, installPrometheus],
]

/** What is on the other side. */
const RELAYS: Engine[] = [
  ['Postfix', postfixUnavailable, installPostfix],
  ['Exim', eximUnavailable, installExim],
  ['swaks', swaksUnavailable, installSwaks],
]

/** Vitest's global setup of the project `engines`. */
export async function setup(): Promise<void> {
  const began = performance.now()
  const installing = [...ENGINES, ...RELAYS].map(async ([name, unavailable, install]) => {
    const reason = unavailable()
    if (reason === undefined) await install()
    else process.stdout.write(`tests on ${name} are skipped: ${reason}\n`)
  })
  await Promise.all(installing)
  process.stdout.write(`real engines: installed in ${((performance.now() - began) / 1000).toFixed(1)} s\n`)
}

/** Why the tests that need all engines cannot run, or undefined. */
export const enginesUnavailable = (): string | undefined =>
  ENGINES.map(([, unavailable]) => unavailable()).find((reason) => reason !== undefined)
