// Counters whose label values are a closed set: every combination is there from the start with zero.

import { Counter, type LabelValues, type Registry } from '@prometheus-io/client'

export const named = (name: string, help: string) => ({ name: `mail_ingest_${name}`, help })

/** A counter with every combination of its label values at zero. */
export function counter<L extends string>(
  registers: Registry[],
  name: string,
  help: string,
  labels: Record<L, readonly string[]>,
): Counter<L> {
  const labelNames = Object.keys(labels) as L[]
  const made = new Counter({ ...named(name, help), labelNames, registers })
  const combinations = labelNames.reduce<Partial<Record<L, string>>[]>(
    (sets, label) => sets.flatMap((set) => labels[label].map((value) => ({ ...set, [label]: value }))),
    [{}],
  )
  for (const set of combinations) made.inc(set as LabelValues<L>, 0)
  return made
}
