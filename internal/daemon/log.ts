// Structured logs: one JSON line each, by pino. What is secret is redacted here, whoever logs it.

import pino, { type DestinationStream, type Logger } from 'pino'

/** Fields that never reach a log line, at the top level or one below. */
const SECRETS = ['password', 'token', 'authorization', 'secret', 'cookie']

export interface LogOptions {
  level: string
  /** File to append to, or `-` for standard output. */
  file: string
  stage: string
}

/** The logger of one process, and how to write out what it holds. Throws when the file cannot be opened. */
export function openLog({ level, file, stage }: LogOptions): Logger {
  const destination = pino.destination({ dest: file === '-' ? 1 : file, sync: true, mkdir: true })
  return jsonLog(level, stage, destination)
}

/** The same log on any stream. */
export function jsonLog(level: string, stage: string, destination: DestinationStream): Logger {
  return pino(
    {
      level,
      base: { stage },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: pino.stdSerializers.err },
      redact: { paths: SECRETS.flatMap((name) => [name, `*.${name}`]), censor: '[redacted]' },
    },
    destination,
  )
}
