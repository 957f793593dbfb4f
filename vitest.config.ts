// Three projects: `unit` is quick and runs in `make check`; `engines` installs the real engines, starts them and runs on them;
// `system` starts processes, crashes them and takes its time.
import { defineConfig } from 'vitest/config'

/** Seconds each, by processes, disks and waits: `make test` has them, `make check` stays under a minute without. */
const takeTime = [
  'cmd/out-of-reach.test.ts',
  'internal/cli/*.test.ts',
  'internal/eventlog/sqlite.test.ts',
  'internal/indexer/{auto-reply,faults,indexer,policy,preview,replay,upkeep}.test.ts',
  'internal/message/{gaveup,hostile}.test.ts',
  'internal/outbound/outbound.test.ts',
  'internal/probe/probe.test.ts',
  'internal/smtp/{flood,reader,smtp,tls}.test.ts',
  'internal/store/store.test.ts',
  'internal/upload/upload.test.ts',
]
const slow = ['test/**/*.test.ts', '**/*.long.test.ts', ...takeTime]
const quickChecks = ['test/tidy.test.ts', 'test/docs.test.ts', 'test/logs.test.ts', 'test/deploy.test.ts']

export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['{spool,internal,cmd,alerts}/**/*.test.ts', ...quickChecks],
          exclude: ['**/*.long.test.ts', '**/*.engine.test.ts', '**/node_modules/**', ...takeTime],
          testTimeout: 20_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'engines',
          include: ['**/*.engine.test.ts'],
          globalSetup: 'test/engines/install.ts',
          exclude: ['**/node_modules/**'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'system',
          include: slow,
          exclude: [...quickChecks, '**/*.engine.test.ts', '**/node_modules/**'],
          testTimeout: 600_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
})
