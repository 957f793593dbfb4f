// indexerd makes rows, documents and events of what uploaderd published.

import { openEngines } from './engines.ts'
import { main, type Stage, type Surroundings } from './main.ts'
import { startIndexerd } from './stages.ts'

async function start(around: Surroundings): Promise<Stage> {
  const { engines, parts, checks } = await openEngines(around)
  const stage = await startIndexerd(around, engines)
  return { parts: [...parts, ...stage.parts], checks: [...checks, ...stage.checks] }
}

await main({ stage: 'indexerd', defaults: { METRICS_LISTEN: '127.0.0.1:9092' }, start }, process.env)
