// swaks, the SMTP client that administrators try servers with: Debian's package, unpacked and not installed, with its TLS module.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { unpacked } from './unpacked.ts'

const SWAKS = unpacked('swaks', ['swaks', 'libnet-ssleay-perl'], { rootRuns: false })
export const { unavailable: swaksUnavailable, install: installSwaks } = SWAKS

/** What runs it once it is there. */
export const SWAKS_COMMAND = [
  'perl',
  ...globSync(join(SWAKS.folder, 'usr/lib/*/perl5/*')).flatMap((folder) => ['-I', folder]),
  join(SWAKS.folder, 'usr/bin/swaks'),
]

/** Runs it and resolves with its exit status and its transcript: `->` what it said, `<-` what it heard, `~` inside TLS. */
export async function swaks(args: readonly string[]): Promise<{ status: number; transcript: string }> {
  await installSwaks()
  const [perl = '', ...words] = SWAKS_COMMAND
  const child = spawn(perl, [...words, ...args], { stdio: ['ignore', 'pipe', 'pipe'], timeout: 60_000 })
  const closed = once(child, 'close')
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)])
  const [status] = await closed
  return { status: typeof status === 'number' ? status : -1, transcript: out + err }
}
