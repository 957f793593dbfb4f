// The listeners of the front door and the certificates that they show, as the settings want them.

import { openCertificates, type Certificates, type ListenerName, type SmtpDoor } from '../internal/smtp/smtp.ts'
import { plainly, type Surroundings } from './main.ts'

/** Undefined where there are none to be; rejects with CannotStart where they are not good. */
export async function certificatesOf({
  config,
  clock,
  log,
  registry,
}: Surroundings): Promise<Certificates | undefined> {
  const { smtpTlsCert: certs, smtpTlsKey: keys } = config
  const pairs = certs.map((cert, index) => ({ cert, key: keys[index] ?? '' }))
  if (pairs.length === 0) return undefined
  return await openCertificates({ pairs, registry, clock, log }).catch((error: unknown) => {
    throw plainly(error, `SMTP_TLS_CERT ${certs.join()}, SMTP_TLS_KEY ${keys.join()}`)
  })
}

/** Opens every listener that has a port; resolves with the port for plain text and STARTTLS. */
export async function listenAll({ config, log }: Surroundings, door: SmtpDoor): Promise<number> {
  const { smtpHost: host } = config
  const listen = async (name: ListenerName, env: string, wanted: number): Promise<number> => {
    const { port } = await door.listen(host, wanted, name).catch((error: unknown) => {
      throw plainly(error, `${env} ${host}:${wanted}`)
    })
    log.info({ listener: name, host, port }, 'listening for SMTP')
    return port
  }
  const port = await listen('smtp', 'SMTP_PORT', config.smtpPort)
  if (config.smtpTlsPort !== undefined) await listen('smtps', 'SMTP_TLS_PORT', config.smtpTlsPort)
  if (config.smtpSubmissionPort !== undefined) {
    await listen('submission', 'SMTP_SUBMISSION_PORT', config.smtpSubmissionPort)
  }
  return port
}
