// probed sends a canary through each front door and waits for it at the far end. One for a deployment, where relays come from.

import { openStore } from './engines.ts'
import { CannotStart, main, type Stage, type Surroundings } from './main.ts'
import { startProbe } from './stages.ts'

async function start(around: Surroundings): Promise<Stage> {
  if (around.config.probeTargets.length === 0) throw new CannotStart('PROBE_TARGETS: must be set')
  const { store, parts, checks } = await openStore(around, { readOnly: true })
  return { parts: [...parts, ...startProbe(around, store).parts], checks }
}

await main({ stage: 'probed', defaults: { METRICS_LISTEN: '127.0.0.1:9095' }, start }, process.env)
