// One mail to the relay, on a connection of its own (RFC 5321 3.3): the session is nodemailer's, what may be said without TLS is ours.

import SMTPConnection from 'nodemailer/lib/smtp-connection'

/** Where mail of ours goes, and how. */
export interface Relay {
  host: string
  port: number
  /** TLS from the first octet (RFC 8314 3.3). */
  secure: boolean
  credentials?: { user: string; pass: string }
  /** `required`: STARTTLS with a certificate that holds, or nothing is sent. `opportunistic`: encrypted where the relay can (RFC 7435 3). */
  tls: 'required' | 'opportunistic'
  /** PEM of the authorities that certificates are checked against; those that Node knows unless given. */
  ca?: string
  /** What we call ourselves in EHLO. */
  name: string
  /** For the connection, and for the greeting. */
  timeoutMs: number
  /** For each reply; `REPLY_TIMEOUT_MS` unless given. */
  replyTimeoutMs?: number
}

/** RFC 5321 4.5.3.2.6: the reply to the final dot. Who gives up sooner sends what may have been taken once more. */
const REPLY_TIMEOUT_MS = 600_000

export interface Delivery {
  to: string
  octets: Buffer
  /** Closes the connection. */
  signal: AbortSignal
}

/** Resolves with the relay's reply once it has taken the mail. Rejects with what nodemailer says of the step that failed. */
export async function delivered(relay: Relay, { to, octets, signal }: Delivery): Promise<string> {
  const connection = new SMTPConnection(optionsOf(relay))
  const { promise: broken, reject } = Promise.withResolvers<never>()
  // Errors may come when nobody waits any more.
  broken.catch((error: unknown) => error)
  connection.on('error', reject)
  connection.once('end', () => reject(new Error('the relay closed the connection')))
  const stop = () => reject(new Error('given up'))
  signal.addEventListener('abort', stop, { once: true })
  const step = <T>(work: (done: Done<T>) => void) => Promise.race([broken, told(work)])
  try {
    signal.throwIfAborted()
    await step<unknown>((done) => connection.connect((error) => done(error, undefined)))
    if (relay.credentials !== undefined) {
      // A relay that offers no TLS, or somebody between that takes the offer away, must not get a password.
      if (!connection.secure) throw new Error('the relay offers no TLS, and a password is not sent without it')
      const { credentials } = relay
      await step<unknown>((done) => connection.login(credentials, (error) => done(error, undefined)))
    }
    const envelope = { from: '', to: [to], size: octets.length }
    const { response } = await step<SMTPConnection.SentMessageInfo>((done) => connection.send(envelope, octets, done))
    return response
  } finally {
    signal.removeEventListener('abort', stop)
    goodbye(connection)
  }
}

type Done<T> = (error: Error | null | undefined, value: T) => void

const told = <T>(work: (done: Done<T>) => void) =>
  new Promise<T>((resolve, reject) => work((error, value) => (error ? reject(error) : resolve(value))))

/** Says QUIT and waits for no answer: a relay that is frozen gives none. */
function goodbye(connection: SMTPConnection): void {
  const socket = connection._socket
  connection.quit()
  connection.close()
  if (socket) socket.destroySoon()
}

function optionsOf(relay: Relay): SMTPConnection.Options {
  const { host, port, secure, tls, ca, name, timeoutMs, replyTimeoutMs = REPLY_TIMEOUT_MS } = relay
  const required = secure || tls === 'required'
  return {
    host,
    port,
    secure,
    name,
    requireTLS: required && !secure,
    opportunisticTLS: !required,
    connectionTimeout: timeoutMs,
    greetingTimeout: timeoutMs,
    socketTimeout: replyTimeoutMs,
    dnsTimeout: timeoutMs,
    tls: { minVersion: 'TLSv1.2', rejectUnauthorized: required, ...(ca !== undefined && { ca }) },
  }
}
