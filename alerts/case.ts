// A case of an alert: what Prometheus sees, and what it then says.

/** Values by series, as promtool expands them: `0+60x10` is 0, 60, … 600; `_` is no sample. Time begins at 0. */
export type Series = Readonly<Record<string, string>>

export interface Firing {
  /** What makes it fire, in words. */
  when: string
  series: Series
  /** When it is asked. */
  at: string
  /** Between two samples; a minute unless given. */
  every?: string
  /** Beside `severity`. */
  labels?: Record<string, string>
  description: string
}

export interface Silent extends Pick<Firing, 'when' | 'series' | 'at' | 'every'> {}

export interface Cases {
  fires: Firing
  silent: readonly [Silent, ...Silent[]]
}
