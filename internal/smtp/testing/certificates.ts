// Certificates of our own signing, made as they are needed.

import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import type { KeyPair } from '../smtp.ts'

/** A new pair for these names, in `dir` under `file`; good for so many days. */
export function makePair(dir: string, file: string, names: readonly string[], days = 30): KeyPair {
  const pair = { cert: join(dir, `${file}.crt`), key: join(dir, `${file}.key`) }
  const subject = [
    '-subj',
    `/CN=${names[0] ?? ''}`,
    '-addext',
    `subjectAltName=${names.map((name) => `DNS:${name}`).join()}`,
  ]
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', pair.key]
  execFileSync('openssl', ['req', '-x509', ...key, '-out', pair.cert, '-days', String(days), ...subject], {
    stdio: 'pipe',
  })
  return pair
}
