// Durations in rules. A template has them in square brackets (`[5m]`), after `offset`, and in braces (`{15m}`), where a number of
// seconds is meant. Only what stands in one of these three places is a time that passes while an alert waits; a latency is a plain number.

const UNIT_MS = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const

const DURATION = /^(\d+)([smhdw])$/

/** Milliseconds of a duration such as `5m`. Throws TypeError for what is none. */
export function msOf(duration: string): number {
  const [, count, unit] = DURATION.exec(duration) ?? []
  if (count === undefined || unit === undefined) throw new TypeError(`not a duration: ${duration}`)
  return Number(count) * UNIT_MS[unit as keyof typeof UNIT_MS]
}

/** The same duration divided by `factor`, as Prometheus reads it. */
export function divided(duration: string, factor: number): string {
  return factor === 1 ? duration : `${Math.max(1, Math.round(msOf(duration) / factor))}ms`
}

/** The expression of a template, every duration in it divided by `factor`. */
export function expressionOf(template: string, factor: number): string {
  return template
    .replaceAll(/\[(\d+[smhdw])\]/g, (_, range: string) => `[${divided(range, factor)}]`)
    .replaceAll(/\boffset (\d+[smhdw])\b/g, (_, by: string) => `offset ${divided(by, factor)}`)
    .replaceAll(/\{(\d+[smhdw])\}/g, (_, age: string) => String(msOf(age) / 1000 / factor))
}

const WINDOW = /\[(\d+[smhdw])\]|\boffset (\d+[smhdw])\b|\{(\d+[smhdw])\}|:ratio_rate(\d+[smhdw])\b/g

/** The longest duration that an alert waits for or looks back, milliseconds: its `for`, and all in its template and its recorded ratios. */
export function longestOf({ expr, for: held }: { expr: string; for: string }): number {
  const found = [...expr.matchAll(WINDOW)].map(([, ...groups]) => groups.find((group) => group !== undefined) ?? '0s')
  return Math.max(...[held, ...found].map(msOf))
}
