// uploaderd takes entries from the spool of its node to the object store and the event log, and keeps the node's directory snapshot.

import { openEngines } from './engines.ts'
import { main, type Stage, type Surroundings } from './main.ts'
import { startUploaderd } from './stages.ts'

async function start(around: Surroundings): Promise<Stage> {
  const { engines, parts, checks } = await openEngines(around)
  const stage = await startUploaderd(around, engines)
  return { parts: [...parts, ...stage.parts], checks: [...checks, ...stage.checks] }
}

await main({ stage: 'uploaderd', defaults: { METRICS_LISTEN: '127.0.0.1:9091' }, start }, process.env)
