// One probe mail into one front door, by the library that most Node programs send with.

import { createTransport } from 'nodemailer'
import type { Clock, Ids } from '../ports/ports.ts'
import { ProbeError } from './failures.ts'

/** A front door. */
export interface Target {
  host: string
  port: number
}

/** What the 250 said. */
export interface Sent {
  entryId: string
  traceId: string
}

export interface Sending {
  recipient: string
  hostname: string
  /** All of it has so long, milliseconds. */
  deadlineMs: number
  clock: Clock
  ids: Ids
}

const ACCEPTED = /^250 .*\bid=([0-9a-f-]{36}) trace=([0-9a-f]{32})/

/** Sends it. Rejects with ProbeError `unreachable` or `refused`. */
export async function sendProbe(sending: Sending, { host, port }: Target): Promise<Sent> {
  const { recipient, hostname: name, deadlineMs, clock, ids } = sending
  // A relay takes TLS where it is offered and asks for no name on the certificate (RFC 7435 1.2).
  const transport = createTransport({ host, port, name, tls: { rejectUnauthorized: false } })
  const from = `canary@${name}`
  const over = new AbortController()
  const tooLong = clock.sleep(deadlineMs, over.signal).then(
    () => {
      throw new ProbeError('unreachable', `no 250 within ${deadlineMs} ms`)
    },
    () => undefined as never,
  )
  try {
    const sending = transport.sendMail({
      from,
      to: recipient,
      subject: 'Canary',
      date: new Date(clock.now()),
      messageId: `<${ids.entryId()}@${name}>`,
      headers: { 'Auto-Submitted': 'auto-generated' }, // RFC 3834 5: nobody answers it
      text: 'This mail shows that mail comes through. It may be deleted.\n',
    })
    const { response } = await Promise.race([sending, tooLong])
    const [, entryId, traceId] = ACCEPTED.exec(response) ?? []
    if (entryId === undefined || traceId === undefined) throw new ProbeError('refused', `not our 250: ${response}`)
    return { entryId, traceId }
  } catch (error) {
    if (error instanceof ProbeError) throw error
    const { responseCode, message } = error as Error & { responseCode?: number }
    throw new ProbeError(responseCode === undefined ? 'unreachable' : 'refused', message, { cause: error })
  } finally {
    over.abort()
    transport.close()
  }
}
