// Structured logs: one JSON line each, by pino. What is secret is redacted here, whoever logs it.

import pino, { type DestinationStream, type Logger } from 'pino'
import { masked } from './masked.ts'

/** Fields that never reach a log line, at the top level or one below. */
const SECRETS: ReadonlySet<string> = new Set(['password', 'token', 'authorization', 'secret', 'cookie'])

/** Fields that errors are in, see errorFacts. */
const SERIALIZED: ReadonlySet<string> = new Set(['err', 'error'])

export interface LogOptions {
  level: string
  /** File to append to, or `-` for standard output. */
  file: string
  stage: string
  /** `masked`: without local parts and hosts of addresses. */
  addresses?: 'full' | 'masked'
}

/** Bytes of lines kept while the file takes none; what comes on top is lost. */
const KEPT_BYTES_MAX = 1024 * 1024

/**
 * The logger of one process. Throws when the file cannot be opened; after that a line that cannot be written, on a full disk
 * above all, is never its caller's trouble. It is told of on standard error, once for each stretch.
 */
export function openLog({ level, file, stage, addresses = 'full' }: LogOptions): Logger {
  const destination = pino.destination({
    dest: file === '-' ? 1 : file,
    sync: true,
    mkdir: true,
    maxLength: KEPT_BYTES_MAX,
  })
  let failing = false
  // Without a listener the error would be thrown at whoever logs, such as a session that is about to say 250.
  destination.on('error', (error: Error) => {
    if (!failing) process.stderr.write(`log lines cannot be written to ${file}: ${error.message}\n`)
    failing = true
  })
  destination.on('write', () => (failing = false))
  return jsonLog(
    level,
    stage,
    addresses === 'full' ? destination : { write: (line) => destination.write(masked(line)) },
  )
}

/** The same log on any stream. */
export function jsonLog(level: string, stage: string, destination: DestinationStream): Logger {
  return pino(
    {
      level,
      base: { stage },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: {
        level: (label) => ({ level: label }),
        log: (fields) => redacted(fields, true),
      },
      serializers: { err: errorFacts, error: errorFacts },
    },
    destination,
  )
}

/** An error may carry what its maker put on it. Text is logged as it is. */
const errorFacts = (error: unknown): unknown =>
  error instanceof Error ? redacted({ ...pino.stdSerializers.err(error) }, false) : error

/** The fields without secrets, themselves where there are none; pino's own redaction goes through all its paths for each line. */
function redacted(fields: Record<string, unknown>, below: boolean): Record<string, unknown> {
  let clean = fields
  const put = (name: string, value: unknown) => {
    if (clean === fields) clean = { ...fields }
    clean[name] = value
  }
  for (const [name, value] of Object.entries(fields)) {
    if (SECRETS.has(name)) put(name, '[redacted]')
    else if (below && typeof value === 'object' && value !== null && !SERIALIZED.has(name)) {
      const inner = redacted(value as Record<string, unknown>, false)
      if (inner !== value) put(name, inner)
    }
  }
  return clean
}
