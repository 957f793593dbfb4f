// Two kinds of load: a steady rate that does not wait for slow replies (open loop), and as fast as the sessions go (closed loop).

import { entryIdOf, mailOf, Session } from '../test/mail.ts'

export interface Sample {
  entryId: string
  /** Final dot to 250, milliseconds. */
  acceptMs: number
  /** When the 250 was read, milliseconds since 1970. */
  acceptedAt: number
}

export interface Load {
  /** Each mail goes to the next one. */
  ports: readonly number[]
  to: string
  /** Bytes of the nth mail. */
  sizeOf(nth: number): number
}

async function sendOne(session: Session, load: Load, token: string, size: number): Promise<Sample> {
  const body = mailOf(token, size)
  // Pipelined (RFC 2920 3.1), so that the server's work and not the number of round trips is measured.
  const envelope = `MAIL FROM:<ann@sender.example> SIZE=${body.length}\r\nRCPT TO:<${load.to}>\r\nDATA`
  await session.expect(250, envelope)
  await session.expect(250, undefined)
  await session.expect(354, undefined)
  await session.write(body)
  const started = performance.now()
  const reply = await session.command('.')
  const entryId = entryIdOf(reply)
  if (entryId === undefined) throw new Error(`not accepted: ${reply}`)
  return { entryId, acceptMs: performance.now() - started, acceptedAt: Date.now() }
}

/** Sessions that are opened as needed and used again, one mail at a time each. */
class Sessions {
  readonly #port: number
  readonly #free: Session[] = []
  readonly #all: Session[] = []

  constructor(port: number) {
    this.#port = port
  }

  async use<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const session = this.#free.pop() ?? (await this.#open())
    const result = await work(session)
    this.#free.push(session)
    return result
  }

  async #open(): Promise<Session> {
    const session = await Session.open(this.#port)
    this.#all.push(session)
    return session
  }

  close(): void {
    for (const session of this.#all) session.close()
  }
}

export interface Steady {
  perSecond: number
  /** At least so long. */
  seconds: number
  /** Longer than that, until this resolves. */
  until?: Promise<unknown>
  /** Told of every 250. */
  each?: (sample: Sample) => void
}

/** Mails are begun so many milliseconds ahead of their time. */
const AHEAD_MS = 1000

/** `perSecond` mails a second, each due at its own time whatever became of the others. */
export async function steady(load: Load, { perSecond, seconds, until, each }: Steady): Promise<Sample[]> {
  const state = { over: until === undefined, failed: false }
  const end = () => (state.over = true)
  until?.then(end, end)
  const pools = load.ports.map((port) => new Sessions(port))
  const start = performance.now()
  const due = async (nth: number): Promise<Sample> => {
    const wait = start + (nth * 1000) / perSecond - performance.now()
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, wait)))
    const pool = pools[nth % pools.length] as Sessions
    const sample = await pool.use((session) => sendOne(session, load, `steady-${start}-${nth}`, load.sizeOf(nth)))
    each?.(sample)
    return sample
  }
  const samples: Promise<Sample>[] = []
  try {
    for (let nth = 0; !state.failed && (nth < perSecond * seconds || !state.over); nth++) {
      const ahead = start + (nth * 1000) / perSecond - AHEAD_MS - performance.now()
      if (ahead > 0) await new Promise((resolve) => setTimeout(resolve, ahead))
      const sample = due(nth)
      samples.push(sample)
      sample.catch(() => (state.failed = true))
    }
    return await Promise.all(samples)
  } finally {
    for (const pool of pools) pool.close()
  }
}

/** `count` mails over `sessions` sessions, each as fast as it is answered. Resolves with mails a second. */
export async function flatOut(load: Load, sessions: number, count: number): Promise<number> {
  let next = 0
  const opened = await Promise.all(
    Array.from({ length: sessions }, (_, at) => Session.open(load.ports[at % load.ports.length] ?? 0)),
  )
  const start = performance.now()
  await Promise.all(
    opened.map(async (session) => {
      for (let nth = next++; nth < count; nth = next++)
        await sendOne(session, load, `flat-${start}-${nth}`, load.sizeOf(nth))
    }),
  )
  const seconds = (performance.now() - start) / 1000
  for (const session of opened) session.close()
  return count / seconds
}

/** The value below which `share` of the values lie. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}
