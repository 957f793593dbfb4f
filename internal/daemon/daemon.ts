// Package daemon is what a process needs to live: clock, ids, log, the operator's listener, health, signals.
// The only place with timers, wall-clock time and randomness.

export { systemClock } from './clock.ts'
export { random, systemIds } from './ids.ts'
export { FATES, withoutFloods } from './flood.ts'
export { jsonLog, openLog, type LogOptions } from './log.ts'
export { readiness, type Check, type Readiness } from './health.ts'
export { newRegistry, openOperatorListener, type OperatorListener } from './metrics.ts'
export { PartFailed, runParts, type ExitStatus, type Part } from './life.ts'
export { openTraces, TracesError, type Traces } from './traces.ts'
export { watch, type Watch } from './watch.ts'
