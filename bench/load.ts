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
  port: number
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

/** `perSecond` mails a second for `seconds`, each due at its own time, over sessions that are opened as needed. */
export async function steady(load: Load, perSecond: number, seconds: number): Promise<Sample[]> {
  const free: Session[] = []
  const opened: Session[] = []
  const count = perSecond * seconds
  const start = performance.now()
  const due = async (nth: number): Promise<Sample> => {
    await new Promise((resolve) =>
      setTimeout(resolve, Math.max(0, start + (nth * 1000) / perSecond - performance.now())),
    )
    const session = free.pop() ?? (await Session.open(load.port))
    if (!opened.includes(session)) opened.push(session)
    const sample = await sendOne(session, load, `steady-${start}-${nth}`, load.sizeOf(nth))
    free.push(session)
    return sample
  }
  const samples = await Promise.all(Array.from({ length: count }, (_, nth) => due(nth)))
  for (const session of opened) session.close()
  return samples
}

/** `count` mails over `sessions` sessions, each as fast as it is answered. Resolves with mails a second. */
export async function flatOut(load: Load, sessions: number, count: number): Promise<number> {
  let next = 0
  const opened = await Promise.all(Array.from({ length: sessions }, () => Session.open(load.port)))
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
