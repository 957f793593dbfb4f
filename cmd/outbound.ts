// The outbound channel of an indexing process: there is one where OUTBOUND_URL names a relay.

import type { Config } from '../internal/config/config.ts'
import type { Part } from '../internal/daemon/daemon.ts'
import { outboundChannel, type Relay } from '../internal/outbound/outbound.ts'
import type { Store } from '../internal/store/store.ts'
import { relayOf } from './adapters.ts'
import { looping, plainly, type Surroundings } from './main.ts'

/** Sends what is queued. */
export function outboundParts({ config, clock, log, registry }: Surroundings, store: Store): Part[] {
  const relay = relayFrom(config)
  if (relay === undefined) return []
  const { outboundConnections: connections, outboundRetentionDays: keepDays } = config
  const channel = outboundChannel({ store, relay, clock, logger: log, registry, connections, keepDays })
  return [looping(log, 'outbound mail', (signal) => channel.run(signal))]
}

function relayFrom(config: Config): Relay | undefined {
  try {
    return relayOf(config)
  } catch (error) {
    throw plainly(error, `OUTBOUND_TLS_CA ${config.outboundTlsCa}`)
  }
}
