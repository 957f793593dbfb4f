// What a verb takes from its surroundings. cmd/ingestctl.ts makes the real one, tests make their own: engines are opened only
// when a verb asks, and only for reading unless it says otherwise.

import type { Readable } from 'node:stream'
import type { BlobStore } from '../blob/blob.ts'
import type { Config, Environment } from '../config/config.ts'
import type { EventLog, Keeping, Queryable, TopicStep } from '../eventlog/eventlog.ts'
import type { ParserPool } from '../message/message.ts'
import type { Clock, Ids } from '../ports/ports.ts'
import type { Scanner } from '../scanner/scanner.ts'
import type { Store } from '../store/store.ts'
import type { Fs } from '../../spool/spool.ts'
import type { Sink } from './output.ts'

/** `read` never creates anything; `write` needs an existing store too, and may wait for its lock. */
export type Access = 'read' | 'write'

/** The topics of a Kafka cluster, as the settings want them. */
export interface Topics {
  /** What is to be done, nothing if all is as wanted. Growing a topic breaks the order of keys, so it has to be accepted. */
  plan(options: { acceptReordering: boolean }): Promise<TopicStep[]>
  apply(steps: readonly TopicStep[]): Promise<void>
  close(): Promise<void>
}

/** The schema of the store. */
export interface StoreSchema {
  /** Names of the steps that it lacks. Rejects with StoreError: `invalid` where it is newer than this program. */
  pending(): Promise<string[]>
  /** Takes them, all or none; makes the store where there is none. */
  migrate(): Promise<void>
}

/** The engines of the settings. A place where nothing was ever started rejects with CliError `unavailable`. */
export interface Engines {
  store(access: Access): Promise<Store>
  log(access: Access): Promise<EventLog & Queryable & Keeping>
  blobs(): Promise<BlobStore>
  /** Topics of the cluster; rejects with CliError `usage` where the event log has none to make. */
  topics(): Promise<Topics>
  /** What reads messages in a dry run, and a directory for its work. Both go with `close`. */
  parsers(): Promise<{ parsers: Pick<ParserPool, 'parse'>; workDir: string }>
  /** The malware scanner; undefined where there is none. */
  scanner(): Promise<Scanner | undefined>
  schema(): Promise<StoreSchema>
  /** Where the spool is; it is read without a lock and may not exist yet. */
  spool: { fs: Fs; dir: string }
  /** Closes what was opened. */
  close(): Promise<void>
}

export interface Context {
  version: string
  environment: Environment
  /** Reads and checks the settings once; throws ConfigError. */
  config(): Config
  engines: Engines
  clock: Clock
  ids: Ids
  /** So many random octets, for secrets. */
  random: (size: number) => Buffer
  streams: { input: Readable & { isTTY?: boolean }; out: Sink; err: Sink }
  /** Aborts on Ctrl-C: verbs finish what they hold, say how to go on, and end with `interrupted`. */
  signal: AbortSignal
}
