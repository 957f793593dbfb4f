// indexerd makes rows, documents and events of what uploaderd published.

import { openEngines } from './engines.ts'
import { main, type Stage, type Surroundings } from './main.ts'
import { openScanner } from './scanning.ts'
import { startIndexerd } from './stages.ts'

async function start(around: Surroundings): Promise<Stage> {
  const { engines, parts, checks } = await openEngines(around)
  const { scanner, parts: scanning } = await openScanner(around)
  const stage = await startIndexerd(around, { ...engines, scanner })
  return { parts: [...parts, ...scanning, ...stage.parts], checks: [...checks, ...stage.checks] }
}

await main({ stage: 'indexerd', defaults: { METRICS_LISTEN: '127.0.0.1:9092' }, start }, process.env)
