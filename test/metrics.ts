// What a running system says on its operator listener.

import { eventually, ingestctl, type System } from './system.ts'

/** All samples of `/metrics` by series name, labels included as they are printed. */
export async function samples(system: Pick<System, 'metricsUrl'>): Promise<Map<string, number>> {
  const text = await (await fetch(new URL('/metrics', system.metricsUrl))).text()
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

interface Status {
  spool: { value: { entries: number } }
  outbox: { value: { events: number } }
  [lag: `lag ${string}`]: { value: { events: number } }
}

/** Resolves when nothing waits in the spool, in the log or in the outbox, twice in a row: one look is not one moment. */
export async function drained(
  system: Pick<System, 'dataDir'>,
  timeoutMs = 60_000,
  settings: Record<string, string> = {},
): Promise<void> {
  let calm = 0
  await eventually(
    async () => {
      calm = (await waiting(system.dataDir, settings)) === 0 ? calm + 1 : 0
      return calm === 2 ? true : undefined
    },
    timeoutMs,
    'an empty pipeline',
  )
}

/** Gauges are read off every few seconds, so this asks the engines themselves. */
async function waiting(dataDir: string, settings: Record<string, string>): Promise<number> {
  const { stdout } = await ingestctl(dataDir, ['status', '--json'], settings)
  const status = JSON.parse(stdout.toString()) as Status
  const lags = Object.entries(status).filter(([name]) => name.startsWith('lag '))
  return lags.reduce((sum, [, lag]) => sum + lag.value.events, status.spool.value.entries + status.outbox.value.events)
}
