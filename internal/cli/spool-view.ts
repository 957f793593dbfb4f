// What the verbs need of the spool's inspection.
import type { Readable } from 'node:stream'
import type { Context } from './context.ts'

export interface SpoolItem {
  id: string
  state: 'pending' | 'aside'
  reason?: string
  envelope: unknown
  sizeBytes: number
  sha256: string
  open(): Readable
}
export interface SpoolView {
  entries(): AsyncIterable<SpoolItem>
  verify(): Promise<{ findings: { where: string; problem: string }[]; entries: number; bytes: number }>
}
export function spoolView(_context: Context): SpoolView {
  return { async *entries() {}, verify: async () => ({ findings: [], entries: 0, bytes: 0 }) }
}
