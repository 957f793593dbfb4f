// Certificates for engines that are asked over TLS.

import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** A CA of our own in `ca.pem`, and `server.pem` with key and certificate for 127.0.0.1. */
export async function makeCertificates(dir: string): Promise<void> {
  const openssl = (...parameters: string[]) => run('openssl', parameters, { cwd: dir })
  const fresh = ['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  await openssl(...fresh, '-x509', '-days', '2', '-subj', '/CN=test CA', '-keyout', 'ca.key', '-out', 'ca.pem')
  await openssl(...fresh, '-subj', '/CN=127.0.0.1', '-keyout', 'server.key', '-out', 'server.csr')
  await writeFile(join(dir, 'san'), 'subjectAltName=IP:127.0.0.1,DNS:localhost\n')
  const signing = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', 'san']
  await openssl('x509', '-req', '-in', 'server.csr', ...signing, '-out', 'server.crt')
  const parts = await Promise.all(['server.key', 'server.crt'].map((name) => readFile(join(dir, name), 'utf8')))
  await writeFile(join(dir, 'server.pem'), parts.join(''))
}
