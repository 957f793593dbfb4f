// What a running system says on its operator listener.

import { eventually, type System } from './system.ts'

/** All samples of `/metrics` by series name, labels included as they are printed. */
export async function samples(system: System): Promise<Map<string, number>> {
  const text = await (await fetch(`${system.metricsUrl}/metrics`)).text()
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]),
  )
}

/** Sum of all series of one metric. */
export function total(of: Map<string, number>, name: string): number {
  return [...of]
    .filter(([series]) => series === name || series.startsWith(`${name}{`))
    .reduce((sum, [, value]) => sum + value, 0)
}

/** Resolves when nothing waits in the spool, in the log or in the outbox. */
export async function drained(system: System, timeoutMs = 60_000): Promise<void> {
  await eventually(
    async () => {
      const now = await samples(system)
      const waiting = ['pending', 'uploading', 'deferred'].reduce(
        (sum, state) => sum + (now.get(`mail_ingest_spool_messages{state="${state}"}`) ?? Number.NaN),
        total(now, 'mail_ingest_consumer_lag_messages') + total(now, 'mail_ingest_outbox_pending'),
      )
      return waiting === 0 ? true : undefined
    },
    timeoutMs,
    'an empty pipeline',
  )
}
