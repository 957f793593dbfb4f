// What an alert is.

/** The dashboard that shows what an alert is about. */
export type Board = 'overview' | 'pipeline' | 'front-door' | 'storage' | 'runtime'

export interface Alert {
  name: `MailIngest${string}`
  /** A template, see durations.ts. */
  expr: string
  /** How long it must hold; `0s` for at once. */
  for: string
  severity: 'critical' | 'warning'
  board: Board
  /** The same text for every instance. */
  summary: string
  /** With the values of this one. */
  description: string
}
